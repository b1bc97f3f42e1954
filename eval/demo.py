"""Cross-lingual structure emerging, on one page: three models of the invented world, measured and drawn."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from fairseq_xling.command import run_command, seed_number
from fairseq_xling.evaluation.demo import Demo

EXPLANATION = """
Makes the invented bilingual world, pretrains three models of the pair qaa-qab through fairseq-train, and measures what
they share without ever having seen a translation:

  default        one vocabulary, everything shared
  no_anchors     no string in common: every subword carries its language
  sep_emb_l1-6   vocabulary, embeddings and the six bottom layers of eight per language

It prints a table and writes OUT/results.jsonl and OUT/report.html. What is done is skipped when it is run again.
Options of fairseq-train for all models may follow after --; give such demos a folder of their own.

example: python eval/demo.py --out runs/demo --seeds 1 2 3
         python eval/demo.py --out runs/demo-bf16 -- --bf16-autocast
"""


def main() -> None:
    """Read the command line and run the demo."""
    parser = argparse.ArgumentParser(description=EXPLANATION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder of everything (runs/demo)")
    parser.add_argument("--seeds", type=seed_number, nargs="+", default=[1], help="seeds of the models (1)")
    parser.add_argument("--updates", type=int, default=3500, help="updates of each model (3500)")
    parser.add_argument(
        "--processes", type=int, default=max(3, os.cpu_count() or 1), help="models trained at a time (3, or cores)"
    )
    parser.add_argument("options", nargs="*", metavar="-- OPTION", help="further options of fairseq-train")
    arguments = parser.parse_args()
    Demo(arguments.out, arguments.seeds, arguments.updates, arguments.processes, arguments.options).run()


if __name__ == "__main__":
    run_command(main)
