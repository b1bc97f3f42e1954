"""Text files to a data-bin: SentencePiece BPE, dictionary, fairseq's mmap format, manifest."""

from __future__ import annotations

import argparse
import os

from fairseq_xling.command import run_command
from fairseq_xling.corpus.databin import DatabinOptions, build_databin, describe
from fairseq_xling.corpus.notes import notes_of
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.manifest import CASINGS, MODES

EXAMPLE = """
Vocabulary modes: joint (one BPE on all text), union (a BPE per language, identical subwords shared), prefixed
(a BPE per language, nothing shared: no anchors), separate (a BPE and a dictionary per language; needs --separate emb).
--bpe-size counts the subwords of each SentencePiece model, its 3 control symbols included; in joint mode there is one.

example, from text/qaa.train.txt, text/qaa.valid.txt, text/qab.train.txt, text/qab.valid.txt:
  python preprocess/build_databin.py data-bin/no_anchors --text qaa=text/qaa qab=text/qab --mode prefixed --bpe-size 800
An interrupted build goes on where it stopped when the same command is given again.
"""


def text_argument(value: str) -> tuple[str, str]:
    """`LANG=PREFIX` as a pair."""
    lang, equals, prefix = value.partition("=")
    if not (lang and equals and prefix):
        raise argparse.ArgumentTypeError(f"{value!r}: expected LANG=PREFIX, such as en=text/en")
    return lang, prefix


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", help="data-bin folder to make")
    parser.add_argument(
        "--text",
        nargs="+",
        required=True,
        type=text_argument,
        metavar="LANG=PREFIX",
        help="text PREFIX.{train,valid,test}.txt, plain or .gz .bz2 .xz .zst, one sentence a line",
    )
    parser.add_argument("--mode", choices=MODES, default="joint", help="vocabulary mode (%(default)s)")
    parser.add_argument("--bpe-size", type=int, default=80_000, help="subwords of each BPE (%(default)s)")
    parser.add_argument(
        "--character-coverage",
        type=float,
        default=0.9999,
        metavar="SHARE",
        help="running characters that the BPE must know (%(default)s)",
    )
    parser.add_argument("--shrink", action="store_true", help="accept fewer subwords where the text gives no more")
    parser.add_argument("--allow-unknown", action="store_true", help="accept more than 1 %% of unknown tokens")
    parser.add_argument("--casing", choices=CASINGS, help="of the text (default: what notes.json beside it says)")
    parser.add_argument(
        "--tokenisation",
        nargs="*",
        default=[],
        type=text_argument,
        metavar="LANG=KIND",
        help="of the text, none, moses or jieba (default: what notes.json beside it says, else none)",
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (%(default)s)")
    return parser.parse_args()


def main() -> None:
    """Build and report."""
    args = parse()
    text = dict(args.text)
    if len(text) < len(args.text):
        raise InputError("a language is given twice in --text")
    casing, tokenisation = notes_of(text)
    options = DatabinOptions(
        mode=args.mode,
        bpe_size=args.bpe_size,
        coverage=args.character_coverage,
        shrink=args.shrink,
        allow_unknown=args.allow_unknown,
        casing=args.casing or casing,
        tokenisation={**tokenisation, **dict(args.tokenisation)},
    )
    print(describe(build_databin(args.out, text, options, args.workers)))


if __name__ == "__main__":
    run_command(main)
