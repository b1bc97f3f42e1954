"""Word translation against a MUSE dictionary: at the embeddings, in every layer, or of fastText vectors (Figure 4)."""

from __future__ import annotations

import argparse
from pathlib import Path

from fairseq_xling.command import run_command
from fairseq_xling.evaluation.numbers import Numbers, add_result_options, named
from fairseq_xling.evaluation.sides import add_side_options, load_sides
from fairseq_xling.evaluation.structure import CONTEXTUAL_TRANSLATION, TRANSLATION
from fairseq_xling.evaluation.word_means import WordMeans
from fairseq_xling.evaluation.word_translation import METHODS, WordTranslation, align, as_compared, translate
from fairseq_xling.evaluation.word_vectors import WordVectors, embedding_words, one_subword_words, read_vectors
from fairseq_xling.formats.dictionary import read_pairs
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.results import signature

EXAMPLE = """
Words are compared that are one subword in their language's vocabulary and occur in its training text; the candidates
are all such words of the target language, and any listed translation counts. With --train the two sides are normalised
and one orthogonal map is learnt from that dictionary; models that were trained apart need it.
  default            rows of the embedding matrices (Figure 4a)
  --means A B        per layer, folders of word means that eval/extract.py --words made (Figure 4b)
  --vectors A B      fastText .vec files, restricted to the same words (the baseline of Figure 4a)

examples:
  python eval/word_translation.py --source en=mono/en.pt --target fr=mono/fr.pt --train muse/en-fr.0-5000.txt \\
      --test muse/en-fr.5000-5750.txt --experiment mono --results results.jsonl
  python eval/word_translation.py --source en=bi.pt --target fr=bi.pt --test muse/en-fr.5000-5750.txt \\
      --experiment default
"""


def main() -> None:
    """Read the command line, measure, write the numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--test", type=Path, required=True, metavar="FILE", help="test dictionary, MUSE's format")
    parser.add_argument("--train", type=Path, metavar="FILE", help="training dictionary, to learn the map from")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--means", type=Path, nargs=2, metavar="DIR", help="word means of source and target")
    kind.add_argument("--vectors", type=Path, nargs=2, metavar="FILE", help=".vec files of source and target")
    parser.add_argument("--first", type=int, default=200_000, help="with --vectors: first vectors to read (200000)")
    parser.add_argument("--least", type=int, default=1, help="with --means: fewest occurrences of a word (1)")
    parser.add_argument("--all-words", action="store_true", help="with --means or --vectors: words of any subwords")
    parser.add_argument("--method", choices=METHODS, default="csls", help="retrieval (csls)")
    parser.add_argument("--k", type=int, default=10, help="neighbours of CSLS (10)")
    add_side_options(parser)
    add_result_options(parser)
    args = parser.parse_args()
    sides = load_sides(args.source, args.target, args.data, args.untrained, args.seed)
    if args.train is None and (args.vectors or not sides.bilingual):
        raise InputError("vectors that were trained apart need --train, a dictionary to learn the map from")
    models = (sides.source, sides.target)
    casings = [side.model.segmenter(side.language).casing for side in models]
    test = as_compared(read_pairs(args.test), *casings)
    train = as_compared(read_pairs(args.train), *casings) if args.train else None

    def restricted(vectors: WordVectors, number: int) -> WordVectors:
        if args.all_words:
            return vectors
        return vectors.restricted(one_subword_words(models[number].model, models[number].language))

    def measure(x: WordVectors, y: WordVectors) -> WordTranslation:
        return translate(*((x, y) if train is None else align(x, y, train)), test, args.method, args.k)

    task, what, layers = TRANSLATION, "embeddings", range(1)
    if args.means:
        means = [WordMeans.load(folder) for folder in args.means]
        if means[0].layers != means[1].layers:
            raise InputError(f"{means[0].layers} layers of word means, but {means[1].layers} here", args.means[1])
        task, what, layers = CONTEXTUAL_TRANSLATION, f"means_of_{args.least}_or_more", range(means[0].layers)
        found = [measure(*(restricted(m.layer(layer, args.least), i) for i, m in enumerate(means))) for layer in layers]
    elif args.vectors:
        what = "+".join(path.name for path in args.vectors)
        read = [read_vectors(path, args.first, casing) for path, casing in zip(args.vectors, casings, strict=True)]
        found = [measure(*(restricted(vectors, i) for i, vectors in enumerate(read)))]
    else:
        found = [measure(*(embedding_words(side.model, side.language) for side in models))]
    numbers = Numbers.of(args, sides)
    for layer, result in zip(layers, found, strict=True):
        how = signature(
            data=named(args.test),
            supervision=named(args.train) if args.train else None,
            vectors=what,
            words="all" if args.all_words and (args.means or args.vectors) else "one_subword",
            rule=f"csls,k={args.k}" if args.method == "csls" else "cosine",
            map="none" if train is None else "procrustes",
            coverage=round(result.coverage, 3),
            **sides.signature(),
        )
        numbers.add(task, "precision@1", result.precision, layer=layer, chance=result.chance, n=result.n, signature=how)
    numbers.write()
    print(f"coverage: {found[0].n} of {round(found[0].n / found[0].coverage)} source words ({found[0].coverage:.1%})")


if __name__ == "__main__":
    run_command(main)
