"""Similarity of two encoders, or of two languages in one, in every layer by linear CKA (paper, Figure 7)."""

from __future__ import annotations

import argparse
from pathlib import Path

from fairseq_xling.command import run_command
from fairseq_xling.evaluation.features import sentence_features
from fairseq_xling.evaluation.numbers import Numbers, add_result_options, named
from fairseq_xling.evaluation.parallel_text import COLUMNS_HELP, HELP, read_sides
from fairseq_xling.evaluation.sides import add_side_options, load_sides
from fairseq_xling.evaluation.similarity import cka_by_layer
from fairseq_xling.evaluation.structure import SIMILARITY
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.results import signature

EXAMPLE = """
Sentences that mean the same are encoded by both sides (mean of the subwords' vectors); CKA compares the similarities
among the sentences of one side with those of the other, so that no map is needed. Every layer, and their average.
With fewer than some ten sentences a dimension the estimate is biased upwards; --debiased corrects that.

examples:
  two monolingual models:
    python eval/cka.py --source en=mono/en/checkpoint_best.pt --target fr=mono/fr/checkpoint_best.pt \\
      --parallel xnli/parallel.dev.tsv.gz --experiment mono --results results.jsonl
  the same with a random encoder on the other side, as experiment random:mono:            ... --untrained target
  one language, two seeds, sentences and their paraphrases:
    python eval/cka.py --source en=seed1.pt --target en=seed2.pt --parallel paraphrases.tsv --columns 1 2 \\
      --experiment mono
"""


def main() -> None:
    """Read the command line, measure, write the numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parallel", type=Path, nargs="+", required=True, metavar="FILE", help=HELP)
    parser.add_argument("--columns", nargs=2, metavar="COLUMN", help=COLUMNS_HELP)
    parser.add_argument("--debiased", action="store_true", help="use the unbiased estimator of HSIC")
    add_side_options(parser)
    add_result_options(parser)
    args = parser.parse_args()
    sides = load_sides(args.source, args.target, args.data, args.untrained, args.seed)
    sides.expect_alike(width=False)
    texts = read_sides(args.parallel, sides, args.columns)
    x, y = (
        sentence_features(side.model, sentences, side.language, args.bf16, progress=side.language)
        for side, sentences in zip((sides.source, sides.target), texts, strict=True)
    )
    try:
        values = cka_by_layer(x, y, debiased=args.debiased)
    except ValueError as error:  # too few sentences, or all of them the same
        raise InputError(str(error), args.parallel[0]) from None
    how = signature(
        data=named(*args.parallel),
        rule=f"linear_cka,{'debiased' if args.debiased else 'centred'}",
        **sides.signature(),
    )
    numbers = Numbers.of(args, sides)
    for layer, value in enumerate(values):
        numbers.add(SIMILARITY, "linear_cka", value, layer=layer, n=x.shape[1], signature=how)
    numbers.add(SIMILARITY, "linear_cka_average", sum(values) / len(values), n=x.shape[1], signature=how)
    numbers.write()


if __name__ == "__main__":
    run_command(main)
