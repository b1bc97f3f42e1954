"""Features of every layer for a file of text: sentences, words in context, or the mean of each word type."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from fairseq_xling.command import run_command
from fairseq_xling.evaluation.feature_files import memory_mapped
from fairseq_xling.evaluation.features import sentence_features
from fairseq_xling.evaluation.pretrained import Pretrained
from fairseq_xling.evaluation.word_features import POOLINGS, word_features, word_means
from fairseq_xling.evaluation.word_vectors import one_subword_words
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.files import atomic_write
from fairseq_xling.formats.text import read_lines

EXAMPLE = """
One pass gives all layers, L0 (embeddings) to the last; arrays are float32 and can be read through the memory map
(numpy.load(..., mmap_mode="r")).
  --sentences    OUT/sentences.npy (layers, sentences, dim): mean of the subwords, special tokens left out
  --occurrences  OUT/occurrences.npy (layers, words, dim) and OUT/words.txt, the words of each sentence
  --words        OUT/means.npy (words, layers, dim) and OUT/words.tsv (word, occurrences): running means of word types,
                 case ignored; memory grows with the number of types, not with the text

example:
  python eval/extract.py en=runs/mono/en/checkpoint_best.pt en.train.txt OUT --words --limit 500000
"""


def main() -> None:
    """Read the command line and write the features."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="LANG=CHECKPOINT", help="language of the text, and the model")
    parser.add_argument("text", type=Path, help="one sentence a line, plain or compressed, tokenised (see --raw)")
    parser.add_argument("out", type=Path, help="folder to write to")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--sentences", action="store_true", help="mean of each sentence")
    kind.add_argument("--occurrences", action="store_true", help="every word of every sentence")
    kind.add_argument("--words", action="store_true", help="mean of each word type")
    parser.add_argument("--raw", action="store_true", help="tokenise the text first, as the training text was")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N sentences")
    parser.add_argument("--pooling", choices=POOLINGS, default="mean", help="a word from its subwords (mean)")
    parser.add_argument("--one-subword", action="store_true", help="with --words: only words of one subword")
    parser.add_argument("--untrained", type=int, metavar="SEED", help="give the model fresh random weights")
    parser.add_argument("--data", metavar="DIR", help="data-bin of the model (default: where it was at training)")
    parser.add_argument("--bf16", action="store_true", help="compute in bfloat16")
    args = parser.parse_args()
    language, equals, checkpoint = args.model.partition("=")
    if not equals:
        raise InputError(f"expected LANG=CHECKPOINT, found {args.model!r}")
    model = Pretrained.load(checkpoint, args.data)
    if args.untrained is not None:
        model = model.random_twin(args.untrained)
    segmenter = model.segmenter(language)
    lines: Iterable[str] = islice(read_lines(args.text), args.limit)
    if args.raw:
        lines = map(segmenter.tokenise, lines)
    if args.words:
        total = sum(1 for _ in islice(read_lines(args.text), args.limit))
        keep = set(one_subword_words(model, language)) if args.one_subword else None
        means = word_means(model, lines, language, args.pooling, keep, args.bf16, total, progress=language)
        means.save(args.out)
        print(f"{len(means.index):,} words of {total:,} sentences written to {args.out}")
        return
    texts = list(lines)
    if args.sentences:
        with memory_mapped(args.out / "sentences.npy") as out:
            shape = sentence_features(model, texts, language, args.bf16, out, progress=language).shape
    else:
        words = [text.split() for text in texts]
        with memory_mapped(args.out / "occurrences.npy") as out:
            shape = word_features(model, words, language, args.pooling, args.bf16, out, progress=language).shape
        with atomic_write(args.out / "words.txt") as listing:
            listing.writelines(" ".join(some) + "\n" for some in words)
    print(f"array of shape {shape} written to {args.out}")


if __name__ == "__main__":
    run_command(main)
