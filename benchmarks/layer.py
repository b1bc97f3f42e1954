"""One narrow Transformer layer, forward and backward: the C functions and torch's kernels, in turn."""

from __future__ import annotations

import os
import time

import torch
from common import machine, parser, table, write_json

from fairseq_xling.command import run_command
from fairseq_xling.models import small_layer
from fairseq_xling.models.layers import TransformerLayer

EXPLANATION = """
Times one layer's forward and backward pass with the C functions of models/small_layer.c and with torch's kernels, in
turn, and prints the fastest of each in milliseconds. OMP_NUM_THREADS sets torch's threads; the C functions have one.

example: OMP_NUM_THREADS=1 python benchmarks/layer.py --sentences 16 --length 18
"""


def main() -> None:
    """Read the command line, measure, print."""
    options = parser(EXPLANATION)
    for name, default in (("sentences", 16), ("length", 18), ("dim", 64), ("heads", 2), ("hidden", 128)):
        options.add_argument(f"--{name}", type=int, default=default, help=f"({default})")
    options.add_argument("--times", type=int, default=2000, help="of each way (2000)")
    chosen = options.parse_args()
    layer = TransformerLayer(chosen.dim, chosen.heads, chosen.hidden, 0.0, 0.0, norm_before=True)
    x = torch.randn(chosen.sentences, chosen.length, chosen.dim, requires_grad=True)
    kernel = small_layer.library
    ways = {"C functions": kernel, "torch": lambda: None}
    if kernel() is None:
        del ways["C functions"]
    fastest = dict.fromkeys(ways, float("inf"))
    for _ in range(chosen.times):
        for name, library in ways.items():
            small_layer.library = library  # type: ignore[assignment]
            begin = time.perf_counter()
            layer(x).sum().backward()
            fastest[name] = min(fastest[name], time.perf_counter() - begin)
    small_layer.library = kernel
    rows = [[name, f"{1e3 * seconds:.2f}"] for name, seconds in fastest.items()]
    print(table(["way", "fastest, ms"], rows), flush=True)
    write_json(chosen.out, {"machine": machine(), "threads": torch.get_num_threads(), "seconds": fastest})


if __name__ == "__main__":
    os.environ.setdefault("LOGLEVEL", "ERROR")
    run_command(main)
