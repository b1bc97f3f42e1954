"""A pool of processes that keeps order and holds only a few items at a time."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from fairseq_xling.formats.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")
MOST_WORKERS = 4096
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def ordered_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    initializer: Callable[..., None] | None = None,
    initargs: tuple[Any, ...] = (),
) -> Iterator[Result]:
    """`map(function, items)` over processes: results in order, at most ``2 * workers + 1`` items in flight.

    (`Pool.imap` reads all items at once, so its memory grows with the corpus.) With one worker no process is started,
    nor where processes cannot share locks, which Linux keeps in /dev/shm: slower, but the same results.

    Parameters
    ----------
    function, initializer : callable
        Of a module, so that they can be sent to another process.
    workers : int
        Number of processes, at least 1.
    """
    if workers > MOST_WORKERS:
        raise InputError(f"{str(workers)[:20]} workers; expected at most {MOST_WORKERS:,}")
    if workers <= 1 or not _locks_work():
        if initializer:
            initializer(*initargs)
        yield from map(function, items)
        return
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("fork"), _start_worker, (os.getpid(), initializer, initargs)
    )
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise InputError(
            "a worker process died, killed from outside, often because memory ran out: try fewer --workers"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _locks_work() -> bool:
    try:
        multiprocessing.get_context("fork").Lock()
    except OSError as error:
        print(f"one process only: no locks between processes, /dev/shm is full or missing ({error})", file=sys.stderr)
        return False
    return True


def _start_worker(parent: int, initializer: Callable[..., None] | None, initargs: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers Ctrl-C
    if sys.platform == "linux":  # else a killed parent leaves its workers waiting for ever
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
    if initializer:
        initializer(*initargs)
