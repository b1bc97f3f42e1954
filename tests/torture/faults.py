"""Disks that are full, read-only or not ours, folders that vanish: one clear line, nothing spoilt, an equal rerun."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

from tests.torture.kills import LONGEST, Reference, difference, finish, half_files, kill, start, wait
from tests.torture.work import SCENARIOS, Scenario, prepare, state

NOBODY = 65534
ROOM = 48 << 20
"""Bytes of a disk that is large enough for each of the works."""


@dataclass
class Tally:
    """What became of one kind of fault."""

    tried: int = 0
    told: int = 0
    done_all_the_same: int = 0
    findings: list[str] = field(default_factory=list)
    skipped: str = ""


def why_no_mount() -> str:
    """Why no small disk can be made here; empty where it can."""
    if os.geteuid() != 0:
        return "only root can mount a small disk"
    folder = tempfile.mkdtemp(prefix="xling-mount-")
    try:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "x", folder], capture_output=True, text=True)
        if done.returncode:
            return f"mount: {done.stderr.strip()}"
        subprocess.run(["umount", folder], check=True)
    finally:
        os.rmdir(folder)
    return ""


@contextmanager
def disk(folder: Path, size: int) -> Iterator[Callable[[str], None]]:
    """A disk of `size` bytes at a folder; the function mounts it again with other options."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "xling", folder], check=True)
    try:
        yield partial(_remount, folder)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def _remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


def answer(scenario: Scenario, folder: Path, tally: Tally, what: str, drop: bool = False) -> None:
    """Run once, and look at what it says: status 0, or another and one line without a traceback."""
    log = folder.parent / f"{folder.name}.log"
    log.unlink(missing_ok=True)

    def work() -> None:
        if drop:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        scenario.work(folder)

    status = wait_or_kill(start(work, folder, log))
    judge(status, log, tally, f"{scenario.name}, {what}")


def wait_or_kill(child: int) -> int | None:
    """The exit status; None where it had to be killed."""
    status = wait(child, LONGEST)
    if status is None:
        kill(child)
    return status


def judge(status: int | None, log: Path, tally: Tally, what: str) -> None:
    """Count an answer."""
    text = log.read_text(errors="replace") if log.exists() else ""
    lines = [line for line in text.strip().splitlines() if line.strip()]
    tally.tried += 1
    if status == 0:
        tally.done_all_the_same += 1
    elif status is None or status < 0:
        tally.findings.append(f"{what}: {'hangs' if status is None else f'dies of signal {-status}'}")
    elif "Traceback" in text or "UNEXPECTED" in text or not lines:
        tally.findings.append(f"{what}: status {status}, {lines[-1][:300] if lines else 'no word'}")
    else:
        tally.told += 1


def compare(scenario: Scenario, folder: Path, reference: Reference, tally: Tally, what: str) -> None:
    """The same command again, on a sound disk."""
    try:
        finish(scenario, folder)
    except RuntimeError as error:
        tally.findings.append(f"{scenario.name}, {what}: the rerun {error}")
        return
    differs = difference(reference.state, state(folder))
    if differs:
        tally.findings.append(f"{scenario.name}, {what}: {differs}")


