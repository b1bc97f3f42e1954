"""How fast batches are made: streams, the schedule of languages and masking, without a model."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import SHAPES, Shape, machine, parser, table, write_corpus, write_json

from fairseq_xling.command import run_command
from fairseq_xling.data.blocks import SentenceBlocks, StreamBlocks, TokenFile
from fairseq_xling.data.masked_lm_dataset import BatchMasker, ScheduledBatches
from fairseq_xling.data.masking import MaskingRule
from fairseq_xling.data.schedule import sampling_probabilities
from fairseq_xling.tasks.throughput import TimedBatches

EXPLANATION = """
Reads an epoch of masked batches as training does, through fairseq's iterator with its buffer, with 0 to 4 loader
workers, and prints tokens per second. 0: the batches are made in the training process itself. Then, without the
iterator, tokens of one processor second, which depend little on what else the machine does.

example: python benchmarks/data_side.py --seconds 5 --workers 0 1 2 4
         python benchmarks/data_side.py --workers
"""


def main() -> None:
    """Read the command line, measure, print."""
    options = parser(EXPLANATION)
    options.add_argument("--workers", type=int, nargs="*", default=[0, 1, 2, 4], help="loader workers (0 1 2 4)")
    options.add_argument("--seconds", type=float, default=4, help="of each measurement (4)")
    options.add_argument("--rounds", type=int, default=2, help="times each is measured, in turn (2)")
    options.add_argument("--tiny", action="store_true", help="small vocabulary and batches, to see that it works")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    figures: dict[str, Any] = {"machine": machine()}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("tiny",) if chosen.tiny else ("paper", "lab"):
            shape, data = SHAPES[name], Path(folder) / name
            write_corpus(data, shape, 2_000 if chosen.tiny else 50_000)
            batch = 96 if name == "paper" else shape.batch
            speeds: dict[int, list[float]] = {workers: [] for workers in chosen.workers}
            for _ in range(chosen.rounds):
                for workers in chosen.workers:
                    speeds[workers].append(tokens_per_second(data, shape, batch, workers, chosen.seconds))
            figures[f"{name}, one processor second"] = per_processor_second(data, shape, batch)
            for workers, measured in speeds.items():
                figures[f"{name}, {workers} workers"] = statistics.median(measured)
                kind = f"{shape.batch} sentences" if shape.sentences else f"{batch} x {shape.block}"
                rows.append([name, kind, workers, f"{statistics.median(measured):,.0f}"])
    print(f"\nmaking batches, {len(os.sched_getaffinity(0))} cores\n")
    print(table(["shape", "batch", "workers", "tokens/s"], rows), flush=True)
    for name, figure in figures.items():
        if name.endswith("processor second"):
            print(f"{name}: {figure:,.0f} tokens", flush=True)
    write_json(chosen.out, figures)


def batches(data: Path, shape: Shape) -> ScheduledBatches:
    """The training batches of the corpus at `data`."""
    corpora = {language: TokenFile(data / language / "train") for language in ("en", "fr")}
    blocks: dict[str, StreamBlocks | SentenceBlocks] = {
        language: SentenceBlocks(corpus, shape.block, 2) if shape.sentences else StreamBlocks(corpus, shape.block)
        for language, corpus in corpora.items()
    }
    words = np.arange(4, shape.vocabulary - 1)
    ids = dict.fromkeys(corpora, shape.vocabulary - 1)
    masker = BatchMasker(MaskingRule(), 1, dict.fromkeys(corpora, 1), ids, dict.fromkeys(corpora, words))
    counts = {language: len(corpus.sizes) for language, corpus in corpora.items()}
    return ScheduledBatches(blocks, sampling_probabilities(counts, 0.7), 10_000_000, masker, 1)


def tokens_per_second(data: Path, shape: Shape, batch: int, workers: int, seconds: float) -> float:
    """Tokens a second, once the workers have begun."""
    dataset = batches(data, shape)
    dataset.lay_out(batch)
    keys = dataset.batches(1)[:200_000]
    options = {"num_workers": workers, "buffer_size": 10, "disable_shuffling": True, "persistent_workers": False}
    iterator = TimedBatches(dataset, dataset.collater, keys, **options).next_epoch_itr(shuffle=False)
    for _ in range(30):
        next(iterator)
    tokens, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds and iterator.has_next():
        tokens += next(iterator)["ntokens"]
    return tokens / (time.perf_counter() - begin)


def per_processor_second(data: Path, shape: Shape, batch: int) -> float:
    """Tokens that one processor second makes, whatever else the machine does."""
    dataset = batches(data, shape)
    dataset.lay_out(batch)
    keys = [key for (key,) in dataset.batches(1)[:220]]
    dataset[keys[0]]  # lays out the epoch
    begin = time.process_time()
    tokens = sum(dataset[key]["ntokens"] for key in keys[20:])
    return tokens / (time.process_time() - begin)


if __name__ == "__main__":
    run_command(main)
