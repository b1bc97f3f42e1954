"""Atomic output: a file appears under its final name only when it is whole."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "w", sync: bool = True) -> Iterator[IO[Any]]:
    """Open a temporary file beside `path` and rename it to `path` when the block ends well.

    Parameters
    ----------
    path : path-like
        Final name; its folder is made if needed.
    mode : {"w", "wb"}
        Text is UTF-8 with LF line ends.
    sync : bool
        Wait until the data is on the disk. Without this a power cut may leave an empty file under the final name; a
        process that is killed never leaves one.
    """
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    with temporary_beside(path) as temporary:
        with open(temporary, mode, **text) as handle:
            yield handle
            handle.flush()
            if sync:
                os.fsync(handle.fileno())
        os.replace(temporary, path)


@contextmanager
def temporary_beside(path: str | os.PathLike[str], folder: bool = False) -> Iterator[Path]:
    """Make an empty file or folder `.NAME.PID.tmp` beside `path`, and remove it when the block ends.

    The parent folder is made if it is missing. Temporary files that killed processes left for the same `path` are
    removed. A process holds a lock on its own, so that a process on another machine does not remove it.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    _clear_strays(target)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    if folder:
        _remove(temporary)
        temporary.mkdir()
    handle = os.open(temporary, os.O_RDONLY if folder else os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        with suppress(OSError):  # some file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield temporary
    finally:
        os.close(handle)
        _remove(temporary)


@contextmanager
def alone(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let only one process at a time make `path`, on this machine and on others; the others wait here.

    The lock is held on a file `.NAME.lock` beside `path`, which is never removed. Inside the block, check again whether
    `path` is there: another process may have made it in the meantime.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(target.with_name(f".{target.name}.lock"), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{target}: another process is making it; waiting", file=sys.stderr)
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            print(f"{target}: no locks here ({error.strerror}); do not make it twice at once", file=sys.stderr)
        yield
    finally:
        os.close(handle)


def _clear_strays(target: Path) -> None:
    with os.scandir(target.parent) as entries:
        named = [e.path for e in entries if e.name.startswith(f".{target.name}.") and e.name.endswith(".tmp")]
    for stray in map(Path, named):
        pid = stray.name[len(target.name) + 2 : -len(".tmp")]
        if pid.isascii() and pid.isdigit() and not is_alive(int(pid)) and _is_free(stray):
            _remove(stray)


def is_alive(pid: int) -> bool:
    """Whether a process with this number runs on this machine."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _is_free(path: Path) -> bool:
    """Whether nobody holds the lock; False where that cannot be told."""
    try:
        handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sha256_of_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
