"""A uniform sample of sentences of a web corpus, in one pass and bounded memory, as large as a reference corpus."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from fairseq_xling.command import run_command, seed_number
from fairseq_xling.corpus.lines import LineStep
from fairseq_xling.corpus.progress import text_progress
from fairseq_xling.corpus.steps import count_sentences, sample
from fairseq_xling.formats.errors import InputError

EXAMPLE = """
The sample comes out shuffled. CC-100 has a paragraph a line: use --split, so that sentences are counted and drawn.

example, as many French web sentences as there are English Wikipedia sentences (wiki_cc):
  python preprocess/sample_web.py cc100/fr.txt.xz text/fr.cc.txt --lang fr --split --like text/en.raw.txt --seed 1
"""


def main() -> None:
    """Draw and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path, help="plain text or JSON lines, plain or .gz .bz2 .xz .zst")
    parser.add_argument("out", type=Path, help="text file to write")
    parser.add_argument("--lang", required=True, help="language")
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--like", type=Path, metavar="TEXT", help="draw as many sentences as this text has")
    size.add_argument("--sentences", type=int, help="draw so many sentences")
    parser.add_argument("--seed", type=seed_number, default=1, help="(%(default)s)")
    parser.add_argument("--split", action="store_true", help="cut paragraphs into sentences first")
    parser.add_argument("--json", metavar="FIELD", help="lines are JSON objects with the text in FIELD")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (%(default)s)")
    args = parser.parse_args()
    wanted = args.sentences if args.like is None else count_sentences(args.like)
    if wanted < 1:
        raise InputError(f"a sample of {wanted} sentences was asked for; expected at least 1", args.like)
    step = LineStep(args.lang, split=args.split, json_field=args.json)
    with text_progress("sample", [args.corpus]) as bar:
        written, found = sample(args.corpus, args.out, step, wanted, args.seed, args.workers, bar.update)
    print(found)
    print(f"{written:,} of {found.counts['written']:,} sentences drawn with seed {args.seed}")
    if written < wanted:
        raise InputError(
            f"the corpus has only {written:,} of the {wanted:,} sentences wanted; all are written", args.corpus
        )


if __name__ == "__main__":
    run_command(main)
