"""What the readers and writers of annotated files share: numbered lines, and compressed output by name."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.files import atomic_write
from fairseq_xling.formats.text import read_lines


def numbered_lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, str]]:
    """Lines of a file with their numbers from 1, without line ends or a byte order mark.

    A carriage return within a line is a space: tables and columns could not be written back with it.

    Raises
    ------
    InputError
        Bytes that are not UTF-8, NUL characters (a binary file, or one torn by a crash), damaged compressed data.
    """
    for number, line in enumerate(read_lines(path), 1):
        if "\0" in line:
            raise InputError("a NUL character: expected text", path, number)
        line = line.replace("\r", " ")
        yield number, line.removeprefix("\ufeff") if number == 1 else line


@contextmanager
def text_output(path: str | os.PathLike[str]) -> Iterator[IO[str]]:
    """Write UTF-8 text atomically; compressed where the name ends in `.gz` (same bytes for the same text)."""
    if not os.fspath(path).endswith(".gz"):
        with atomic_write(path) as out:
            yield out
        return
    with (
        atomic_write(path, "wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as out,
    ):
        yield out
