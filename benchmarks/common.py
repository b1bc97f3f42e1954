"""What the benchmarks share: shapes of model and batch, made corpora, the machine, timed runs of fairseq-train."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fairseq.data.indexed_dataset import MMapIndexedDatasetBuilder

from fairseq_xling.formats.files import atomic_write
from fairseq_xling.models.shape import Shape as EncoderShape
from fairseq_xling.tasks.throughput import step_flops

ROOT = Path(__file__).resolve().parents[1]
STOCK = "stock fairseq"
FAST = ["--torch-compile", "--cuda-graph"]
"""What makes ours fast on a GPU, and does nothing on a CPU."""
LOADERS = 12
"""On a GPU, where there are cores for them: with four, stock fairseq's GPU waits for batches, ours does with none."""
SECONDS = 420
"""Longest that one run of a contender may take."""


@dataclass(frozen=True)
class Shape:
    """Size of model and batch, and how it is trained.

    Parameters
    ----------
    layers, dim, heads, hidden, vocabulary : int
    block : int
        Tokens of a block, or the most of a sentence.
    batch : int
        Blocks of a batch.
    updates : int
        Of one timed run.
    interval : int
        Updates between two lines of the log.
    threads : int
        Of torch; 0: all.
    sentences : bool
        Blocks are sentences of 8 to 28 tokens, as the lab's, and not parts of a stream.
    dropout : float
    norm_before : bool
    """

    layers: int
    dim: int
    heads: int
    hidden: int
    vocabulary: int
    block: int
    batch: int
    updates: int
    interval: int = 1
    threads: int = 0
    sentences: bool = False
    dropout: float = 0.1
    norm_before: bool = False

    @property
    def flops_per_token(self) -> float:
        """Of a step, forward and backward, per token of the stream.

        The head, and in the last layer what follows attention, on the 15 % that are predicted.
        """
        encoder = EncoderShape(self.layers, self.dim, self.heads, self.hidden)
        return step_flops(encoder, 100, self.block, {self.vocabulary: 15}) / 100


SHAPES = {
    "paper": Shape(8, 768, 12, 3072, 79_000, block=256, batch=8, updates=8),
    # as the recipe of the scale: an update every 25 is logged, one core, sentences, no dropout, layer norm before
    "lab": Shape(8, 64, 2, 128, 1_600, 64, 16, 600, 25, 1, True, 0.0, True),
    "gpu": Shape(8, 768, 12, 3072, 79_000, block=256, batch=96, updates=120, interval=10),
    "tiny": Shape(4, 32, 2, 64, 300, block=32, batch=4, updates=6),
}


def write_corpus(folder: Path, shape: Shape, sentences: int = 20_000) -> None:
    """Two languages of random words with Zipf's frequencies, in fairseq's mmap format."""
    folder.mkdir(parents=True, exist_ok=True)
    words = shape.vocabulary - 5
    symbols = "".join(f"w{number} 1\n" for number in range(words))
    weights = 1 / (np.arange(words) + 2.7)
    generator = np.random.default_rng(1)
    (folder / "dict.txt").write_text(symbols)
    for language in ("en", "fr"):
        (folder / language).mkdir()
        (folder / language / "dict.txt").write_text(symbols)
        for split, count in (("train", sentences), ("valid", 50)):
            builder = MMapIndexedDatasetBuilder(str(folder / language / f"{split}.bin"), dtype=np.int32)
            lengths = generator.integers(7, 28, size=count)
            ids = generator.choice(words, size=int(lengths.sum()), p=weights / weights.sum()) + 4
            for sentence in np.split(ids, np.cumsum(lengths)[:-1]):
                builder.add_item(torch.from_numpy(np.append(sentence, 2)))
            builder.finalize(str(folder / language / f"{split}.idx"))


def machine() -> dict[str, Any]:
    """Where and when the numbers come from, and with which versions."""
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    return {
        "date": str(date.today()),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "gpu": gpu,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "fairseq": next((found for name in ("fairseq-fixed", "fairseq") if (found := installed(name))), "none"),
    }


def processor() -> str:
    """Name of the processor as Linux knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def installed(package: str) -> str | None:
    """Version of a package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@dataclass(frozen=True)
class Speed:
    """What a run of fairseq-train did.

    Parameters
    ----------
    tokens_per_second : float
        From one line of the log to the next, everything in between included; the first quarter is left out.
    median : float
        The median of what lies between two lines, in tokens per second.
    seconds : float
        From the start of the command to its last line of the log.
    """

    tokens_per_second: float
    median: float
    seconds: float


