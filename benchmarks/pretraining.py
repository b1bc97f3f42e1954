"""Pretraining throughput of this project and of stock fairseq, side by side in one run on the same data."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from fairseq.data.indexed_dataset import MMapIndexedDatasetBuilder

from fairseq_xling.command import run_command
from fairseq_xling.formats.files import atomic_write

ROOT = Path(__file__).resolve().parents[1]
EXPLANATION = """
Trains a few updates with each contender, in turn and several rounds, from the same binarised corpus with the same
batch, optimiser settings and learning rate, and prints the median tokens per second and the ratio to stock fairseq
(task multilingual_masked_lm, model roberta with as many layers). Shapes: paper (8 layers, width 768, 79,000 subwords,
blocks of 256) and lab (8 layers, width 64, 1,600 subwords, blocks of 64).

example: python benchmarks/pretraining.py --shape paper --rounds 3 --out runs/bench/pretraining.json
"""


@dataclass(frozen=True)
class Shape:
    """Size of model and batch."""

    layers: int
    dim: int
    heads: int
    hidden: int
    vocabulary: int
    block: int
    batch: int
    updates: int


SHAPES = {
    "paper": Shape(8, 768, 12, 3072, 79_000, 256, 8, 8),
    "lab": Shape(8, 64, 2, 128, 1_600, 64, 32, 200),
}
OURS = {
    "ours, fp32": [],
    "ours, bf16": ["--bf16-autocast"],
    "ours, fp32, layers 1-3 per language": ["--separate", "1-3"],
}
STOCK = "stock fairseq"


def write_corpus(folder: Path, shape: Shape) -> None:
    """Two languages of random text with Zipf's frequencies, in fairseq's mmap format."""
    (folder / "dict.txt").parent.mkdir(parents=True, exist_ok=True)
    symbols = "".join(f"w{number} 1\n" for number in range(shape.vocabulary - 5))
    weights = 1 / (np.arange(shape.vocabulary - 5) + 2.7)
    generator = np.random.default_rng(1)
    (folder / "dict.txt").write_text(symbols)
    for language in ("en", "fr"):
        (folder / language).mkdir()
        (folder / language / "dict.txt").write_text(symbols)
        for split, sentences in (("train", 20_000), ("valid", 50)):
            builder = MMapIndexedDatasetBuilder(str(folder / language / f"{split}.bin"), dtype=np.int32)
            words = generator.choice(len(weights), size=sentences * 20, p=weights / weights.sum()) + 4
            for sentence in words.reshape(sentences, 20):
                builder.add_item(torch.from_numpy(np.append(sentence, 2)))
            builder.finalize(str(folder / language / f"{split}.idx"))


def arguments(data: Path, save: Path, shape: Shape) -> list[str]:
    """What all contenders have in common."""
    words = [
        *(str(data), "--save-dir", str(save), "--batch-size", str(shape.batch)),
        *("--tokens-per-sample", str(shape.block), "--max-update", str(shape.updates), "--seed", "1"),
        *("--lr", "1e-4", "--lr-scheduler", "inverse_sqrt", "--warmup-updates", "1000", "--clip-norm", "5"),
        *("--adam-betas", "(0.9, 0.999)", "--adam-eps", "1e-6", "--weight-decay", "0.01"),
        *("--dropout", "0.1", "--attention-dropout", "0.1", "--encoder-layers", str(shape.layers)),
        *("--encoder-embed-dim", str(shape.dim), "--encoder-ffn-embed-dim", str(shape.hidden)),
        *("--encoder-attention-heads", str(shape.heads), "--disable-validation", "--no-save"),
        *("--log-format", "json", "--log-interval", "1"),
    ]
    return words if torch.cuda.is_available() else [*words, "--cpu"]


def contenders(data: Path, save: Path, shape: Shape) -> dict[str, list[str]]:
    """Arguments of fairseq-train for each."""
    common = arguments(data, save, shape)
    stock = ["--task", "multilingual_masked_lm", "--arch", "roberta_base", "--criterion", "masked_lm"]
    stock += ["--optimizer", "adam", "--sample-break-mode", "none", "--max-positions", str(shape.block)]
    ours = ["--user-dir", str(ROOT / "fairseq_xling"), "--task", "xling_masked_lm", "--arch", "xling_base"]
    ours += ["--criterion", "xling_masked_lm", "--optimizer", "xling_adam", "--max-positions", str(shape.block)]
    return {STOCK: common + stock} | {name: common + ours + extra for name, extra in OURS.items()}


def tokens_per_second(command: list[str]) -> float:
    """Run fairseq-train; the median speed of its updates, the first quarter left out."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command[:3])} ... failed:\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}")
    speeds = []
    for line in done.stdout.splitlines():
        if "| train_inner |" in line:
            numbers = json.loads(line[line.index("{") :])
            if "wps" in numbers and float(numbers["wps"]) > 0:
                speeds.append(float(numbers["wps"]))
    return statistics.median(speeds[len(speeds) // 4 :])


def machine() -> dict[str, str | int]:
    """Where the numbers come from."""
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "gpu": gpu,
        "torch": torch.__version__,
    }


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=EXPLANATION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=[*SHAPES, "all"], default="all", help="size of model and batch (all)")
    parser.add_argument("--rounds", type=int, default=3, help="times each contender runs, in turn (3)")
    parser.add_argument("--out", type=Path, help="file for the figures as JSON")
    chosen = parser.parse_args()
    report: dict[str, object] = {"machine": machine()}
    for name in SHAPES if chosen.shape == "all" else [chosen.shape]:
        report[name] = measure(name, SHAPES[name], chosen.rounds)
    if chosen.out:
        with atomic_write(chosen.out) as out:
            json.dump(report, out, indent=1)


def measure(name: str, shape: Shape, rounds: int) -> dict[str, dict[str, float]]:
    """All contenders in turn; prints a table of medians and ratios to stock fairseq, round by round."""
    program = str(Path(sys.executable).with_name("fairseq-train"))
    speeds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_corpus(data, shape)
        for number in range(rounds):
            for contender, words in contenders(data, Path(folder) / "save", shape).items():
                print(f"{name}: round {number + 1} of {rounds}, {contender}", file=sys.stderr, flush=True)
                speeds.setdefault(contender, []).append(tokens_per_second([program, *words]))
    print(f"\n{name}: {shape}\n\n| contender | tokens/s | ratio to {STOCK} |\n|---|---|---|")
    rows = {}
    for contender, values in speeds.items():
        ratio = statistics.median(value / stock for value, stock in zip(values, speeds[STOCK]))
        rows[contender] = {"tokens_per_second": statistics.median(values), "ratio": ratio}
        print(f"| {contender} | {statistics.median(values):,.0f} | {ratio:.2f} |")
    return rows


if __name__ == "__main__":
    run_command(main)
