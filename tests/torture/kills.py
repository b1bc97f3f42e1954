"""Kill -9 at drawn moments, then the same command again: the result must be that of an undisturbed run, bit for bit.

Half of the kills come after a drawn part of the undisturbed duration, half before a drawn file operation (open, rename,
link, remove, mkdir below the folder of the work), where half files and strays are made.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tqdm import tqdm

from fairseq_xling.command import one_line
from tests.torture.work import SCENARIOS, Scenario, prepare, state

EVENTS = ("open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir")
LONGEST = 240.0
"""Seconds that a run may take, undisturbed or not; then it counts as hanging."""


@dataclass
class Campaign:
    """What became of the kills of one scenario."""

    kills: int = 0
    missed: int = 0
    reruns: int = 0
    seconds: float = 0.0
    findings: list[str] = field(default_factory=list)


def start(work: Callable[[], None], folder: Path, log: Path, at_event: int = 0) -> int:
    """Start `work` in a forked process, the leader of its own group; killed before its `at_event`-th file operation."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setsid()
        tqdm.set_lock(
            threading.RLock()
        )  # the one before is shared by all children, and one was killed with it, perhaps
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        if at_event:
            _die_before(at_event, os.fspath(folder))
        work()
        status = 0
    except SystemExit as leaves:
        status = leaves.code if isinstance(leaves.code, int) else int(leaves.code is not None)
    except BaseException as error:
        print(one_line(error) or f"UNEXPECTED {type(error).__name__}: {error}", file=sys.stderr)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _die_before(number: int, folder: str) -> None:
    left = number

    def hook(event: str, arguments: tuple) -> None:
        nonlocal left
        if event not in EVENTS or not str(arguments[0]).startswith(folder):
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            return
        left -= 1
        if left == 0:
            os.killpg(0, signal.SIGKILL)

    sys.addaudithook(hook)


