"""Word tokenisation and casing of text, one sentence a line; control characters are taken out."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from fairseq_xling.command import run_command
from fairseq_xling.corpus.lines import LineStep, write_lines
from fairseq_xling.corpus.notes import write_notes
from fairseq_xling.corpus.progress import text_progress
from fairseq_xling.corpus.words import TOKENISATIONS, tokenisation_of
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.manifest import CASINGS

EXAMPLE = """
moses: sacremoses, without XML escapes. jieba: Chinese word segmentation; the paper used Stanford's segmenter (a CRF
trained on the Chinese Treebank), which cuts names and compounds more finely: see docs/preprocessing.md.
notes.json beside the text says what was done, so a folder is for text of one casing.
Lines that are not UTF-8 or longer than 1 MiB are left out and counted.

example:
  python preprocess/tokenise.py text/fr.raw.txt text/fr.tok.txt --lang fr --casing lower
"""


def main() -> None:
    """Tokenise and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=Path, help="text, plain or .gz .bz2 .xz .zst")
    parser.add_argument("out", type=Path, help="text file to write")
    parser.add_argument("--lang", required=True, help="language")
    parser.add_argument("--tokenisation", choices=TOKENISATIONS, help="default: jieba for zh (zh-cn, ...), else moses")
    parser.add_argument("--casing", choices=CASINGS, default="cased", help="(%(default)s)")
    parser.add_argument("--split", action="store_true", help="cut paragraphs into sentences first")
    parser.add_argument("--json", metavar="FIELD", help="lines are JSON objects with the text in FIELD")
    parser.add_argument("--keep-blank", action="store_true", help="keep blank lines, which separate documents")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (%(default)s)")
    args = parser.parse_args()
    kind = args.tokenisation or tokenisation_of(args.lang)
    if not args.text.exists():  # before the notes, which would speak of no text, and keep another casing out
        raise InputError("no such file", args.text)
    step = LineStep(args.lang, kind, args.casing, args.split, args.json, args.keep_blank)
    write_notes(args.out.parent, args.casing, {args.lang: kind})
    with text_progress("tokenise", [args.text]) as bar:
        print(write_lines(args.text, args.out, step, args.workers, bar.update))


if __name__ == "__main__":
    run_command(main)
