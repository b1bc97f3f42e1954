"""Shuffle lines, or draw a uniform sample of them, in one pass and bounded memory.

Each line goes to a bucket drawn from the seed; the buckets are then shuffled one by one. Lines are held in memory as
long as they fit into a fixed budget, and else wait on disk, a file for each bucket. A sample of n lines is the first n
of the shuffled ones: buckets that cannot hold any of them are dropped on the way, so that the disk holds little more
than the sample.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Set
from functools import partial
from itertools import chain, filterfalse
from pathlib import Path

import numpy as np

_HELD_BYTES = 288 << 20
"""Budget: lines and what Python needs for them."""
_OBJECT_BYTES = 48
_LINES_AT_ONCE = 4096


class Drawing:
    """Lines in random order, all of them or a uniform sample.

    Parameters
    ----------
    folder : Path
        For buckets; made, and removed at the end. One left by an interrupted run is cleared.
    seed : int
        Gives the order: the same lines, added in the same portions or in others, give the same drawing.
    count : int, optional
        Size of the sample; all lines if None.
    buckets : int
        Parts, at most 65,536; each must fit in memory.
    """

    def __init__(self, folder: Path, seed: int, count: int | None = None, buckets: int = 256):
        self._folder, self._seed, self._count, self._buckets = folder, seed, count, buckets
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self._batches: list[tuple[list[bytes], np.ndarray]] = []  # lines held in memory, and the bucket of each
        self._sizes = np.zeros(buckets, dtype=np.int64)
        self._open, self._held, self.seen = buckets, 0, 0
        shutil.rmtree(folder, ignore_errors=True)

    def add(self, lines: list[bytes]) -> None:
        """Take lines (without line ends)."""
        where = (self._rng.random(len(lines)) * self._buckets).astype(np.uint16)
        self.seen += len(lines)
        self._sizes[: self._open] += np.bincount(where, minlength=self._buckets)[: self._open]
        self._batches.append((lines, where))
        self._held += sum(map(len, lines)) + _OBJECT_BYTES * len(lines)
        if self._held > _HELD_BYTES:
            self._close_buckets()
            self._spill()

    def _close_buckets(self) -> None:
        """Drop the buckets that lie above the sample."""
        if self._count is None:
            return
        needed = int(np.searchsorted(np.cumsum(self._sizes), self._count)) + 1
        for bucket in range(needed, self._open):
            self._path(bucket).unlink(missing_ok=True)
        self._sizes[needed:] = 0
        self._open = min(self._open, needed)

    def _path(self, bucket: int) -> Path:
        return self._folder / f"{bucket}.txt"

    def _spill(self) -> None:
        """Write the lines held in memory behind those of their buckets."""
        self._folder.mkdir(parents=True, exist_ok=True)
        parts: list[list[bytes]] = [[] for _ in range(self._open)]
        self._batches.reverse()
        while self._batches:  # what is joined is let go of at once
            lines, where = self._batches.pop()
            for bucket, rows in enumerate(_rows_by_bucket(where, self._open)):
                if len(rows):
                    parts[bucket].append(b"\n".join((*map(lines.__getitem__, rows.tolist()), b"")))
        for bucket, joined in enumerate(parts):
            if joined:
                with open(self._path(bucket), "ab", buffering=0) as out:
                    out.write(b"".join(joined))
        self._held = 0

    def lines(self, unwanted: Set[bytes] = frozenset()) -> Iterator[list[bytes]]:
        """The drawn lines, in lists that are short in memory; files are removed when this ends.

        Parameters
        ----------
        unwanted : set
            Lines to leave out. It may be empty at first: the caller may fill it while iterating, all at once, and the
            lists after that are without these lines.
        """
        self._close_buckets()
        left = self._count if self._count is not None else self.seen
        try:
            for bucket, (lines, rows) in enumerate(self._buckets_of_lines(unwanted)):
                filtered = bool(unwanted)
                order = np.random.Generator(np.random.PCG64([self._seed, bucket])).permutation(len(rows))[:left]
                left -= len(order)
                for picked in _in_order(lines, rows[order]):
                    late = unwanted and not filtered
                    yield list(filterfalse(unwanted.__contains__, picked)) if late else picked
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _buckets_of_lines(self, unwanted: Set[bytes]) -> Iterator[tuple[list[bytes], np.ndarray]]:
        """For each bucket lines, and the indices of those which are its own and wanted."""
        if self._folder.is_dir():
            self._spill()
            return map(partial(self._load, unwanted=unwanted), range(self._open))
        return self._held_buckets(unwanted)

    def _held_buckets(self, unwanted: Set[bytes]) -> Iterator[tuple[list[bytes], np.ndarray]]:
        lines = list(chain.from_iterable(lines for lines, _ in self._batches))
        where = np.concatenate([np.empty(0, np.uint16), *(where for _, where in self._batches)])
        self._batches = []
        wanted = None
        for rows in _rows_by_bucket(where, self._open):
            if unwanted and wanted is None:  # all at once, in the order in which they lie in memory
                wanted = ~np.fromiter(map(unwanted.__contains__, lines), bool, len(lines))
            yield lines, rows if wanted is None else rows[wanted[rows]]

    def _load(self, bucket: int, unwanted: Set[bytes]) -> tuple[list[bytes], np.ndarray]:
        path, lines = self._path(bucket), []
        if path.is_file():
            lines = path.read_bytes().split(b"\n")[:-1]
            path.unlink()
        if unwanted:
            lines = list(filterfalse(unwanted.__contains__, lines))
        return lines, np.arange(len(lines))


def _rows_by_bucket(where: np.ndarray, buckets: int) -> Iterator[np.ndarray]:
    """Indices of the lines of each of the first `buckets` buckets, rising."""
    order = np.argsort(where, kind="stable")  # in 16 bits a radix sort
    start = 0
    for size in np.bincount(where, minlength=buckets)[:buckets].tolist():
        yield order[start : start + size]
        start += size


def _in_order(lines: list[bytes], rows: np.ndarray) -> Iterator[list[bytes]]:
    """The lines with these indices, in lists so short that a processor's cache holds one until it is written."""
    for start in range(0, len(rows), _LINES_AT_ONCE):
        yield list(map(lines.__getitem__, rows[start : start + _LINES_AT_ONCE].tolist()))