def train(words: list[str], shape: Shape, timeout: float = SECONDS) -> Speed:
    """Run fairseq-train and read its speed from the arrival of its log's lines.

    Raises
    ------
    OSError
        The run failed or took longer than `timeout` seconds.
    """
    program = [sys.executable, "-u", str(Path(__file__).with_name("fairseq_train.py")), *words]
    environment = dict(os.environ)
    if shape.threads:
        environment["OMP_NUM_THREADS"] = str(shape.threads)
    begin = time.monotonic()
    lines: list[str] = []
    times: list[tuple[float, float]] = []
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True
    ) as run:
        limit = threading.Timer(timeout, os.killpg, (run.pid, signal.SIGKILL))
        limit.start()
        assert run.stdout is not None
        try:
            for line in run.stdout:
                lines.append(line)
                if "| train_inner |" in line:
                    numbers = json.loads(line[line.index("{") :])
                    times.append((time.monotonic(), float(numbers["wpb"]) * shape.interval))
                    if len(times) >= shape.updates // shape.interval:
                        break  # with many loaders stock fairseq may take a minute to end
        finally:
            limit.cancel()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)
    seconds, ended = time.monotonic() - begin, len(times) >= shape.updates // shape.interval
    if not ended and run.returncode:
        why = f"took more than {timeout:.0f} s" if seconds >= timeout else f"failed with status {run.returncode}"
        raise OSError(f"fairseq-train {' '.join(words[-6:])}: {why}:\n{''.join(lines)[-2000:]}")
    kept = times[max(len(times) // 4, 1) - 1 :]
    if len(kept) < 2:
        raise OSError("fairseq-train logged too few lines to measure its speed")
    between = [tokens / (after - before) for (before, _), (after, tokens) in itertools.pairwise(kept)]
    total = sum(tokens for _, tokens in kept[1:]) / (kept[-1][0] - kept[0][0])
    return Speed(total, statistics.median(between), seconds)


def training_arguments(data: Path, save: Path, shape: Shape) -> list[str]:
    """What all contenders have in common."""
    words = [
        *(str(data), "--save-dir", str(save), "--batch-size", str(shape.batch)),
        *("--tokens-per-sample", str(shape.block), "--max-update", str(shape.updates), "--seed", "1"),
        *("--lr", "1e-4", "--lr-scheduler", "inverse_sqrt", "--warmup-updates", "1000", "--clip-norm", "5"),
        *("--adam-betas", "(0.9, 0.999)", "--adam-eps", "1e-6", "--weight-decay", "0.01"),
        *("--dropout", str(shape.dropout), "--attention-dropout", str(shape.dropout)),
        *("--encoder-layers", str(shape.layers), "--encoder-embed-dim", str(shape.dim)),
        *("--encoder-ffn-embed-dim", str(shape.hidden), "--encoder-attention-heads", str(shape.heads)),
        *("--max-positions", str(shape.block), "--disable-validation", "--no-save", "--num-workers", "1"),
        *("--log-format", "json", "--log-interval", str(shape.interval)),
        *(["--encoder-normalize-before"] if shape.norm_before else []),
    ]
    workers = words.index("--num-workers") + 1
    if torch.cuda.is_available():
        words[workers] = str(min(LOADERS, max(len(os.sched_getaffinity(0)) - 2, 1)))
        return words
    if shape.threads == 1:  # with one core a loader of its own only costs
        words[workers] = "0"
    return [*words, "--cpu"]


def our_arguments(shape: Shape) -> list[str]:
    """What makes fairseq-train train this project's model."""
    blocks = "sentence" if shape.sentences else "stream"
    return [
        *("--user-dir", str(ROOT / "fairseq_xling"), "--task", "xling_masked_lm", "--arch", "xling_base"),
        *("--criterion", "xling_masked_lm", "--optimizer", "xling_adam", "--blocks", blocks),
    ]


def stock_arguments(shape: Shape) -> list[str]:
    """fairseq's own task, model, criterion and optimiser, on the same blocks."""
    blocks = "eos" if shape.sentences else "none"
    return [
        *("--task", "multilingual_masked_lm", "--arch", "roberta_base", "--criterion", "masked_lm"),
        *("--optimizer", "adam", "--sample-break-mode", blocks),
    ]


def table(columns: list[str], rows: list[list[Any]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *([str(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_json(path: Path | None, figures: Any) -> None:
    """Write figures to a file, if one is asked for."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as out:
            json.dump(figures, out, indent=1)
            out.write("\n")


def parser(explanation: str) -> argparse.ArgumentParser:
    """A parser with the option that all benchmarks have."""
    made = argparse.ArgumentParser(description=explanation, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--out", type=Path, help="file for the figures as JSON")
    return made
