"""Shuffle lines, or draw a uniform sample of them, in one pass and bounded memory.

Each line goes to a bucket drawn from the seed, on disk; the buckets are then shuffled in memory one by one. A sample of
n lines is the first n of the shuffled ones: buckets that cannot hold any of them are dropped on the way, so that the
disk holds little more than the sample.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Set
from itertools import filterfalse
from pathlib import Path

import numpy as np

_HELD_BYTES = 64 << 20


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
        self._parts: list[list[bytes]] = [[] for _ in range(buckets)]  # lines of a bucket, joined
        self._sizes = np.zeros(buckets, dtype=np.int64)
        self._open, self._held, self.seen = buckets, 0, 0
        shutil.rmtree(folder, ignore_errors=True)

    def add(self, lines: list[bytes]) -> None:
        """Take lines (without line ends)."""
        where = (self._rng.random(len(lines)) * self._buckets).astype(np.uint16)
        self.seen += len(lines)
        order = np.argsort(where, kind="stable")  # in 16 bits a radix sort
        sizes = np.bincount(where, minlength=self._buckets)[: self._open]
        picked = list(map(lines.__getitem__, order[: sizes.sum()].tolist()))
        start = 0
        for bucket, size in enumerate(sizes.tolist()):
            if size:
                part = b"\n".join((*picked[start : start + size], b""))
                self._parts[bucket].append(part)
                self._held += len(part)
                start += size
        self._sizes[: self._open] += sizes
        if self._held > _HELD_BYTES:
            self._close_buckets()
            self._spill()

    def _close_buckets(self) -> None:
        """Drop the buckets that lie above the sample."""
        if self._count is None:
            return
        needed = int(np.searchsorted(np.cumsum(self._sizes), self._count)) + 1
        for bucket in range(needed, self._open):
            self._parts[bucket] = []
            self._path(bucket).unlink(missing_ok=True)
        self._sizes[needed:] = 0
        self._open = min(self._open, needed)

    def _path(self, bucket: int) -> Path:
        return self._folder / f"{bucket}.txt"

    def _spill(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for bucket in range(self._open):
            if self._parts[bucket]:
                with open(self._path(bucket), "ab", buffering=0) as out:
                    out.write(b"".join(self._parts[bucket]))
                self._parts[bucket] = []
        self._held = 0

    def lines(self, unwanted: Set[bytes] = frozenset()) -> Iterator[list[bytes]]:
        """The drawn lines, a list for each bucket; the buckets are removed when this ends.

        Parameters
        ----------
        unwanted : set
            Lines to leave out; it is looked at bucket by bucket, so that it may grow on the way.
        """
        self._close_buckets()
        left = self._count if self._count is not None else self.seen
        try:
            for bucket in range(self._open):
                lines = self._load(bucket)
                if unwanted:  # before they are shuffled, while they lie in memory one behind the other
                    lines = list(filterfalse(unwanted.__contains__, lines))
                order = np.random.Generator(np.random.PCG64([self._seed, bucket])).permutation(len(lines))[:left]
                left -= len(order)
                yield list(map(lines.__getitem__, order.tolist()))
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _load(self, bucket: int) -> list[bytes]:
        parts, self._parts[bucket] = self._parts[bucket], []
        path = self._path(bucket)
        if path.is_file():
            parts = [path.read_bytes(), *parts]
            path.unlink()
        return b"".join(parts).split(b"\n")[:-1]
