"""Pretraining on one GPU against the rate of dense products that the same GPU reaches, and against stock fairseq."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from common import (
    FAST,
    SHAPES,
    Shape,
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
from fairseq_xling.tasks.throughput import measure_matrix_rate

EXPLANATION = """
Measures the rate of dense bfloat16 products, then trains this project's model in bfloat16 at the paper's shape (8
layers, width 768, 79,000 subwords, batches of 96 x 256) and stock fairseq in each setting for one GPU; prints tokens a
second, the share of the measured rate (model FLOPs utilisation) and the ratio to stock fairseq's fastest setting;
at the end a profile of a few updates. "fast" is with --torch-compile --cuda-graph. --tiny runs all of it with a small
model on whatever device there is.

example: benchmarks/gpu.sh --out runs/bench/gpu.json
"""
OURS = {
    "ours": [],
    "ours, fast": FAST,
    "ours, fast, layers 1-3 per language": [*FAST, "--separate", "1-3"],
    "ours, fast, twice the batch": FAST,
}
STOCK = {"stock fairseq, --fp16": ["--fp16"], "stock fairseq, --amp": ["--amp"], "stock fairseq, float32": []}
SECONDS = 60
"""Longest that one run may take."""


def main() -> None:
    """Read the command line, measure, print."""
    options = parser(EXPLANATION)
    options.add_argument("--batch", type=int, default=96, help="blocks of a batch (96)")
    options.add_argument("--tiny", action="store_true", help="a small model on any device, to see that all of it works")
    chosen = options.parse_args()
    if not torch.cuda.is_available() and not chosen.tiny:
        print("benchmarks/gpu.sh: no GPU here, nothing measured", file=sys.stderr)
        sys.exit(3)
    name = "tiny" if chosen.tiny else "gpu"
    shape = SHAPES[name] if chosen.tiny else replace(SHAPES[name], batch=chosen.batch)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rate = measure_matrix_rate(device, torch.bfloat16)
    print(f"dense bfloat16 products: {rate / 1e12:.2f} TFLOP/s, measured", flush=True)
    speeds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_corpus(Path(folder) / "data", shape, 2_000 if chosen.tiny else 150_000)
        for contender in [*OURS, *STOCK]:
            print(f"{contender} ...", file=sys.stderr, flush=True)
            try:
                speeds[contender] = speed_of(contender, Path(folder), shape)
            except OSError as error:
                print(f"{contender} does not work here: {str(error).splitlines()[0]}", flush=True)
    report(speeds, shape.flops_per_token / rate, chosen.out)
    step = [sys.executable, str(Path(__file__).with_name("step.py")), "--shape", name, "--bf16", "--fast", "--profile"]
    try:
        subprocess.run([*step, "--updates", "5"], timeout=SECONDS, check=True)
    except subprocess.TimeoutExpired:
        print(f"the profile was given up after {SECONDS} s", flush=True)


def speed_of(contender: str, folder: Path, shape: Shape) -> float:
    """Tokens a second of one contender.

    Raises
    ------
    OSError
        It does not work here, or not within `SECONDS`.
    """
    if contender.endswith("twice the batch"):
        shape = replace(shape, batch=2 * shape.batch, updates=shape.updates // 2, interval=max(shape.interval // 2, 1))
    if contender.endswith("float32"):  # some ten times slower
        shape = replace(shape, updates=max(shape.updates // 3, 4), interval=max(shape.interval // 3, 1))
    words = training_arguments(folder / "data", folder / "save", shape)
    if contender in OURS:
        words += [*our_arguments(shape), "--bf16-autocast", *OURS[contender]]
    else:
        words += [*stock_arguments(shape), *STOCK[contender]]
    return train(words, shape, timeout=SECONDS).tokens_per_second


def report(speeds: dict[str, float], seconds_per_token: float, out: Path | None) -> None:
    """The table; `seconds_per_token` is what the measured rate would take for one."""
    fastest = max((speed for contender, speed in speeds.items() if contender in STOCK), default=None)
    rows: list[list[Any]] = [
        [
            contender,
            f"{speed:,.0f}",
            f"{100 * speed * seconds_per_token:.1f} %",
            "" if fastest is None else f"{speed / fastest:.2f}",
        ]
        for contender, speed in speeds.items()
    ]
    print("\n" + table(["contender", "tokens/s", "utilisation", "times the fastest stock setting"], rows), flush=True)
    shares = {contender: speed * seconds_per_token for contender, speed in speeds.items()}
    write_json(out, {"machine": machine(), "tokens_per_second": speeds, "utilisation": shares})


if __name__ == "__main__":
    run_command(main)
