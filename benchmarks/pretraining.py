"""Pretraining throughput of this project and of stock fairseq, side by side in one run on the same data."""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import (
    SHAPES,
    STOCK,
    Shape,
    Speed,
    machine,
    our_arguments,
    parser,
    stock_arguments,
    table,
    train,
    training_arguments,
    write_corpus,
    write_json,
)

from fairseq_xling.command import run_command

EXPLANATION = """
Trains a few updates with each contender, in turn and in several rounds, from the same binarised corpus with the same
batch, optimiser settings and learning rate, and prints the median tokens per second and the median of the rounds'
ratios to stock fairseq (task multilingual_masked_lm, model roberta with as many layers).
paper: 8 layers, width 768, 79,000 subwords, 8 blocks of 256, all cores.
lab:   8 layers, width 64, 1,600 subwords, 16 sentences, no dropout, one core, as `train_scripts/run.sh --scale lab`.

example: python benchmarks/pretraining.py --shape paper --rounds 3 --out runs/bench/pretraining.json
"""
CONTENDERS = {
    "ours, float32": [],
    "ours, bfloat16": ["--bf16-autocast"],
    "ours, float32, layers 1-3 per language": ["--separate", "1-3"],
    "ours, bfloat16, layers 1-3 per language": ["--separate", "1-3", "--bf16-autocast"],
}


def main() -> None:
    """Read the command line, measure, print."""
    options = parser(EXPLANATION)
    options.add_argument(
        "--shape", choices=[*SHAPES, "all"], default="all", help="size of model and batch (all: paper and lab)"
    )
    options.add_argument("--rounds", type=int, default=3, help="times each contender runs, in turn (3)")
    options.add_argument("--only", help="contenders whose name contains this, besides stock fairseq")
    chosen = options.parse_args()
    figures: dict[str, Any] = {"machine": machine()}
    names = ["paper", "lab"] if chosen.shape == "all" else [chosen.shape]
    for name in names:
        figures[name] = measure(name, SHAPES[name], chosen.rounds, chosen.only or "")
        write_json(chosen.out, figures)


def contenders(data: Path, save: Path, shape: Shape, only: str) -> dict[str, list[str]]:
    """Arguments of fairseq-train for each."""
    common = training_arguments(data, save, shape)
    ours = {name: [*common, *our_arguments(shape), *words] for name, words in CONTENDERS.items() if only in name}
    return {STOCK: [*common, *stock_arguments(shape)], **ours}


def measure(name: str, shape: Shape, rounds: int, only: str) -> dict[str, dict[str, float]]:
    """All contenders in turn; prints a table of medians and of ratios to stock fairseq, round by round."""
    runs: dict[str, list[Speed]] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_corpus(data, shape)
        for number in range(rounds):
            for contender, words in contenders(data, Path(folder) / "save", shape, only).items():
                print(f"{name}: round {number + 1} of {rounds}, {contender}", file=sys.stderr, flush=True)
                runs.setdefault(contender, []).append(train(words, shape))
    figures = {contender: _figures(speeds, runs[STOCK]) for contender, speeds in runs.items()}
    rows = [
        [contender, f"{each['tokens_per_second']:,.0f}", f"{each['ratio']:.2f}", f"{each['seconds']:.0f}"]
        for contender, each in figures.items()
    ]
    print(f"\n{name}: {shape.updates} updates of {shape.batch} blocks, {rounds} rounds\n")
    print(table(["contender", "tokens/s", f"times {STOCK}", "seconds to the last update"], rows), flush=True)
    return figures


def _figures(speeds: list[Speed], stock: list[Speed]) -> dict[str, float]:
    ratios = [ours.tokens_per_second / theirs.tokens_per_second for ours, theirs in zip(speeds, stock, strict=True)]
    return {
        "tokens_per_second": statistics.median(speed.tokens_per_second for speed in speeds),
        "ratio": statistics.median(ratios),
        "seconds": statistics.median(speed.seconds for speed in speeds),
    }


if __name__ == "__main__":
    run_command(main)
