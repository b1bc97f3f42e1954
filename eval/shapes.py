"""Hold results against the findings of the paper's second half, one by one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fairseq_xling.command import run_command
from fairseq_xling.evaluation.figure_series import Names, on_one_data_set
from fairseq_xling.evaluation.shapes import shapes, summary, to_markdown
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.files import atomic_write
from fairseq_xling.formats.results import read_results, select

EXAMPLE = """
Prints each finding that the lines have numbers on, whether it holds here, and the numbers. A finding that does not
hold is not an error: the exit status says only whether the lines could be read.

examples:
  python eval/shapes.py runs/lab/alignment/*.jsonl --close-to-distant qaa-qab qaa-qac qaa-qad
  python eval/shapes.py runs/lab/alignment/*.jsonl --close-to-distant qaa-qab qaa-qac qaa-qad --markdown > findings.md
"""


def main() -> None:
    """Read the lines, print the findings."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", type=Path, help="results files")
    parser.add_argument("--scale", default="lab", choices=("lab", "pocket", "paper"), help="default lab")
    parser.add_argument(
        "--close-to-distant", nargs="+", metavar="A-B", help="pairs from the closest to the most distant"
    )
    parser.add_argument("--mono", default=Names.mono, help=f"experiment of monolingual models ({Names.mono})")
    parser.add_argument("--bilingual", default=Names.bilingual, help=f"of bilingual models ({Names.bilingual})")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the Markdown table to a file as well")
    args = parser.parse_args()
    results = select([line for path in args.results for line in read_results(path)], scale=args.scale)
    results, left_out = on_one_data_set(results)
    for text in left_out:
        print(f"note: {text}", file=sys.stderr)
    found = shapes(results, Names(args.mono, args.bilingual), args.close_to_distant)
    if not found:
        raise InputError(f"no results of scale {args.scale} that a finding is about", args.results[0])
    if args.markdown:
        print(to_markdown(found), end="")
    else:
        for shape in found:
            print(f"{'yes' if shape.holds else 'no ':3}  {shape.statement}: {shape.numbers}")
        print(summary(found))
    if args.out:
        with atomic_write(args.out) as out:
            out.write(to_markdown(found))


if __name__ == "__main__":
    run_command(main)
