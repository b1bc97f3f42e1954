"""Text to fairseq's mmap format with the vocabulary of an existing data-bin."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from fairseq_xling.command import run_command
from fairseq_xling.corpus.binarise import binarise
from fairseq_xling.corpus.progress import text_progress
from fairseq_xling.formats.dict_txt import SPECIAL, read_dict
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.manifest import read_manifest

EXAMPLE = """
The text must be cased and tokenised as the data-bin's was; its manifest says how.

example, which writes more.bin and more.idx:
  python preprocess/binarise.py text/en.more.txt more --like data-bin/no_anchors/en-fr --lang en
"""


def main() -> None:
    """Binarise and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=Path, help="text, one sentence a line, plain or .gz .bz2 .xz .zst")
    parser.add_argument("out", type=Path, help="path of the files to write, without .bin and .idx")
    parser.add_argument("--like", type=Path, required=True, help="data-bin with the vocabulary")
    parser.add_argument("--lang", required=True, help="language")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (%(default)s)")
    args = parser.parse_args()
    manifest = read_manifest(args.like)
    if args.lang not in manifest["languages"]:
        raise InputError(f"no language {args.lang!r}; there is {', '.join(manifest['languages'])}", args.like)
    symbols, _ = read_dict(args.like / args.lang / "dict.txt")
    index = {symbol: number for number, symbol in enumerate(symbols, len(SPECIAL))}
    model = (args.like / args.lang / "spm.model").read_bytes()
    with text_progress("binarise", [args.text]) as bar:
        counts, _ = binarise(args.text, args.out, model, index, args.lang, manifest["mode"], args.workers, bar.update)
    print(f"{counts.sentences:,} sentences, {counts.tokens:,} tokens, {counts.unknown_rate:.4%} unknown")
    for reason, number in counts.skipped.items():
        print(f"left out: {number:,} {reason} (first: line {counts.first_skipped[reason]})")


if __name__ == "__main__":
    run_command(main)
