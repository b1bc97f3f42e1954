"""Damaged files through every reader: allowed are success and one clear error that names the file."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

from fairseq_xling.formats.errors import InputError
from tests.torture.children import forked, limit_memory
from tests.torture.readers import READERS, Reader
from tests.torture.work import import_everything
from tests.torture.world import build

MEMORY = 1 << 30
"""Bytes that a reader may take beyond what the process had before."""
SECONDS = 30
"""For one input; the slowest good one takes about one."""
EXAMPLE = """
A finding is anything else: another exception, an error without the file's name, a crash, more than 1 GiB of memory,
more than 30 seconds. An input is the reader's name, the seed and its number; --only NAME --seed S --first N repeats it.

example:
  python -m tests.torture.fuzz --inputs 2000 --minutes 5
"""


@dataclass
class Tally:
    """What became of the inputs of one reader."""

    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    findings: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def note(self, outcome: str, what: str) -> None:
        """Count one input; `outcome` is ``accepted``, ``refused`` or the finding."""
        self.inputs += 1
        if outcome in ("accepted", "refused"):
            setattr(self, outcome, getattr(self, outcome) + 1)
        else:
            self.findings[outcome] += 1
            self.first.setdefault(outcome, what)

    def add(self, line: dict) -> None:
        """Count an input of which a child wrote a line."""
        self.note(line["outcome"], line["what"])


class _TookTooLongError(BaseException):
    """Not an Exception, so that no reader answers it."""


def _alarm(*_: object) -> None:
    raise _TookTooLongError


def outcome_of(reader: Reader, world: Path, damaged: Path) -> str:
    """Read once; ``accepted``, ``refused``, or a line that tells the finding."""
    try:
        reader.read(world)
    except InputError as error:
        named = error.path is not None and str(error.path) in str(error)
        if not named and damaged.name not in str(error):
            return f"InputError without a file: {str(error)[:120]}"
        return "refused" if "\n" not in str(error) else f"InputError of several lines: {str(error)[:80]!r}"
    except _TookTooLongError:
        return f"more than {SECONDS} s"
    except BaseException as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "fairseq_xling" in frame.filename]
        place = f"{Path(frames[-1].filename).name}:{frames[-1].name}" if frames else "?"
        return f"{type(error).__name__} in {place}"
    return "accepted"


def fuzz_reader(reader: Reader, world: Path, inputs: range, seed: int, until: float) -> Tally:
    """Damaged inputs one after another, in a child; a new one takes over where one dies."""
    tally, log = Tally(), world / "fuzz.jsonl"
    originals = {name: (world / name).read_bytes() for name in reader.files if (world / name).is_file()}
    number = inputs.start
    while number < inputs.stop and time.monotonic() < until:
        log.unlink(missing_ok=True)
        rest = range(number, inputs.stop)
        status = forked(
            partial(_child, reader, world, originals, rest, seed, until, log),
            2 * SECONDS,
            world / "child.txt",
            log,
        )
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        done = [line for line in lines if "outcome" in line]
        for line in done:
            tally.add(line)
        number += len(done)
        if status == 0:
            break
        said = (world / "child.txt").read_text(errors="replace").strip().splitlines()[-1:]
        what = lines[-1].get("begins", "between two inputs") if lines else "before the first input"
        tally.note(f"process ended with {status} {''.join(said)[:100]}", what)
        number += 1
    for name, data in originals.items():
        (world / name).write_bytes(data)
    return tally


def _child(
    reader: Reader, world: Path, originals: dict[str, bytes], inputs: range, seed: int, until: float, log: Path
) -> int:
    limit_memory(MEMORY)
    signal.signal(signal.SIGALRM, _alarm)
    with open(log, "a") as out:
        for number in inputs:
            if time.monotonic() > until:
                return 0
            rng = Random(f"{reader.name} {seed} {number}")
            name = rng.choice(sorted(originals))
            try:
                data, how = reader.damage(originals[name], rng)
            except MemoryError:  # the damage itself needs more than the readers may have
                data, how = b"", "emptied"
            what = f"input {number} of seed {seed}: {name} {how}"
            out.write(json.dumps({"begins": what}) + "\n")
            out.flush()
            (world / name).write_bytes(data)
            signal.alarm(SECONDS)
            try:
                outcome = outcome_of(reader, world, world / name)
            except _TookTooLongError:
                outcome = f"more than {SECONDS} s"
            signal.alarm(0)
            (world / name).write_bytes(originals[name])
            out.write(json.dumps({"outcome": outcome, "what": what}) + "\n")
            out.flush()
    return 0


def fuzz(
    inputs: int, seed: int, minutes: float, only: Sequence[str] = (), first: int = 0, world: Path | None = None
) -> dict[str, Tally]:
    """All readers in turn, each with its share of the time."""
    readers = [reader for reader in READERS if not only or reader.name in only]
    found: dict[str, Tally] = {}
    end = time.monotonic() + 60 * minutes
    folder = Path(tempfile.mkdtemp(prefix="xling-fuzz-"))
    try:
        import_everything()
        shutil.copytree(world, folder / "world") if world else build(folder / "world")
        for place, reader in enumerate(readers):
            until = time.monotonic() + (end - time.monotonic()) / (len(readers) - place)
            numbers = range(first, first + max(int(inputs * reader.share), 1))
            found[reader.name] = fuzz_reader(reader, folder / "world", numbers, seed, until)
            print(table({reader.name: found[reader.name]}), file=sys.stderr, flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return found


def table(found: dict[str, Tally]) -> str:
    """A line a reader, and the findings below."""
    rows = [f"{'reader':<24}{'inputs':>8}{'accepted':>10}{'refused':>9}{'findings':>10}"]
    for name, tally in found.items():
        findings = tally.findings.total()
        rows.append(f"{name:<24}{tally.inputs:>8,}{tally.accepted:>10,}{tally.refused:>9,}{findings:>10,}")
    total = [sum(getattr(tally, key) for tally in found.values()) for key in ("inputs", "accepted", "refused")]
    all_findings = sum(tally.findings.total() for tally in found.values())
    rows.append(f"{'all':<24}{total[0]:>8,}{total[1]:>10,}{total[2]:>9,}{all_findings:>10,}")
    for name, tally in found.items():
        for finding, count in tally.findings.most_common():
            rows.append(f"  {name}: {count} x {finding}\n    first: {tally.first[finding]}")
    return "\n".join(rows)


def main() -> None:
    """Fuzz and report; exit status 1 if there are findings."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.torture.fuzz",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--inputs", type=int, default=300, help="for each cheap reader (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first input (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="(%(default)s)")
    parser.add_argument("--minutes", type=float, default=5, help="bound on the time (%(default)s)")
    parser.add_argument("--only", nargs="+", default=[], help="names of readers (all)")
    args = parser.parse_args()
    found = fuzz(args.inputs, args.seed, args.minutes, args.only, args.first)
    print(table(found))
    sys.exit(any(tally.findings for tally in found.values()))


if __name__ == "__main__":
    main()
