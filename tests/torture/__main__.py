"""All of it: what was tried, and what survived."""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from tests.torture import dead_workers, determinism, faults, fuzz, kills, long_run, machines, options

EXAMPLE = """
Parts and their shares of the time: fuzz (damaged files through every reader), options (odd values for every option),
kills (kill -9, then the same command again), faults (full and read-only disks, no permission, vanishing folders),
workers (helpers that die), same (the same bytes twice and with other numbers of processes), machines (locale C, odd
paths, no /dev/shm ...), long (many updates: memory, open files, logs). Two parts run at a time. What needs root is
skipped without it, and says so.

example: python -m tests.torture --minutes 20 --parts fuzz kills
"""


def _fuzz(minutes: float, seed: int) -> tuple[str, int]:
    found = fuzz.fuzz(100_000, seed, minutes)
    return fuzz.table(found), sum(tally.findings.total() for tally in found.values())


def _options(minutes: float, seed: int) -> tuple[str, int]:
    found = options.odd_values(10_000, seed, minutes)
    return options.table(found), sum(len(tally.findings) for tally in found.values())


def _kills(minutes: float, seed: int) -> tuple[str, int]:
    found = kills.campaign(100, seed, minutes, say=lambda line: None)
    return kills.table(found), sum(len(tally.findings) for tally in found.values())


def _faults(minutes: float, seed: int) -> tuple[str, int]:
    found = faults.faults(10, seed, minutes)
    return faults.table(found), sum(len(tally.findings) for tally in found.values())


def _workers(minutes: float, seed: int) -> tuple[str, int]:
    found = dead_workers.dead_workers()
    rows = [f"{name:<26}{wrong or 'noticed, one line'}" for name, wrong in found.items()]
    return "\n".join([f"{'helper that is killed':<26}outcome", *rows]), sum(bool(wrong) for wrong in found.values())


def _same(minutes: float, seed: int) -> tuple[str, int]:
    found = determinism.matrix(minutes)
    return determinism.table(found), sum(map(len, found.values()))


def _machines(minutes: float, seed: int) -> tuple[str, int]:
    found = machines.machines()
    wrong = sum(len(each) for each in found.values() if not isinstance(each, str))
    return machines.table(found), wrong


def _long(minutes: float, seed: int) -> tuple[str, int]:
    found = long_run.watch(max(int(250 * minutes), 1_500), max(180 * minutes, 300))  # fewer have too few samples
    return long_run.line(found), int(not found["flat"])


PARTS: dict[str, tuple[Callable[[float, int], tuple[str, int]], float]] = {
    "fuzz": (_fuzz, 0.30),
    "kills": (_kills, 0.70),
    "options": (_options, 0.15),
    "faults": (_faults, 0.30),
    "same": (_same, 0.15),
    "machines": (_machines, 0.20),
    "workers": (_workers, 0.05),
    "long": (_long, 0.15),
}
"""Each with its share of the minutes; two run at a time, so that the shares add up to two."""


def run(names: list[str], minutes: float, seed: int, folder: Path, at_a_time: int = 2) -> dict[str, tuple[str, float]]:
    """Run parts in processes of their own; by part what it printed and how long it took."""
    waiting = list(names)
    running: dict[int, tuple[str, float]] = {}
    done: dict[str, tuple[str, float]] = {}
    while waiting or running:
        while waiting and len(running) < at_a_time:
            name = waiting.pop(0)
            running[_start(name, minutes, seed, folder)] = (name, time.monotonic())
        pid, status = os.wait()
        name, begin = running.pop(pid)
        text = (folder / f"{name}.txt").read_text() if (folder / f"{name}.txt").is_file() else ""
        if not text:
            text = f"ended with {os.waitstatus_to_exitcode(status)}; see {folder / name}.log\nfindings: 1\n"
        done[name] = (text, time.monotonic() - begin)
        print(f"== {name}: {time.monotonic() - begin:.0f} seconds\n{text}", flush=True)
    return done


def _start(name: str, minutes: float, seed: int, folder: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        log = os.open(folder / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        work, share = PARTS[name]
        text, findings = work(minutes * share, seed)
        (folder / f"{name}.txt").write_text(f"{text}\nfindings: {findings}\n")
        status = 0
    finally:
        os._exit(status)


def main() -> None:
    """Run the parts and report; exit status 1 if anything was found."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.torture",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=20, help="bound on the time, about (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="(%(default)s)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--logs", type=Path, default=Path("runs/torture"), help="folder of the logs (%(default)s)")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    args.logs.mkdir(parents=True, exist_ok=True)
    for old in args.logs.glob("*.txt"):
        old.unlink()
    begin = time.monotonic()
    done = run(args.parts, args.minutes, args.seed, args.logs)
    findings = sum(int(text.rsplit("findings: ", 1)[1]) for text, _ in done.values())
    print(f"{len(done)} parts, {time.monotonic() - begin:.0f} seconds, {findings} findings")
    sys.exit(findings > 0)


if __name__ == "__main__":
    main()
