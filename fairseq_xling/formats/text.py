"""Running text, one sentence a line, plain or compressed; what is wrong with it is said by file and line."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from fairseq_xling.formats.errors import InputError

SUFFIXES = ("", ".gz", ".bz2", ".xz", ".zst")
LONGEST_LINE = 64 << 20
"""A file with a longer line (bytes) is taken not to be text; a bound on memory."""

_CORRUPT = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


class _ZstReader(io.RawIOBase):
    """Decompressed bytes of a `.zst` file; unlike zstandard's own reader it notices a missing end."""

    def __init__(self, handle: IO[bytes]):
        import zstandard  # needed for such files only

        self._library, self._handle = zstandard, handle
        self._decoder, self._ready, self._rest = self._new(), b"", b""

    def _new(self) -> Any:
        return self._library.ZstdDecompressor(max_window_size=1 << 31).decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            data = self._rest or self._handle.read(1 << 17)
            if not data:
                if not self._decoder.eof:
                    raise EOFError("the end of the last frame is missing")
                return 0
            if self._decoder.eof:
                self._decoder = self._new()
            try:
                self._ready = self._decoder.decompress(data)
            except self._library.ZstdError as error:
                raise EOFError(str(error)) from error
            self._rest = self._decoder.unused_data if self._decoder.eof else b""
        taken = self._ready[: len(buffer)]
        buffer[: len(taken)] = taken
        self._ready = self._ready[len(taken) :]
        return len(taken)


def _decompressed(name: str, handle: IO[bytes]) -> Any:
    if name.endswith(".gz"):
        return gzip.open(handle, "rb")
    if name.endswith(".bz2"):
        return bz2.open(handle, "rb")
    if name.endswith(".xz"):
        return lzma.open(handle, "rb")
    if name.endswith(".zst"):
        return io.BufferedReader(_ZstReader(handle), 1 << 20)
    return handle


@contextmanager
def open_bytes(path: str | os.PathLike[str]) -> Iterator[Any]:
    """A file opened for reading bytes; `.gz`, `.bz2`, `.xz` and `.zst` are decompressed on the way."""
    with open(path, "rb") as handle:
        yield _decompressed(os.fspath(path), handle)


def text_size(path: str | os.PathLike[str]) -> int:
    """Bytes of text in a file; of a compressed one an estimate from its first part."""
    size = os.path.getsize(path)
    with open(path, "rb") as handle:
        stream = _decompressed(os.fspath(path), handle)
        if stream is handle:
            return size
        try:
            read = len(stream.read(4 << 20))
        except (*_CORRUPT, OSError):
            return size
        return read * size // max(handle.tell(), 1)


def read_stream(path: str | os.PathLike[str], size: int = 1 << 20) -> Iterator[bytes]:
    """Pieces of a file, decompressed.

    Raises
    ------
    InputError
        Compressed data that is cut short or damaged; the line is the last whole one.
    """
    pieces = 0
    try:
        with open_bytes(path) as stream:
            while data := stream.read(size):
                yield data
                pieces += 1
    except (*_CORRUPT, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # bz2 has no exception class of its own
            raise
        with open_bytes(path) as stream:
            line = 1 + sum(stream.read(size).count(b"\n") for _ in range(pieces))
        raise InputError(f"compressed data is cut short or damaged: {error}", path, line) from error


def read_blocks(path: str | os.PathLike[str], size: int = 4 << 20) -> Iterator[tuple[int, bytes]]:
    """Cut a text file into blocks of whole lines.

    Parameters
    ----------
    path : path-like
        Plain or compressed text.
    size : int
        Bytes of a block, about; memory in use is a few times this, or the longest line.

    Yields
    ------
    (line, block)
        The number of the block's first line, counted from 1, and its bytes, ending in a newline
        (one is added where the file's last line has none).

    Raises
    ------
    InputError
        Compressed data that is cut short or damaged, or a line of more than 64 MiB.
    """
    line, held = 1, 0
    pieces: list[bytes] = []
    for data in read_stream(path, size):
        cut = data.rfind(b"\n") + 1
        if not cut:
            pieces.append(data)
            held += len(data)
            if held > LONGEST_LINE:
                raise InputError(f"a line of more than {LONGEST_LINE >> 20} MiB: expected text", path, line)
            continue
        block = b"".join((*pieces, data[:cut]))
        yield line, block
        line += block.count(b"\n")
        pieces = [data[cut:]] if cut < len(data) else []
        held = len(data) - cut
    if pieces:
        yield line, b"".join((*pieces, b"\n"))


def read_lines(path: str | os.PathLike[str]) -> Iterator[str]:
    """Lines of UTF-8 text without their line ends (LF or CR LF).

    Raises
    ------
    InputError
        Bytes that are not UTF-8, naming file and line; damaged compressed data.
    """
    for first, block in read_blocks(path):
        for number, raw in enumerate(block[:-1].split(b"\n"), first):
            try:
                yield raw.rstrip(b"\r").decode("utf-8")
            except UnicodeDecodeError as error:
                raise InputError(f"not UTF-8 at byte {error.start}: {error.reason}", path, number) from error


def find_text(prefix: str | os.PathLike[str], split: str) -> Path | None:
    """The file `PREFIX.SPLIT.txt`, plain or with the suffix of a compression, or None."""
    for suffix in SUFFIXES:
        path = Path(f"{os.fspath(prefix)}.{split}.txt{suffix}")
        if path.is_file():
            return path
    return None
