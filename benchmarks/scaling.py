"""One process against two on this machine: what the reduction of gradients over gloo costs."""

from __future__ import annotations

import os
import socket
import statistics
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from common import (
    SHAPES,
    Shape,
    machine,
    our_arguments,
    parser,
    table,
    train,
    training_arguments,
    write_corpus,
    write_json,
)

from fairseq_xling.command import run_command

EXPLANATION = """
Trains with one process of one thread, then with two of them, each with its own batches, and prints tokens per second
of all together and the efficiency: speed of two over twice the speed of one. Processes reduce their gradients after
each batch, or after every --accumulate batches, as GPUs would with large batches.

example: python benchmarks/scaling.py --shape lab --accumulate 1 8
         python benchmarks/scaling.py --shape paper --bf16 --accumulate 8
"""


def main() -> None:
    """Read the command line, measure, print."""
    options = parser(EXPLANATION)
    options.add_argument("--shape", choices=list(SHAPES), nargs="+", default=["lab"], help="(lab)")
    options.add_argument("--accumulate", type=int, nargs="+", default=[1, 8], help="batches of an update (1 8)")
    options.add_argument("--bf16", action="store_true", help="train in bfloat16")
    options.add_argument("--rounds", type=int, default=2, help="times each is measured, in turn (2)")
    chosen = options.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("scaling is not measured: one core")
    figures: dict[str, Any] = {"machine": machine(), "type": "bfloat16" if chosen.bf16 else "float32"}
    rows = []
    for name in chosen.shape:
        for accumulate in chosen.accumulate:
            one, two = measure(SHAPES[name], accumulate, chosen.rounds, chosen.bf16)
            ratio = statistics.median(b / a for a, b in zip(one, two)) / 2
            medians = [statistics.median(one), statistics.median(two)]
            figures[f"{name}, {accumulate} batches"] = {"one": medians[0], "two": medians[1], "efficiency": ratio}
            rows.append([name, accumulate, *(f"{speed:,.0f}" for speed in medians), f"{100 * ratio:.0f} %"])
    columns = ["shape", "batches of an update", "one process, tokens/s", "two, tokens/s", "efficiency"]
    print(f"\nscaling, {figures['type']}, one thread a process\n\n" + table(columns, rows), flush=True)
    write_json(chosen.out, figures)


def measure(shape: Shape, accumulate: int, rounds: int, bf16: bool) -> tuple[list[float], list[float]]:
    """Tokens per second of one process and of two together, round by round."""
    updates = max(shape.updates // accumulate, 4 * shape.interval)
    shape = Shape(**{**vars(shape), "threads": 1, "updates": updates})
    speeds: tuple[list[float], list[float]] = [], []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_corpus(data, shape)
        words = [*training_arguments(data, Path(folder) / "save", shape), *our_arguments(shape), "--cpu"]
        words += ["--update-freq", str(accumulate), *(["--bf16-autocast"] if bf16 else [])]
        for _ in range(rounds):
            speeds[0].append(train(words, shape).tokens_per_second)
            speeds[1].append(_two(words, shape))
    return speeds


def _two(words: list[str], shape: Shape) -> float:
    """Speed of two processes; each logs the tokens of both."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    together = [
        *("--distributed-world-size", "2", "--distributed-backend", "gloo", "--distributed-no-spawn"),
        *("--distributed-init-method", f"tcp://127.0.0.1:{port}", "--ddp-backend", "legacy_ddp"),
    ]
    found: dict[int, Any] = {}

    def run(rank: int) -> None:
        try:
            found[rank] = train([*words, *together, "--distributed-rank", str(rank)], shape)
        except (OSError, ValueError) as error:
            found[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0].tokens_per_second


if __name__ == "__main__":
    run_command(main)
