"""Table 1 from results.jsonl: Markdown, CSV, LaTeX, and Figure 3's bars."""

from __future__ import annotations

import argparse
from pathlib import Path

from fairseq_xling.command import run_command
from fairseq_xling.evaluation.table1 import make_table
from fairseq_xling.evaluation.table1_text import to_csv, to_latex, to_markdown
from fairseq_xling.formats.files import atomic_write
from fairseq_xling.formats.results import read_results

EXPLANATION = """
Reads the lines that eval/grid.py wrote, prints the table, and with --out writes table1.md, table1.csv, table1.tex and
figure3.png, figure3.pdf. Several seeds become mean ± standard deviation; at scale paper the paper's numbers stand in
brackets.

example: python eval/table1.py runs/lab/transfer/*/qaa-qab/seed*/results.jsonl --scale lab --out runs/lab/tables
"""


def main() -> None:
    """Read, arrange, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXPLANATION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", type=Path, help="results files")
    parser.add_argument("--scale", default="lab", choices=["lab", "pocket", "paper"], help="(lab)")
    parser.add_argument("--pairs", nargs="+", help="only these pairs, in this order, such as en-fr en-ru (all)")
    parser.add_argument("--out", type=Path, help="folder for the files")
    args = parser.parse_args()
    table = make_table([result for path in args.results for result in read_results(path)], args.scale, args.pairs)
    print(to_markdown(table), end="")
    if args.out:
        for name, text in (("md", to_markdown(table)), ("csv", to_csv(table)), ("tex", to_latex(table))):
            with atomic_write(args.out / f"table1.{name}") as out:
                out.write(text)
        from fairseq_xling.evaluation.figure3 import draw_figure3

        for suffix in ("png", "pdf"):
            draw_figure3(table, args.out / f"figure3.{suffix}")


if __name__ == "__main__":
    run_command(main)
