"""A weighted dictionary (source<TAB>target<TAB>quality) from PanLex Lite, from MUSE's files or from plain TSV."""

from __future__ import annotations

import argparse
from pathlib import Path

from fairseq_xling.command import run_command
from fairseq_xling.corpus.panlex import read_panlex
from fairseq_xling.formats.dictionary import Weights, add_weights, inverted, read_weighted, write_weighted
from fairseq_xling.formats.errors import InputError

EXAMPLE = """
The quality of a pair in PanLex is summed over its sources; pairs of MUSE and of TSV files without a third column
count 1 for each file that has them. Several files are added up.

examples:
  python preprocess/make_dictionary.py en-fr.weighted.tsv --panlex panlex_lite/db.sqlite --from eng-000 --to fra-000
  python preprocess/make_dictionary.py en-fr.weighted.tsv --files muse/en-fr.0-5000.txt muse/en-fr.rest.txt.gz \\
      --inverted-files muse/fr-en.0-5000.txt
"""


def main() -> None:
    """Make the dictionary and report its size."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="file to write")
    parser.add_argument("--panlex", type=Path, metavar="DB", help="db.sqlite of PanLex Lite")
    parser.add_argument("--from", dest="sources", nargs="+", metavar="UID", help="PanLex varieties, such as eng-000")
    parser.add_argument("--to", dest="targets", nargs="+", metavar="UID", help="PanLex varieties, such as cmn-000")
    parser.add_argument("--files", type=Path, nargs="+", default=[], help="dictionaries, source to target")
    parser.add_argument("--inverted-files", type=Path, nargs="+", default=[], help="dictionaries, target to source")
    args = parser.parse_args()
    if args.panlex and not (args.sources and args.targets):
        raise InputError("--panlex needs --from and --to")
    if not (args.panlex or args.files or args.inverted_files):
        raise InputError("nothing to make a dictionary from; give --panlex, --files or --inverted-files")
    total: Weights = {}
    if args.panlex:
        add_weights(total, read_panlex(args.panlex, args.sources, args.targets))
    for path in args.files:
        add_weights(total, read_weighted(path))
    for path in args.inverted_files:
        add_weights(total, inverted(read_weighted(path)))
    lines = write_weighted(args.out, total)
    print(f"{lines:,} pairs of {len(total):,} words written to {args.out}")


if __name__ == "__main__":
    run_command(main)
