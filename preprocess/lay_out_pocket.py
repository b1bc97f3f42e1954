"""The small public sets of the `pocket` scale in the folder layout of the lab."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from fairseq_xling.command import run_command, seed_number
from fairseq_xling.corpus.pocket import Pocket
from fairseq_xling.formats.manifest import CASINGS

EXAMPLE = """
SOURCE holds bible/ muse/ ntrex/ panlex/ tatoeba/ ud/ ud_pud/ wiki_text/ wikiann/ wiktionary_dict/ xnli/ and a
manifest.tsv with their SHA-256. OUT gets text/<domain>/<lang>.{train,valid,test}.txt (domains bible, wiki, news, and
all: the three together), dictionaries/ ud/ ner/ nli/ parallel/ tatoeba/ and CONTENTS.txt. The French, Russian and
Chinese Wikipedia texts are lower-cased at their source, so lower is the default casing of all text.

example (about a minute):
  python preprocess/lay_out_pocket.py ../shared/data runs/pocket/data
"""


def main() -> None:
    """Lay out and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="folder of the sets")
    parser.add_argument("out", type=Path, help="folder to write; what is there already is kept")
    parser.add_argument("--casing", choices=CASINGS, default="lower", help="of the running text (%(default)s)")
    parser.add_argument("--seed", type=seed_number, default=1, help="of the held-out sentences (%(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (%(default)s)")
    args = parser.parse_args()
    pocket = Pocket(args.source, args.out, args.casing, args.seed, args.workers)
    pocket.run()
    print(f"{len(pocket.done)} files or groups of files in {args.out}; CONTENTS.txt lists them")
    for line in pocket.absent:
        print(f"absent: {line}")


if __name__ == "__main__":
    run_command(main)
