"""Pretraining on one GPU against the rate of dense products that the same GPU reaches, and against stock fairseq."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from common import (
    FAST,
    SHAPES,
    STOCK,
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
second, the share of the measured rate (model FLOPs utilisation), the ratio to stock fairseq's fastest setting (of the
same batch, and of all), and a profile of a few updates. "fast" is with --torch-compile --cuda-graph; where the
residual is named, with --bf16-residual, which rounds as stock fairseq's --fp16 does. Each line is printed as soon as it
is known; what would not end within the time is left out. --tiny runs all of it with a small model on any device.

example: benchmarks/gpu.sh --out runs/bench/gpu.json
"""
TWICE = ", twice the batch"
ROUNDED = [*FAST, "--bf16-residual"]
CONTENDERS = {  # the most telling first
    "ours, fast": FAST,
    "stock fairseq, --fp16": ["--fp16"],
    "ours, fast, layers 1-3 per language": [*FAST, "--separate", "1-3"],
    "ours, fast, residual in bfloat16": ROUNDED,
    "stock fairseq, --fp16" + TWICE: ["--fp16"],
    "ours, fast, residual in bfloat16" + TWICE: ROUNDED,
    "stock fairseq, --amp": ["--amp"],
    "ours": [],
    "stock fairseq, float32": [],
}
RUN, PROFILE, ALL = 60, 60, 280
"""Seconds: the longest that one run, the profile and, unless told otherwise, all together may take."""


def main() -> None:
    """Read the command line, measure, print."""
    begin = time.monotonic()
    options = parser(EXPLANATION)
    options.add_argument("--batch", type=int, default=96, help="blocks of a batch (96)")
    options.add_argument("--seconds", type=float, default=ALL, help=f"that all of it may take ({ALL})")
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
        for number, contender in enumerate(CONTENDERS):
            left = begin + chosen.seconds - time.monotonic() - (PROFILE if number < 2 else 0)
            measure(contender, Path(folder), shape, left, speeds, shape.flops_per_token / rate)
            write_json(chosen.out, {"machine": machine(), "matrix_rate": rate, "tokens_per_second": speeds})
            if number == 1:
                print(profile(name), flush=True)
    report(speeds, shape.flops_per_token / rate)


def measure(
    contender: str, folder: Path, shape: Shape, left: float, speeds: dict[str, float], seconds_per_token: float
) -> None:
    """Add a contender's speed and print it, if it works here and in the seconds that are left."""
    if left < RUN / 2:
        print(f"{contender}: left out, the time is over", flush=True)
        return
    begin = time.monotonic()
    try:
        speed = speeds[contender] = speed_of(contender, folder, shape, min(RUN, left))
    except OSError as error:
        print(f"{contender} does not work here: {str(error).splitlines()[0]}", flush=True)
        return
    took = time.monotonic() - begin
    share = 100 * speed * seconds_per_token
    print(f"{contender}: {speed:,.0f} tokens/s, utilisation {share:.1f} % (in all {took:.0f} s)", flush=True)


def profile(shape: str) -> str:
    """Table of the operations of a few updates of ours, fast."""
    step = [sys.executable, str(Path(__file__).with_name("step.py")), "--shape", shape, "--bf16", "--fast", "--profile"]
    try:
        quiet = {**os.environ, "LOGLEVEL": "ERROR"}
        run = subprocess.run([*step, "--updates", "5"], timeout=PROFILE, capture_output=True, text=True, env=quiet)
    except subprocess.TimeoutExpired:
        return f"no profile: it took more than {PROFILE} s"
    if run.returncode:
        return f"no profile: {(run.stderr.strip().splitlines() or [''])[-1]}"
    return run.stdout


def speed_of(contender: str, folder: Path, shape: Shape, limit: float) -> float:
    """Tokens a second of one contender: the median over lines of the log.

    Stock fairseq's sum would depend on chance: its last batch of a language is short, slow, and anywhere in the epoch.

    Raises
    ------
    OSError
        It does not work here, or not within `limit` seconds.
    """
    if contender.endswith(TWICE):
        shape = replace(shape, batch=2 * shape.batch, updates=max(shape.updates // 2, 6))
    if contender.endswith("float32"):  # some ten times slower
        shape = replace(shape, updates=max(shape.updates // 3, 4), interval=max(shape.interval // 3, 1))
    words = training_arguments(folder / "data", folder / "save", shape)
    if contender.startswith("ours"):
        words += [*our_arguments(shape), "--bf16-autocast"]
    else:
        words += stock_arguments(shape)
    return train([*words, *CONTENDERS[contender]], shape, timeout=limit).median


def report(speeds: dict[str, float], seconds_per_token: float) -> None:
    """The table; `seconds_per_token` is what the measured rate would take for one."""
    rows: list[list[Any]] = []
    for contender, speed in speeds.items():
        alike = {other: found for other, found in speeds.items() if other.endswith(TWICE) == contender.endswith(TWICE)}
        rows.append(
            [
                contender,
                f"{speed:,.0f}",
                f"{100 * speed * seconds_per_token:.1f} %",
                times_stock(speed, alike),
                times_stock(speed, speeds),
            ]
        )
    columns = ["contender", "tokens/s", "utilisation", "times stock's fastest, same batch", "times stock's fastest"]
    print("\n" + table(columns, rows), flush=True)


def times_stock(speed: float, speeds: dict[str, float]) -> str:
    """Ratio of a speed to stock fairseq's fastest of some; empty if there is none."""
    fastest = max((found for contender, found in speeds.items() if contender.startswith(STOCK)), default=None)
    return "" if fastest is None else f"{speed / fastest:.2f}"


if __name__ == "__main__":
    run_command(main)
