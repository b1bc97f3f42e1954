"""A training run of many updates, looked at from outside: memory, open files, sizes of logs and checkpoints."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from fairseq_xling.formats.files import atomic_write
from tests.tasks.pretraining import command, write_data

EXAMPLE = """
Flat means: over the second half of the samples, memory grows by less than 5 % and no more files are open than before.

example, of which docs/reliability.md shows the figure:
  python -m tests.torture.long_run --updates 10000 --out docs/results/long_run.json --plot docs/images/long_run.png
"""


def sample(pid: int, folder: Path) -> dict[str, float] | None:
    """Facts of a process and of its folder now; None where the process has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        files = len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None
    memory = re.search(r"VmRSS:\s+(\d+)", status)
    if memory is None:
        return None
    sizes = {path.name: path.stat().st_size for path in folder.glob("*") if not path.name.endswith(".tmp")}
    checkpoints = [name for name in sizes if name.endswith(".pt")]
    metrics = folder / "metrics.jsonl"
    return {
        "memory_mb": int(memory[1]) / 1024,
        "open_files": files,
        "metrics_kb": sizes.get("metrics.jsonl", 0) / 1024,
        "checkpoints": len(checkpoints),
        "checkpoints_mb": sum(sizes[name] for name in checkpoints) / 2**20,
        "update": _last_update(metrics),
    }


def _last_update(path: Path) -> int:
    if not path.is_file():
        return 0
    with open(path, "rb") as lines:
        lines.seek(max(path.stat().st_size - 2000, 0))
        found = re.findall(rb'"update": (\d+)', lines.read())
    return int(found[-1]) if found else 0


def watch(updates: int, seconds: float) -> dict[str, Any]:
    """Train and take samples; RuntimeError where the run does not end well."""
    with tempfile.TemporaryDirectory(prefix="xling-long-") as name:
        folder = Path(name)
        write_data(folder / "data", {"en": 60, "fr": 30})
        arguments = command(
            folder / "data", folder / "save", "--max-update", updates, "--save-interval-updates", max(updates // 20, 1),
            "--keep-interval-updates", 2, "--log-interval", 100, "--epoch-sequences", 400,
        )  # fmt: skip
        log = folder / "log"
        with open(log, "wb") as out:
            process = subprocess.Popen(arguments, stdout=out, stderr=subprocess.STDOUT)
        begin, samples = time.monotonic(), []
        while process.poll() is None:
            found = sample(process.pid, folder / "save")
            if found and found["update"]:
                samples.append({"seconds": round(time.monotonic() - begin, 1), **found})
            if time.monotonic() - begin > seconds:
                process.kill()
                break
            time.sleep(1)
        process.wait()
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        return {
            "updates": updates,
            "status": process.returncode,
            "last_line": last[0][:200] if process.returncode and last else "",
            "log_kb": log.stat().st_size / 1024,
            "epochs": updates // 100,
            "samples": samples,
            **judged(samples),
        }


def judged(samples: list[dict[str, float]]) -> dict[str, Any]:
    """Growth over the second half of the samples: memory as the slope of a line, open files as a difference."""
    half = samples[len(samples) // 2 :]
    if len(half) < 3:
        return {"flat": False, "reason": f"{len(samples)} samples are too few"}
    memory, files = (np.array([each[key] for each in half]) for key in ("memory_mb", "open_files"))
    slope = float(np.polyfit(np.arange(len(half)), memory, 1)[0]) * len(half) / float(memory.mean())
    more = int(files[-1] - files[0])
    checkpoints = max(each["checkpoints"] for each in samples)
    return {
        "memory_growth": slope,
        "more_open_files": more,
        "most_checkpoints": checkpoints,
        "flat": slope < 0.05 and more <= 0,
    }


def plot(found: dict[str, Any], path: Path) -> None:
    """Memory, open files and sizes over updates."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.6))
    panels = (
        ("memory_mb", "resident memory (MB)"),
        ("open_files", "open files"),
        ("metrics_kb", "metrics.jsonl (kB)"),
        ("checkpoints", "checkpoint files"),
    )
    for axis, (key, title) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        axis.plot(
            [each["update"] for each in found["samples"]], [each[key] for each in found["samples"]], color="#0072B2"
        )
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("update", fontsize=8)
        axis.set_ylim(bottom=0)
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def line(found: dict[str, Any]) -> str:
    """The result in a line."""
    if found["status"]:
        return f"long run: status {found['status']}: {found['last_line']}"
    return (
        f"long run: {found['updates']:,} updates, {len(found['samples'])} samples; over their second half memory "
        f"{found.get('memory_growth', 0):+.2%}, open files {found.get('more_open_files', 0):+d}; at most "
        f"{found.get('most_checkpoints', 0):.0f} checkpoint files; log {found['log_kb']:.0f} kB; "
        f"{'flat' if found['flat'] else 'NOT FLAT ' + found.get('reason', '')}"
    )


def main() -> None:
    """Train, sample, write; exit status 1 unless all is flat."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.torture.long_run",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--updates", type=int, default=10_000, help="(%(default)s)")
    parser.add_argument("--minutes", type=float, default=20, help="bound on the time (%(default)s)")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--plot", type=Path, help="figure to write")
    args = parser.parse_args()
    found = watch(args.updates, 60 * args.minutes)
    if args.out:
        with atomic_write(args.out) as out:
            json.dump(found, out, indent=1)
    if args.plot:
        plot(found, args.plot)
    print(line(found))
    sys.exit(not found["flat"])


if __name__ == "__main__":
    main()
