"""Helper processes that are killed: the main process notices within a minute and says so in one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests.tasks.pretraining import command, write_data
from tests.torture.world import ROOT

PATIENCE = 60.0


def helpers(pid: int) -> set[int]:
    """Copies of a process that it has started, from any of its threads: fairseq starts loaders from one of its own.

    Other programs do not count; on the way to training `ldconfig` is called.
    """
    found = set()
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found |= {int(word) for word in (thread / "children").read_text().split()}
    return {child for child in found if _words(child) == _words(pid)}


def _words(pid: int) -> bytes | None:
    """Its command line; None where it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return None


def kill_a_child(process: subprocess.Popen, seconds: float) -> bool:
    """Kill the first helper that appears and stays; False if none does."""
    deadline = time.monotonic() + seconds
    before: set[int] = set()
    while time.monotonic() < deadline and process.poll() is None:
        now = helpers(process.pid)
        for child in now & before:  # one that is about to become another program is gone by now
            os.kill(child, signal.SIGKILL)
            return True
        before = now
        time.sleep(0.02)
    return False


def noticed(process: subprocess.Popen, log: Path, says: str) -> str:
    """What is wrong with the answer; empty where the process says it and ends within a minute."""
    try:
        status = process.wait(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return f"hangs for more than {PATIENCE:.0f} s"
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    if status == 0:
        return "ends as if nothing had happened"
    # at its start only: torch logs a traceback where the loader dies while it looks for a profiler
    if not lines or says not in lines[-1] or any(line.startswith("Traceback") for line in lines):
        return f"status {status}: {lines[-1][:200] if lines else 'no word'}"
    return ""


def preprocessing(folder: Path) -> str:
    """A worker of tokenise.py dies while the text, a pipe, has not ended."""
    pipe, log = folder / "pipe", folder / "log"
    os.mkfifo(pipe)
    arguments = [sys.executable, f"{ROOT}/preprocess/tokenise.py", str(pipe), str(folder / "out.txt"), "--lang", "en"]
    with open(log, "wb") as out:
        process = subprocess.Popen([*arguments, "--workers", "2"], stdout=out, stderr=out)
    with open(pipe, "wb") as feed:
        feed.write(b"A sentence.\n" * 250_000)
        feed.flush()
        if not kill_a_child(process, PATIENCE):
            process.kill()
            return "no worker was seen"
    return noticed(process, log, "a worker process died")


def loader(folder: Path) -> str:
    """A data loader dies in the middle of training."""
    log = folder / "log"
    write_data(folder / "data", {"en": 60, "fr": 30})
    arguments = command(folder / "data", folder / "save", "--max-update", 10**6, "--num-workers", 1)
    with open(log, "wb") as out:
        process = subprocess.Popen([*arguments, "--epoch-sequences", "100000"], stdout=out, stderr=out)
    if not kill_a_child(process, 5 * PATIENCE):  # it first has to start, on a busy machine as well
        process.kill()
        process.wait()
        return "no loader was seen"
    return noticed(process, log, "a data loader died")


CASES = {"preprocessing worker": preprocessing, "data loader": loader}


def dead_workers(only: tuple[str, ...] = ()) -> dict[str, str]:
    """By case what is wrong; empty where nothing is."""
    found = {}
    for name, case in CASES.items():
        if not only or name in only:
            with tempfile.TemporaryDirectory(prefix="xling-dead-") as folder:
                found[name] = case(Path(folder))
    return found
