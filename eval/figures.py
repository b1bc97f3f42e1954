"""Figures 3 to 8 as PNG and PDF from results.jsonl, and the correlation of similarity with retrieval."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fairseq_xling.command import run_command
from fairseq_xling.evaluation.figure3 import draw_figure3
from fairseq_xling.evaluation.figure_series import Names, correlations, on_one_data_set
from fairseq_xling.evaluation.figures import FIGURES, save
from fairseq_xling.evaluation.table1 import METRICS, make_table
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.results import read_results, select

EXAMPLE = """
What the lines hold is drawn, the rest is named as missing. Several seeds become means with standard deviations as error
bars; of a number that was made again the last counts.
  figure 3  Table 1 as bars                    eval/grid.py
  figure 4  word translation                   eval/word_translation.py
  figure 5  transfer from frozen layers        eval/contextual.py
  figure 6  sentence retrieval                 eval/sentence_retrieval.py
  figure 7  CKA                                eval/cka.py
  figure 8  figure 5, bilingual model aligned  eval/contextual.py

example: python eval/figures.py runs/lab/alignment/*.jsonl --out runs/lab/alignment/figures
"""


def main() -> None:
    """Read the lines, draw what they hold."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", type=Path, help="results files")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the figures")
    parser.add_argument("--scale", default="lab", choices=("lab", "pocket", "paper"), help="default lab")
    parser.add_argument("--mono", default=Names.mono, help=f"experiment of monolingual models ({Names.mono})")
    parser.add_argument("--bilingual", default=Names.bilingual, help=f"of bilingual models ({Names.bilingual})")
    parser.add_argument("--vectors", default=Names.vectors, help=f"of fastText vectors ({Names.vectors})")
    args = parser.parse_args()
    results = select([line for path in args.results for line in read_results(path)], scale=args.scale)
    results, left_out = on_one_data_set(results)
    for text in left_out:
        print(f"note: {text}", file=sys.stderr)
    names = Names(args.mono, args.bilingual, args.vectors)
    written = []
    if select(results, task=list(METRICS)):
        table = make_table(results, args.scale)
        written += [args.out / f"figure3.{suffix}" for suffix in ("png", "pdf")]
        for path in written:
            draw_figure3(table, path)
    else:
        print("figure 3: no results of NLI, NER or parsing")
    for number, draw in FIGURES.items():
        figure = draw(results, names)
        if figure is None:
            print(f"figure {number}: no results of {names.mono}, {names.bilingual} that it shows")
        else:
            written += save(figure, args.out / f"figure{number}")
    if not written:
        there = ", ".join(sorted({result.experiment for result in results}))
        names_of = f"; there are results of {there}: see --mono and --bilingual" if there else ""
        raise InputError(f"no results of scale {args.scale} that a figure shows{names_of}", args.results[0])
    for pair, (r, layers) in correlations(results, names).items():
        print(f"{pair}: Pearson r of CKA with retrieval over {layers} layers {r:.3f}")
    for path in written:
        print(path)


if __name__ == "__main__":
    run_command(main)