def full(scenario: Scenario, inputs: Path, folder: Path, reference: Reference, rng: Random, tally: Tally) -> None:
    """A disk that fills up anywhere from the first to the last byte."""
    with disk(folder, ROOM) as again:
        scenario.copy_inputs(inputs, folder, keep=True)
        used = _used(folder)
        size = used + 4096 * rng.randint(1, max(_used(reference.folder) // 4096, 2))
        again(f"size={size}")
        what = f"a disk with {size - used:,} bytes free"
        answer(scenario, folder, tally, what)
        tally.findings += [f"{scenario.name}, {what}: {line}" for line in half_files(folder, reference)]
        again(f"size={ROOM}")
        compare(scenario, folder, reference, tally, what)


def read_only(scenario: Scenario, inputs: Path, folder: Path, reference: Reference, rng: Random, tally: Tally) -> None:
    """A disk that cannot be written to."""
    with disk(folder, ROOM) as again:
        scenario.copy_inputs(inputs, folder, keep=True)
        again("ro")
        answer(scenario, folder, tally, "a read-only disk")
        again("rw")
        compare(scenario, folder, reference, tally, "a read-only disk")


def not_ours(scenario: Scenario, inputs: Path, folder: Path, reference: Reference, rng: Random, tally: Tally) -> None:
    """A folder of another user."""
    scenario.copy_inputs(inputs, folder)
    answer(scenario, folder, tally, "a folder of root, as nobody", drop=True)
    compare(scenario, folder, reference, tally, "a folder of root, as nobody")


def vanishes(scenario: Scenario, inputs: Path, folder: Path, reference: Reference, rng: Random, tally: Tally) -> None:
    """The folder is removed while the work goes on."""
    scenario.copy_inputs(inputs, folder)
    log = folder.parent / f"{folder.name}.log"
    log.unlink(missing_ok=True)
    child = start(lambda: scenario.work(folder), folder, log)
    moment = rng.uniform(0, reference.seconds)
    time.sleep(moment)
    os.replace(folder, folder.with_name("gone"))
    status = wait_or_kill(child)
    shutil.rmtree(folder.with_name("gone"), ignore_errors=True)
    what = f"the folder vanishes after {moment:.2f} s"
    judge(status, log, tally, f"{scenario.name}, {what}")
    scenario.copy_inputs(inputs, folder)
    compare(scenario, folder, reference, tally, what)


FAULTS = {"full disk": full, "read-only disk": read_only, "no permission": not_ours, "vanishing folder": vanishes}


def _used(folder: Path) -> int:
    paths = [path for path in folder.rglob("*") if not path.is_symlink()]
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in paths)


def faults(
    rounds: int,
    seed: int,
    minutes: float,
    only: tuple[str, ...] = (),
    works: tuple[str, ...] = (),
    inputs: Path | None = None,
) -> dict[str, Tally]:
    """Every fault for every work, `rounds` times those that are drawn."""
    end = time.monotonic() + 60 * minutes
    root = Path(tempfile.mkdtemp(prefix="xling-faults-"))
    root.chmod(0o755)
    os.environ["SOURCE_DATE_EPOCH"] = "0"
    found: dict[str, Tally] = {name: Tally() for name in FAULTS if not only or name in only}
    reason = why_no_mount()
    for name in ("full disk", "read-only disk"):
        if name in found:
            found[name].skipped = reason
    if os.geteuid() != 0 and "no permission" in found:
        found["no permission"].skipped = "only root can become another user"
    scenarios = [scenario for scenario in SCENARIOS if not works or scenario.name in works]
    try:
        inputs = inputs or prepare(root / "inputs")
        references = {s.name: Reference(s, inputs, root / f"reference-{n}") for n, s in enumerate(scenarios)}
        for number in range(rounds):
            for name, tally in found.items():
                if number and name in ("read-only disk", "no permission"):
                    continue  # nothing is drawn
                for place, scenario in enumerate(scenarios):
                    if tally.skipped or time.monotonic() > end:
                        continue
                    rng = Random(f"{name} {scenario.name} {seed} {number}")
                    folder = root / f"run-{place}"
                    FAULTS[name](scenario, inputs, folder, references[scenario.name], rng, tally)
                    print(f"{name}, {scenario.name}: {tally.findings[-1:]}", file=sys.stderr, flush=True)
                    shutil.rmtree(folder, ignore_errors=True)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return found


def table(found: dict[str, Tally]) -> str:
    """A line a fault, and the findings below."""
    rows = [f"{'fault':<18}{'tried':>7}{'one line':>10}{'done all the same':>19}{'findings':>10}"]
    for name, tally in found.items():
        rows.append(
            f"{name:<18}{tally.tried:>7}{tally.told:>10}{tally.done_all_the_same:>19}{len(tally.findings):>10}"
            + (f"  skipped: {tally.skipped}" if tally.skipped else "")
        )
    rows += [f"  {line}" for tally in found.values() for line in tally.findings]
    return "\n".join(rows)


def main() -> None:
    """Try all and report; exit status 1 if there are findings."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="(%(default)s)")
    parser.add_argument("--minutes", type=float, default=5, help="bound on the time (%(default)s)")
    parser.add_argument("--only", nargs="+", default=[], help=", ".join(FAULTS))
    parser.add_argument("--works", nargs="+", default=[], help=", ".join(s.name for s in SCENARIOS))
    args = parser.parse_args()
    found = faults(args.rounds, args.seed, args.minutes, tuple(args.only), tuple(args.works))
    print(table(found))
    sys.exit(any(tally.findings for tally in found.values()))


if __name__ == "__main__":
    main()
