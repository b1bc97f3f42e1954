"""Shuffle sentences in bounded memory and hold out development and test sets."""

from __future__ import annotations

import argparse
from pathlib import Path

from fairseq_xling.command import run_command, seed_number
from fairseq_xling.corpus.notes import carry_notes
from fairseq_xling.corpus.progress import text_progress
from fairseq_xling.corpus.steps import shuffle_split

EXAMPLE = """
Blank lines (ends of documents) are left out. Sentences that are held out are taken out of the training text wherever
they occur again. The same text and seed give the same files.

example, which writes text/fr.train.txt, text/fr.valid.txt, text/fr.test.txt:
  python preprocess/shuffle_split.py text/fr.tok.txt text/fr --valid 5000 --test 5000 --seed 1
"""


def main() -> None:
    """Shuffle, split and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=Path, nargs="+", help="text, plain or .gz .bz2 .xz .zst; several are put together")
    parser.add_argument("out", type=Path, help="prefix of the files to write")
    parser.add_argument("--valid", type=int, default=5000, help="sentences of the development set (%(default)s)")
    parser.add_argument("--test", type=int, default=5000, help="sentences of the test set (%(default)s)")
    parser.add_argument("--seed", type=seed_number, default=1, help="(%(default)s)")
    args = parser.parse_args()
    for text in args.text:
        carry_notes(text, args.out)
    with text_progress("shuffle", args.text) as bar:
        counts = shuffle_split(args.text, args.out, args.valid, args.test, args.seed, bar.update)
    print("; ".join(f"{number:,} {key}" for key, number in counts.items()))


if __name__ == "__main__":
    run_command(main)
