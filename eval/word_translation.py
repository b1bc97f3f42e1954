"""Word translation against a MUSE dictionary: at the embeddings, in every layer, or of fastText vectors (Figure 4)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from fairseq_xling.command import run_command
from fairseq_xling.evaluation.numbers import Numbers, add_result_options, named
from fairseq_xling.evaluation.sides import Sides, add_side_options, load_sides
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


def parse() -> argparse.Namespace:
    """The command line."""
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
    return parser.parse_args()


class Comparison:
    """Measures two sets of word vectors as the command line says; words and dictionaries in the form of `word_form`."""

    def __init__(self, args: argparse.Namespace, sides: Sides):
        self.args, self.sides = args, (sides.source, sides.target)
        self.casings = [side.model.segmenter(side.language).casing for side in self.sides]
        self.test = as_compared(read_pairs(args.test), *self.casings)
        self.train = as_compared(read_pairs(args.train), *self.casings) if args.train else None

    def measure(self, x: WordVectors, y: WordVectors) -> WordTranslation:
        """From `x`, of the source language, to `y`; mapped first where there is a training dictionary."""
        if self.train is not None:
            x, y = align(x, y, self.train)
        return translate(x, y, self.test, self.args.method, self.args.k)

    def of_words(self, vectors: Sequence[WordVectors]) -> WordTranslation:
        """`measure` for vectors of both sides that were made elsewhere, of the words that are one subword."""
        if self.args.all_words:
            return self.measure(*vectors)
        pairs = zip(vectors, self.sides, strict=True)
        return self.measure(*(each.restricted(one_subword_words(side.model, side.language)) for each, side in pairs))

    def embeddings(self) -> list[WordTranslation]:
        """At the embedding matrices: the one layer 0."""
        return [self.measure(*(embedding_words(side.model, side.language) for side in self.sides))]

    def means(self) -> list[WordTranslation]:
        """In every layer, of the folders of word means."""
        source, target = (WordMeans.load(folder) for folder in self.args.means)
        if source.layers != target.layers:
            raise InputError(f"{source.layers} layers of word means, but {target.layers} here", self.args.means[1])
        least = self.args.least
        return [self.of_words([means.layer(i, least) for means in (source, target)]) for i in range(source.layers)]

    def vectors(self) -> list[WordTranslation]:
        """Of files of vectors, as layer 0."""
        files = zip(self.args.vectors, self.casings, strict=True)
        return [self.of_words([read_vectors(path, self.args.first, casing) for path, casing in files])]


def main() -> None:
    """Measure and write the numbers."""
    args = parse()
    sides = load_sides(args.source, args.target, args.data, args.untrained, args.seed)
    if args.train is None and (args.vectors or not sides.bilingual):
        raise InputError("vectors that were trained apart need --train, a dictionary to learn the map from")
    comparison = Comparison(args, sides)
    task, what = TRANSLATION, "embeddings"
    if args.means:
        task, what = CONTEXTUAL_TRANSLATION, f"means_of_{args.least}_or_more"
        found = comparison.means()
    elif args.vectors:
        what = "+".join(path.name for path in args.vectors)
        found = comparison.vectors()
    else:
        found = comparison.embeddings()
    numbers = Numbers.of(args, sides)
    for layer, result in enumerate(found):
        how = signature(
            data=named(args.test),
            supervision=named(args.train) if args.train else None,
            vectors=what,
            words="all" if args.all_words and (args.means or args.vectors) else "one_subword",
            rule=f"csls,k={args.k}" if args.method == "csls" else "cosine",
            map="procrustes" if args.train else "none",
            coverage=round(result.coverage, 3),
            **sides.signature(),
        )
        numbers.add(task, "precision@1", result.precision, layer=layer, chance=result.chance, n=result.n, signature=how)
    numbers.write()
    print(f"coverage: {found[0].n} of {round(found[0].n / found[0].coverage)} source words ({found[0].coverage:.1%})")


if __name__ == "__main__":
    run_command(main)
