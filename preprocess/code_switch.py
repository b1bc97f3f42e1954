"""Extra anchors: replace words of tokenised text by translations, drawn by quality."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from fairseq_xling.command import run_command, seed_number
from fairseq_xling.corpus.codeswitch import SwitchOptions, rates, switch_file, translation_table
from fairseq_xling.corpus.notes import carry_notes, read_notes
from fairseq_xling.corpus.progress import text_progress
from fairseq_xling.formats.dictionary import inverted, read_weighted
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.manifest import CASINGS

EXAMPLE = """
Each running word that has a translation is replaced with probability --rate, but at most --cap of the words of any
64 to 256 consecutive words (so of any block of 256 subwords that holds at least 64 words), in the order of the file.

example:
  python preprocess/code_switch.py text/en.train.txt switched/en.train.txt --dictionary dictionaries/en-fr.weighted.tsv
  python preprocess/code_switch.py text/fr.train.txt switched/fr.train.txt --inverted \\
      --dictionary dictionaries/en-fr.weighted.tsv
"""


def main() -> None:
    """Switch and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=Path, help="tokenised text, one sentence a line, plain or compressed")
    parser.add_argument("out", type=Path, help="text file to write")
    parser.add_argument(
        "--dictionary", type=Path, required=True, help="source<TAB>target<TAB>quality, or MUSE's format"
    )
    parser.add_argument("--inverted", action="store_true", help="read the dictionary from target to source")
    parser.add_argument("--casing", choices=CASINGS, help="of the text (default: what notes.json beside it says)")
    parser.add_argument("--rate", type=float, default=0.30, help="probability for a dictionary word (%(default)s)")
    parser.add_argument("--cap", type=float, default=0.15, help="highest share of the words of a block (%(default)s)")
    parser.add_argument("--seed", type=seed_number, default=1, help="(%(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (%(default)s)")
    args = parser.parse_args()
    for name in ("rate", "cap"):
        if not 0 < getattr(args, name) <= 1:
            raise InputError(f"--{name} is {getattr(args, name)}; expected a number above 0, at most 1")
    weights = read_weighted(args.dictionary)
    casing = args.casing or read_notes(args.text.parent)["casing"]
    table = translation_table(inverted(weights) if args.inverted else weights, casing)
    options = SwitchOptions(args.rate, args.cap, args.seed)
    carry_notes(args.text, args.out)
    with text_progress("switch", [args.text]) as bar:
        print(rates(switch_file(args.text, args.out, table, options, args.workers, bar.update)))


if __name__ == "__main__":
    run_command(main)
