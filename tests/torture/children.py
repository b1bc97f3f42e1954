"""Work in a forked process: bounded memory and time, and a death that is noticed."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path


def limit_memory(more: int) -> None:
    """Let this process grow by no more than `more` bytes of address space."""
    held = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (held + more, held + more))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def forked(work: Callable[[], int], seconds: float, output: Path | None = None, sign: Path | None = None) -> int:
    """Run `work` in a child.

    Parameters
    ----------
    work : callable
        Gives the exit status.
    seconds : float
        Then the child is killed.
    sign : Path, optional
        The child lives as long as this file changes within so many seconds.
    output : Path, optional
        Gets what the child writes to standard output and standard error.

    Returns
    -------
    int
        Exit status; negative: the signal that ended it. -9 after the time is up.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        status = 99
        try:
            if output is not None:
                handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(handle, 1)
                os.dup2(handle, 2)
                sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
            status = work()
            sys.stdout.flush()
            sys.stderr.flush()
        except Exception:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if sign is not None and sign.exists():
            deadline = time.monotonic() + seconds - (time.time() - sign.stat().st_mtime)
        time.sleep(0.003)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -signal.SIGKILL
