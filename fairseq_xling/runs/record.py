"""The record of a stage, a small JSON file beside its output: what it was made from, its state, and why it failed."""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.files import atomic_write, is_alive

STATES = ("running", "done", "stopped", "failed")
HEARTBEAT = 30.0
"""Seconds after which a running stage says again that it lives."""


TORCHRUN_REPORTS = re.compile(r"[EW]\d{4} .*/torch/distributed/elastic/.* (failed \(exitcode|Sending process \d)")
"""Lines with which torchrun reports a process that failed; a traceback and a table follow, without the reason."""

OF_BAD_INPUT = re.compile(r"E\d{4} .*/torch/distributed/elastic/.* failed \(exitcode: 2\)")
"""Such a report of a process that ended with the status of bad input; torchrun itself always ends with status 1."""

OF_LAUNCHERS = re.compile(r"\d\d:\d\d:\d\d  (job \d+( \(|: )|Slurm refuses )|  the whole log: ")
"""Lines that train_scripts/job.sh and a stage write behind the reason of a failure."""


@dataclass
class Record:
    """One attempt, the last, at a stage.

    Attributes
    ----------
    stage, output : str
    state : {"running", "done", "stopped", "failed"}
        Stopped: by a signal; it goes on when run again.
    identity : dict
        See `Identity.as_dict`.
    host, pid, job : str, int, str
        Where it runs; `job` is Slurm's number, or empty.
    began, ended : float
        Seconds since 1970; `ended` 0 while running.
    status : int
        Exit status of the command.
    message : str
        Last line of the log where it did not end well.
    """

    stage: str
    output: str
    state: str = "running"
    identity: dict[str, Any] = field(default_factory=dict)
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    job: str = field(default_factory=lambda: os.environ.get("SLURM_JOB_ID", ""))
    began: float = field(default_factory=time.time)
    ended: float = 0.0
    status: int = 0
    message: str = ""

    @property
    def path(self) -> Path:
        """The record's own file."""
        return beside(Path(self.output), self.stage, "json")

    @property
    def log(self) -> Path:
        """All that the command printed, in every attempt."""
        return beside(Path(self.output), self.stage, "log")

    def write(self) -> None:
        """Write the file."""
        with atomic_write(self.path) as out:
            json.dump(asdict(self), out, indent=1)

    def lives(self) -> bool:
        """Whether a record that says running is believed: its process is here, or gave a sign lately."""
        if self.state != "running":
            return False
        if self.host == socket.gethostname():
            return Path(f"/proc/{self.pid}").exists() if Path("/proc/self").exists() else is_alive(self.pid)
        return time.time() - self.path.stat().st_mtime < 4 * HEARTBEAT


def beside(output: Path, stage: str, suffix: str) -> Path:
    """`OUTPUT.STAGE.SUFFIX`."""
    return output.with_name(f"{output.name}.{stage}.{suffix}")


def read_record(path: Path) -> Record | None:
    """A record, or None where there is none.

    Raises
    ------
    InputError
        The file is something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        record = Record(**content)
        _check_types(record)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, RecursionError):
        raise InputError("not the record of a stage; remove it to do the stage again", path) from None
    return record if record.state in STATES else None


def _check_types(record: Record) -> None:
    """TypeError where a field has another type than a record that was written here, or a number that is none."""
    known = {"str": str, "int": int, "float": (int, float), "dict[str, Any]": dict}
    for entry in fields(record):
        value = getattr(record, entry.name)
        if not isinstance(value, known[str(entry.type)]) or isinstance(value, bool):  # type: ignore[arg-type]
            raise TypeError(entry.name)
        if isinstance(value, (int, float)) and not abs(value) < 2**62:
            raise TypeError(entry.name)
    command, inputs = record.identity.get("command", []), record.identity.get("inputs", {})
    if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
        raise TypeError("command")
    if not isinstance(inputs, dict):
        raise TypeError("inputs")


@contextmanager
def locked(path: Path, say: Any) -> Iterator[int]:
    """Hold a lock on a file while the block runs, and while a process that inherited the descriptor lives.

    Where another process holds it, `say` is told so, and the block begins when that has ended.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another run is making it; waiting")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            say(f"no locks on this file system ({error.strerror}); do not run the same stage twice at once")
        yield descriptor
    finally:
        os.close(descriptor)


def last_line(path: Path, longest: int = 300) -> str:
    """The last line of a log that says something of its own, cut at so many characters."""
    lines = _last_lines(path)
    ends = [number for number, line in enumerate(lines) if TORCHRUN_REPORTS.match(line)]
    begins = [number for number, line in enumerate(lines) if line.startswith("# 20")]  # of an attempt
    if ends and (not begins or ends[-1] > begins[-1]):
        first = next(number for number in ends if not begins or number > begins[-1])
        lines = lines[:first]  # what a process said, not what torchrun says of it
    said = (line.strip() for line in reversed(lines) if line.strip() and not OF_LAUNCHERS.match(line))
    return next(said, "")[:longest]


def had_bad_input(path: Path) -> bool:
    """Whether torchrun says, at the end of a log, that one of its processes ended with the status of bad input."""
    lines = _last_lines(path)
    begin = max((number for number, line in enumerate(lines) if line.startswith("# 20")), default=0)  # of the attempt
    return any(OF_BAD_INPUT.match(line) for line in lines[begin:])


def _last_lines(path: Path) -> list[str]:
    try:
        with open(path, "rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(log.tell() - 20_000, 0))
            return log.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []
