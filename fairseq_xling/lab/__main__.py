"""``python -m fairseq_xling.lab``: write an invented world's text and gold."""

from __future__ import annotations

import argparse

from fairseq_xling.command import run_command, seed_number
from fairseq_xling.formats.errors import InputError
from fairseq_xling.lab.files import LabOptions, write_lab

DESCRIPTION = """\
Write the lab: running text, parallel sentences, paraphrases, dictionaries, treebanks, named entities and
entailment pairs of four invented languages (qaa source, qab close, qac further, qad distant), all made from
meanings that are known, so that all gold is exact. The same options give the same bytes. docs/lab.md lists the
files."""

EXAMPLE = """\
example:
  python -m fairseq_xling.lab runs/lab --seed 1 --sentences 16000
      16,000 sentences for each language in each of two domains"""


def main() -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(
        prog="python -m fairseq_xling.lab",
        description=DESCRIPTION,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = LabOptions()
    parser.add_argument("out", metavar="OUT", help="folder to write; appears when everything is done")
    parser.add_argument(
        "--seed", type=seed_number, default=default.seed, help="another seed, another world (default: %(default)s)"
    )
    parser.add_argument(
        "--sentences",
        type=int,
        default=default.sentences,
        help="training sentences for each language and domain (default: %(default)s)",
    )
    parser.add_argument(
        "--size", type=float, default=default.size, help="scale of the vocabulary; 1: about 200 concepts; at least 0.11"
    )
    parser.add_argument(
        "--gold", type=float, default=default.gold, help="scale of the gold sets (default: %(default)s)"
    )
    parser.add_argument(
        "--shared",
        type=float,
        metavar="SHARE",
        help="share of qab's words that are the same as in qaa; of its names twice that, at most all (default: 0.25)",
    )
    args = parser.parse_args()
    if args.sentences < 1 or args.seed < 0 or not 0 < args.size < 1e6 or not 0 < args.gold < 1e6:
        raise InputError("--sentences, --size and --gold must be above 0 (and below a million), --seed not below 0")
    if args.shared is not None and not 0 <= args.shared <= 1:
        raise InputError(f"--shared must be between 0 and 1, not {args.shared}")
    options = LabOptions(args.seed, args.sentences, args.size, args.gold, args.shared)
    folder = write_lab(args.out, options, progress=True)
    print(f"{folder}: lab of seed {options.seed}, {options.sentences} sentences for each language and domain")


if __name__ == "__main__":
    run_command(main)
