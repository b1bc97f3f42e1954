"""Show what is done, running, waiting and failed, and why."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fairseq_xling.command import run_command
from fairseq_xling.formats.errors import InputError
from fairseq_xling.runs import slurm
from fairseq_xling.runs.progress import duration
from fairseq_xling.runs.record import Record, last_line, read_record

EXPLANATION = """
A line a stage that has begun, then a line a job that waits in Slurm's queue or was lost. States: running (with the last
update of training), done, stopped (by a signal), failed (with the reason), lost (the machine went away without a word),
waiting. `lost`, `stopped` and `failed` go on when the same command is given again. Exit status 1 if anything failed or
was lost.

example: train_scripts/status.sh runs/lab
"""


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    state: str
    stage: str
    what: str
    detail: str


def stages(runs: Path) -> Iterator[Line]:
    """Stages that have begun, in the order in which they did."""
    records = []
    for path in runs.rglob("*.json"):
        if len(path.suffixes) >= 2 and path.with_suffix(".lock").exists():
            record = read_record(path)
            if record is not None:
                records.append((record, path))
    for record, path in sorted(records, key=lambda each: each[0].began):
        what = str(path.with_suffix("").with_suffix("").relative_to(runs))
        yield describe(record, path, what)


def describe(record: Record, path: Path, what: str) -> Line:
    """The line of one record."""
    log = path.with_suffix(".log")
    if record.state == "running":
        where = f"on {record.host}" + (f", job {record.job}" if record.job else "")
        if not record.lives():
            return Line("lost", record.stage, what, f"{where}: no sign of life; last line: {last_line(log)}")
        since = duration(time.time() - record.began)
        return Line("running", record.stage, what, f"{where} for {since}; {training(path) or last_line(log)}")
    if record.state == "done":
        return Line("done", record.stage, what, f"in {duration(record.ended - record.began)}")
    return Line(record.state, record.stage, what, f"{record.message} ({log})" if record.state == "failed" else "")


def training(path: Path) -> str:
    """The last numbers of a training run, if it is one."""
    metrics = path.with_suffix("").with_suffix("") / "metrics.jsonl"
    if not metrics.is_file():
        return ""
    try:
        numbers = json.loads(last_line(metrics, longest=20_000))  # with two languages a line has some 330 characters
        return f"update {numbers['update']:,}, {numbers['nats']:.3f} nats"
    except (ValueError, KeyError):
        return ""


def waiting(runs: Path) -> Iterator[Line]:
    """Jobs that were sent to Slurm and are not running."""
    sent = runs / "jobs" / "slurm.json"
    if not sent.is_file():
        return
    states = slurm.queue()
    for name, number in json.loads(sent.read_text(encoding="utf-8")).items():
        for part, state, reason in states.get(number, []):
            if state == "PENDING":
                what = f"job {number}" + (f", part {part}" if part else "")
                yield Line("waiting", "job", name, f"{what}: {reason}")
            elif state in ("FAILED", "CANCELLED", "NODE_FAIL", "TIMEOUT", "OUT_OF_MEMORY", "BOOT_FAIL"):
                own = f"{name}.{part}" if part else name
                said = last_line(runs / "jobs" / f"{own}.log") or reason
                yield Line("failed", "job", own, f"job {number} {state.lower()}: {said}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="train_scripts/status.sh",
        description=__doc__,
        epilog=EXPLANATION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="*", type=Path, help="folders of runs (all in runs/)")
    args = parser.parse_args()
    folders = args.runs or sorted(path for path in Path("runs").glob("*") if path.is_dir())
    bad = 0
    for runs in folders:
        if not runs.is_dir():
            raise InputError("no such folder", runs)
        lines = [*stages(runs), *waiting(runs)]
        print(f"{runs}: " + (count(lines) or "nothing has begun"))
        for line in lines:
            print(f"  {line.state:<8} {line.stage:<11} {line.what:<40} {line.detail}".rstrip())
        bad += sum(line.state in ("failed", "lost") for line in lines)
    if not folders:
        print("no folder in runs/; give the one that $RUNS named")
    raise SystemExit(bad > 0)


def count(lines: list[Line]) -> str:
    """`3 done, 1 running`."""
    numbers: dict[str, int] = {}
    for line in lines:
        numbers[line.state] = numbers.get(line.state, 0) + 1
    return ", ".join(f"{number} {state}" for state, number in numbers.items())


if __name__ == "__main__":
    run_command(main)
