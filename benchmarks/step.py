"""Where the time of one update goes: processor seconds, memory, and the operations that take most of it."""

from __future__ import annotations

import os
import resource
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fairseq_train  # noqa: F401  # the name that stock fairseq misses
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
    training_arguments,
    write_corpus,
    write_json,
)

from fairseq_xling.command import run_command
from fairseq_xling.tasks.throughput import measure_matrix_rate

EXPLANATION = """
Makes updates with fairseq's trainer in this process and prints, for one update, clock and processor seconds (user and
system) and page faults (medians), the fastest, the mean where nothing waits for a GPU between updates, and what its
products alone would take at the rate of large products measured here; with --profile the operations that take most of
the time. Processor seconds of one thread (OMP_NUM_THREADS=1) are comparable even on a busy machine.

example: OMP_NUM_THREADS=1 python benchmarks/step.py --shape paper --bf16 --updates 3 --profile
"""


def main() -> None:
    """Read the command line, measure, print."""
    options = parser(EXPLANATION)
    options.add_argument("--shape", choices=list(SHAPES), default="tiny", help="size of model and batch (tiny)")
    options.add_argument("--stock", action="store_true", help="stock fairseq's task, model and optimiser")
    options.add_argument("--bf16", action="store_true", help="ours in bfloat16")
    options.add_argument("--fast", action="store_true", help="ours with --torch-compile --cuda-graph, for a GPU")
    options.add_argument("--separate", default="", help="ours with language-specific parts, e.g. 1-3")
    options.add_argument("--batch", type=int, default=0, help="blocks of a batch (the shape's)")
    options.add_argument("--options", default="", help="more of fairseq-train, e.g. --options=--fp16 with --stock")
    options.add_argument("--updates", type=int, default=3, help="that are timed (3); two before them are not")
    options.add_argument("--profile", action="store_true", help="a table of operations too, from as many more updates")
    chosen = options.parse_args()
    if chosen.stock and (chosen.bf16 or chosen.separate or chosen.fast):
        sys.exit("step.py: stock fairseq has neither --bf16 on a CPU nor --separate nor --fast")
    shape = replace(SHAPES[chosen.shape], batch=chosen.batch or SHAPES[chosen.shape].batch)
    with tempfile.TemporaryDirectory() as folder:
        write_corpus(Path(folder) / "data", shape, 20_000 if chosen.shape != "tiny" else 2_000)
        words = training_arguments(Path(folder) / "data", Path(folder) / "save", shape)
        words += stock_arguments(shape) if chosen.stock else our_arguments(shape)
        words += ["--bf16-autocast"] if chosen.bf16 else []
        words += FAST if chosen.fast else []
        words += ["--separate", chosen.separate] if chosen.separate else []
        update = updater([*words, *shlex.split(chosen.options)])
        for _ in range(2):
            update()
        figures = {"machine": machine(), "threads": torch.get_num_threads(), **timed(update, chosen.updates)}
        figures |= products_alone(shape, chosen.bf16)
        names = [name for name in figures if name != "machine"]
        print(table(names, [[f"{figures[name]:,.4g}" for name in names]]), flush=True)
        if chosen.profile:
            print(profile(update, chosen.updates))
    write_json(chosen.out, figures)


def updater(words: list[str]) -> Callable[..., Any]:
    """A function that makes one update, as fairseq-train does with the same arguments; it waits for the device."""
    from fairseq import options, tasks, utils
    from fairseq.data import iterators
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf
    from fairseq.logging import metrics
    from fairseq.trainer import Trainer

    cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), words))
    utils.import_user_module(cfg.common)
    task = tasks.setup_task(cfg.task)
    trainer = Trainer(cfg, task, task.build_model(cfg.model), task.build_criterion(cfg.criterion))
    epoch = trainer.get_train_iterator(epoch=1, load_dataset=True)
    trainer.begin_epoch(1)
    batches = iterators.GroupedIterator(epoch.next_epoch_itr(shuffle=False), 1)

    def update(wait: bool = True) -> None:
        with metrics.aggregate("train_inner"):
            trainer.train_step(next(batches))
        if wait and torch.cuda.is_available():
            torch.cuda.synchronize()

    return update


def timed(update: Callable[..., Any], count: int) -> dict[str, float]:
    """Medians over `count` updates, and the mean of `count` more; memory at the end."""
    rows = []
    for _ in range(count):
        before, begin = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        update()
        after = resource.getrusage(resource.RUSAGE_SELF)
        user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
        rows.append((time.perf_counter() - begin, user, system, after.ru_minflt - before.ru_minflt))
    names = ("clock seconds", "user seconds", "system seconds", "page faults")
    medians = {name: statistics.median(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    medians["fastest, clock"] = min(row[0] for row in rows)
    medians["mean without a wait"] = unwaited(update, count)
    return {**medians, "peak memory, GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}


def unwaited(update: Callable[..., Any], count: int) -> float:
    """Seconds of an update where the host runs ahead of the device, as it does in training."""
    begin = time.perf_counter()
    for number in range(count):
        update(wait=number == count - 1)
    return (time.perf_counter() - begin) / count


def products_alone(shape: Shape, bf16: bool) -> dict[str, float]:
    """What an update would take if it were nothing but dense products of a good size, at the rate measured here."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rate = measure_matrix_rate(device, torch.bfloat16 if bf16 else torch.float32)
    tokens = shape.batch * (18 if shape.sentences else shape.block)  # mean length of `write_corpus`
    return {"products, TFLOP/s": rate / 1e12, "products alone, seconds": tokens * shape.flops_per_token / rate}


def profile(update: Callable[[], Any], count: int) -> str:
    """Table of the operations, those that take most of the device's time first."""
    kinds = [torch.profiler.ProfilerActivity.CPU]
    if torch.cuda.is_available():
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=kinds) as seen:
        for _ in range(count):
            update()
    order = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
    return seen.key_averages().table(sort_by=order, row_limit=25, max_name_column_width=45)


if __name__ == "__main__":
    os.environ.setdefault("LOGLEVEL", "ERROR")  # fairseq's lines of the start
    run_command(main)
