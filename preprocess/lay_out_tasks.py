"""The full task sets, as get_data.sh fetched them, in the folder layout of the lab."""

from __future__ import annotations

import argparse
from pathlib import Path

from fairseq_xling.command import run_command
from fairseq_xling.corpus.tasks_layout import TaskSets

EXAMPLE = """
OUT gets nli/ (MultiNLI, XNLI), parallel/ (XNLI 15-way: 1,000 sentences to test on, the rest to fit on), ner/ (WikiAnn),
ud/ (UD 2.3: EWT and GSD), dictionaries/ (MUSE), tatoeba/. What is not in RAW is named and left out.

example:
  python preprocess/lay_out_tasks.py raw data --langs en fr ru zh
"""


def main() -> None:
    """Lay out and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("raw", type=Path, help="folder of get_data.sh")
    parser.add_argument("out", type=Path, help="folder to write; what is there already is kept")
    parser.add_argument("--langs", nargs="+", default=["en", "fr", "ru", "zh"], help="languages (en fr ru zh)")
    args = parser.parse_args()
    sets = TaskSets(args.raw, args.out, args.langs)
    sets.run()
    print(f"{len(sets.done)} files in {args.out}")
    for line in sets.absent:
        print(f"absent: {line}")


if __name__ == "__main__":
    run_command(main)