def wait(child: int, seconds: float) -> int | None:
    """The exit status (negative: a signal), or None after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            return None
        time.sleep(0.002)


def kill(child: int) -> None:
    """Kill the process and all of its group."""
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:  # it has not made its group yet
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


class Reference:
    """An undisturbed run: its state, its duration and the number of its file operations."""

    def __init__(self, scenario: Scenario, inputs: Path, folder: Path):
        self.folder = folder
        scenario.copy_inputs(inputs, folder)
        begin = time.monotonic()
        finish(scenario, folder)
        self.seconds = time.monotonic() - begin
        self.state = state(folder)
        self.events = scenario.events


def finish(scenario: Scenario, folder: Path) -> None:
    """Run to the end; RuntimeError where it does not end well."""
    log = folder.with_suffix(".log")
    child = start(lambda: scenario.work(folder), folder, log)
    status = wait(child, LONGEST)
    if status is None:
        kill(child)
    if status != 0:
        said = log.read_text(errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(f"ended with {status}: {' '.join(said)[:300]}")


def one_round(
    scenario: Scenario, inputs: Path, folder: Path, reference: Reference, rng: Random, tally: Campaign
) -> None:
    """One to three kills, a look at what is left after each, and a last run to the end."""
    scenario.copy_inputs(inputs, folder)
    what = []
    for _ in range(rng.choice((1, 2, 3))):
        event = rng.randint(1, reference.events) if rng.random() < 0.5 else 0
        moment = rng.uniform(0, reference.seconds)
        what.append(f"before file operation {event}" if event else f"after {moment:.3f} s")
        child = start(lambda: scenario.work(folder), folder, folder.with_suffix(".log"), event)
        status = wait(child, LONGEST if event else moment)
        if status is None:
            kill(child)
        tally.kills += status in (None, -signal.SIGKILL)
        tally.missed += status == 0
        if status is None and event:
            tally.findings.append(f"{scenario.name}: hangs after {', '.join(what)}")
        if status not in (None, 0, -signal.SIGKILL):
            said = folder.with_suffix(".log").read_text(errors="replace").strip().splitlines()[-1:]
            tally.findings.append(f"{scenario.name}, killed {', '.join(what[:-1])}: then status {status} {said}")
        tally.findings += [
            f"{scenario.name}, killed {', '.join(what)}: {line}" for line in half_files(folder, reference)
        ]
    try:
        finish(scenario, folder)
    except RuntimeError as error:
        tally.findings.append(f"{scenario.name}, killed {', '.join(what)}: the rerun {error}")
        return
    differs = difference(reference.state, state(folder))
    tally.reruns += not differs
    if differs:
        tally.findings.append(f"{scenario.name}, killed {', '.join(what)}: {differs}")


def half_files(folder: Path, reference: Reference) -> list[str]:
    """Files under their final names that are not whole."""
    from fairseq_xling.tasks.checkpoint_safety import is_whole

    bad = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        hidden = any(part.startswith(".") for part in Path(name).parts)
        if hidden or ".partial/" in name or path.suffix in (".tmp", ".jsonl", ".log", ".lock"):
            continue
        if path.suffix == ".pt":
            whole = is_whole(path)
        elif path.suffix == ".json":
            try:
                json.loads(path.read_text())
                whole = True
            except ValueError:
                whole = False
        else:
            other = reference.folder / name
            whole = not other.is_file() or other.read_bytes() == path.read_bytes()
        if not whole:
            bad.append(f"half a file under the name {name}")
    return bad


def difference(expected: dict[str, str], found: dict[str, str]) -> str:
    """What a rerun left differently, in one line; empty where nothing is."""
    more = sorted(set(found) - set(expected))
    less = sorted(set(expected) - set(found))
    other = sorted(name for name in expected if name in found and expected[name] != found[name])
    parts = [
        f"{title} {', '.join(names[:4])}"
        for title, names in (("left over", more), ("missing", less), ("other", other))
        if names
    ]
    return "; ".join(parts)


def campaign(
    kills: int,
    seed: int,
    minutes: float,
    only: tuple[str, ...] = (),
    say: Callable[[str], None] = print,
    inputs: Path | None = None,
) -> dict[str, Campaign]:
    """Rounds over all scenarios in turn until so many kills have hit, or the time is over."""
    end = time.monotonic() + 60 * minutes
    root = Path(tempfile.mkdtemp(prefix="xling-kills-"))
    found: dict[str, Campaign] = {}
    os.environ["SOURCE_DATE_EPOCH"] = "0"  # matplotlib would write the time into a PDF
    try:
        inputs = inputs or prepare(root / "inputs")
        scenarios = [scenario for scenario in SCENARIOS if not only or scenario.name in only]
        references = {s.name: Reference(s, inputs, root / f"reference-{n}") for n, s in enumerate(scenarios)}
        number = 0
        while sum(tally.kills for tally in found.values()) < kills and time.monotonic() < end:
            for place, scenario in enumerate(scenarios):
                tally = found.setdefault(scenario.name, Campaign())
                begin = time.monotonic()
                if begin > end or sum(each.kills for each in found.values()) >= kills:
                    break
                folder = root / f"run-{place}-{number}"
                rng = Random(f"{scenario.name} {seed} {number}")
                one_round(scenario, inputs, folder, references[scenario.name], rng, tally)
                tally.seconds += time.monotonic() - begin
                shutil.rmtree(folder, ignore_errors=True)
            number += 1
            say(f"round {number}: {sum(tally.kills for tally in found.values())} kills")
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return found


def table(found: dict[str, Campaign]) -> str:
    """A line a scenario, and the findings below."""
    rows = [f"{'work':<16}{'kills':>7}{'came late':>11}{'reruns equal':>14}{'findings':>10}{'seconds':>9}"]
    for name, tally in found.items():
        rows.append(
            f"{name:<16}{tally.kills:>7}{tally.missed:>11}{tally.reruns:>14}{len(tally.findings):>10}{tally.seconds:>9.0f}"
        )
    rows += [f"  {line}" for tally in found.values() for line in tally.findings]
    return "\n".join(rows)


def main() -> None:
    """Kill and report; exit status 1 if there are findings."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="(%(default)s)")
    parser.add_argument("--minutes", type=float, default=10, help="bound on the time (%(default)s)")
    parser.add_argument("--only", nargs="+", default=[], help=f"of {', '.join(s.name for s in SCENARIOS)}")
    args = parser.parse_args()
    found = campaign(args.kills, args.seed, args.minutes, tuple(args.only), lambda line: print(line, file=sys.stderr))
    print(table(found))
    sys.exit(any(tally.findings for tally in found.values()))


if __name__ == "__main__":
    main()
