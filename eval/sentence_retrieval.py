"""Sentence retrieval in every layer, both directions (paper, Figure 6)."""

from __future__ import annotations

import argparse
from pathlib import Path

from fairseq_xling.command import run_command
from fairseq_xling.evaluation.features import sentence_features
from fairseq_xling.evaluation.numbers import Numbers, add_result_options, named
from fairseq_xling.evaluation.parallel_text import COLUMNS_HELP, HELP, read_sides
from fairseq_xling.evaluation.sentence_retrieval import aligned_retrieval_by_layer, retrieval_by_layer
from fairseq_xling.evaluation.sides import add_side_options, load_sides
from fairseq_xling.evaluation.structure import RETRIEVAL
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.results import signature

EXAMPLE = """
A sentence is the mean of its subwords' vectors. The answer is the nearest sentence of the other language by cosine,
and right if it is the translation. With --supervision each layer of the source model is first mapped to the same layer
of the target model: iterative normalisation, then one orthogonal map learnt from those parallel sentences. Models that
were trained apart need it; without it vectors are centred per language and compared as they are.
Text is tokenised and cased as the models' training text was.

examples:
  two monolingual models, mapped:
    python eval/sentence_retrieval.py --source en=mono/en/checkpoint_best.pt --target fr=mono/fr/checkpoint_best.pt \\
      --test tatoeba.fra-eng.eng tatoeba.fra-eng.fra --supervision xnli/parallel.dev.tsv.gz --experiment mono \\
      --results results.jsonl
  one bilingual model, as it is:
    python eval/sentence_retrieval.py --source en=bi.pt --target fr=bi.pt --test parallel.tsv --experiment default
"""


def main() -> None:
    """Read the command line, measure, write the numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--test", type=Path, nargs="+", required=True, metavar="FILE", help=f"test sentences: {HELP}")
    parser.add_argument("--supervision", type=Path, nargs="+", metavar="FILE", help="parallel sentences for the map")
    parser.add_argument("--columns", nargs=2, metavar="COLUMN", help=COLUMNS_HELP)
    parser.add_argument("--uncentred", action="store_true", help="without --supervision: do not centre the languages")
    add_side_options(parser)
    add_result_options(parser)
    args = parser.parse_args()
    sides = load_sides(args.source, args.target, args.data, args.untrained, args.seed)
    sides.expect_alike()
    if not sides.bilingual and not args.supervision:
        raise InputError("models that were trained apart need --supervision, parallel sentences to learn the map from")

    def features(paths: list[Path], what: str):
        texts = read_sides(paths, sides, args.columns)
        for side, sentences in zip((sides.source, sides.target), texts, strict=True):
            yield sentence_features(side.model, sentences, side.language, args.bf16, progress=f"{what} {side.language}")

    x, y = features(args.test, "test")
    n = x.shape[1]
    rule = "cosine,uncentred" if args.uncentred else "cosine,centred"
    if args.supervision:
        train_x, train_y = features(args.supervision, "supervision")
        rule = f"cosine,procrustes_{train_x.shape[1]}_sentences"
        found = aligned_retrieval_by_layer(x, y, train_x, train_y)
    else:
        found = retrieval_by_layer(x, y, centred=not args.uncentred)
    numbers = Numbers.of(args, sides)
    for layer, (there, back) in enumerate(found):
        for metric, value, direction in (
            ("precision@1", (there + back) / 2, "mean_of_both"),
            ("precision@1_source_to_target", there, "source_to_target"),
            ("precision@1_target_to_source", back, "target_to_source"),
        ):
            how = signature(
                data=named(*args.test),
                supervision=named(*args.supervision) if args.supervision else None,
                rule=rule,
                direction=direction,
                **sides.signature(),
            )
            numbers.add(RETRIEVAL, metric, value, layer=layer, chance=1 / n, n=n, signature=how)
    numbers.write()


if __name__ == "__main__":
    run_command(main)
