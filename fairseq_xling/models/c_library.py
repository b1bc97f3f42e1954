"""C code of this project as a library, compiled once with the system's compiler for the processor it runs on.

The compiler is ``$CC``, cc, gcc or clang; the library lies in ``$XDG_CACHE_HOME/fairseq_xling``
(``~/.cache/fairseq_xling``) under a name made of all that it depends on.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-O3", "-std=gnu11", "-fPIC", "-shared")
NATIVE = ("-march=native", "-mcpu=native")

SECONDS = 120
"""Longest that the compiler may take."""


def compiled(sources: Sequence[Path]) -> Path:
    """Path of the shared library, compiled now where it is not in the cache.

    Parameters
    ----------
    sources : paths
        The first is compiled; it may include the others.

    Raises
    ------
    OSError, subprocess.SubprocessError
        No compiler, no place to write to, or the compiler failed.
    """
    compiler = _compiler()
    version = subprocess.run([*compiler, "--version"], capture_output=True, check=True, timeout=SECONDS).stdout
    parts = [
        *(source.read_bytes() for source in sources),
        " ".join([*compiler, *FLAGS, *NATIVE]).encode(),
        version,
        _processor(),
    ]
    name = hashlib.sha256(b"\0".join(parts)).hexdigest()[:20]
    folder = _cache()
    path = folder / f"{sources[0].stem}-{name}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=folder, prefix="compiling-") as work:
            made = Path(work) / path.name
            _compile(compiler, sources[0], made)
            with open(made, "rb") as whole:  # else a machine that dies may leave a file of zeros, fatal to load
                os.fsync(whole.fileno())
            os.replace(made, path)  # processes that start together each write their own
    return path


def _compile(compiler: list[str], source: Path, made: Path) -> None:
    """Compile for this processor, in the first of the ways to say so that the compiler understands."""
    for native in NATIVE:
        words = [*compiler, *FLAGS, native, "-o", str(made), str(source), "-lm"]
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=SECONDS)
        if not done.returncode:
            return
    raise OSError(f"{shlex.join(words)}: {done.stderr.strip()[:500]}")


def _compiler() -> list[str]:
    """Words of the command.

    Raises
    ------
    OSError
        There is none.
    """
    for command in (os.environ.get("CC", ""), *COMPILERS):
        try:
            words = shlex.split(command)
        except ValueError as error:  # a quotation mark that is not closed
            raise OSError(f"$CC is {command}: {error}") from None
        if words and shutil.which(words[0]):
            return words
    raise FileNotFoundError("no C compiler")


def _cache() -> Path:
    """Folder of this user alone.

    Raises
    ------
    OSError
        It cannot be made, or others may write to it.
    """
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = Path(base) / "fairseq_xling"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise PermissionError(f"{folder}: others may write to it")
    return folder


def _processor() -> bytes:
    """What `-march=native` depends on: a home may be shared by different machines."""
    try:
        lines = Path("/proc/cpuinfo").read_bytes().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}".encode()
    return b"\n".join(sorted({line for line in lines if line.startswith((b"flags", b"Features", b"model", b"CPU "))}))
