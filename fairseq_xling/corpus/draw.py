"""Shuffle lines, or draw a uniform sample of them, in one pass and bounded memory.

Each line gets a random key from the seed and goes to the bucket of its key on disk; buckets are then sorted in memory
one by one. Of a sample of n lines, the n smallest keys win: buckets that cannot hold a winner any more are dropped on
the way, so that the disk holds little more than the sample.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
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
        Gives the keys: the same lines in the same order give the same drawing.
    count : int, optional
        Size of the sample; all lines if None.
    buckets : int
        Parts; each must fit in memory.
    """

    def __init__(self, folder: Path, seed: int, count: int | None = None, buckets: int = 256):
        self._folder, self._count, self._buckets = folder, count, buckets
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self._lines: list[list[bytes]] = [[] for _ in range(buckets)]
        self._keys: list[list[np.ndarray]] = [[] for _ in range(buckets)]
        self._sizes = np.zeros(buckets, dtype=np.int64)
        self._open, self._held, self.seen = buckets, 0, 0
        shutil.rmtree(folder, ignore_errors=True)

    def add(self, lines: list[bytes]) -> None:
        """Take lines (without line ends)."""
        keys = self._rng.random(len(lines))
        self.seen += len(lines)
        where = (keys * self._buckets).astype(np.int64)
        order = np.argsort(where, kind="stable")
        order = order[where[order] < self._open]
        bounds = np.searchsorted(where[order], np.arange(self._open + 1))
        picked, keys = list(map(lines.__getitem__, order.tolist())), keys[order]
        for bucket in np.flatnonzero(np.diff(bounds)).tolist():
            start, end = int(bounds[bucket]), int(bounds[bucket + 1])
            self._lines[bucket] += picked[start:end]
            self._keys[bucket].append(keys[start:end])
        self._sizes[: self._open] += np.diff(bounds)
        self._held += sum(map(len, picked))
        if self._held > _HELD_BYTES:
            self._close_buckets()
            self._spill()

    def _close_buckets(self) -> None:
        """Drop the buckets that lie above the sample."""
        if self._count is None:
            return
        needed = int(np.searchsorted(np.cumsum(self._sizes), self._count)) + 1
        for bucket in range(needed, self._open):
            self._lines[bucket], self._keys[bucket] = [], []
            for kind in ("txt", "key"):
                self._path(bucket, kind).unlink(missing_ok=True)
        self._sizes[needed:] = 0
        self._open = min(self._open, needed)

    def _path(self, bucket: int, kind: str) -> Path:
        return self._folder / f"{bucket}.{kind}"

    def _spill(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for bucket in range(self._open):
            if self._lines[bucket]:
                with open(self._path(bucket, "txt"), "ab") as text, open(self._path(bucket, "key"), "ab") as key:
                    text.write(b"\n".join(self._lines[bucket]) + b"\n")
                    key.write(np.concatenate(self._keys[bucket]).tobytes())
                self._lines[bucket], self._keys[bucket] = [], []
        self._held = 0

    def lines(self) -> Iterator[list[bytes]]:
        """The drawn lines, a list for each bucket; the buckets are removed when this ends."""
        self._close_buckets()
        left = self._count if self._count is not None else self.seen
        try:
            for bucket in range(self._open):
                lines, keys = self._load(bucket)
                order = np.argsort(keys, kind="stable")[:left].tolist()
                left -= len(order)
                yield list(map(lines.__getitem__, order))
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _load(self, bucket: int) -> tuple[list[bytes], np.ndarray]:
        lines, keys = self._lines[bucket], self._keys[bucket]
        self._lines[bucket], self._keys[bucket] = [], []
        if self._path(bucket, "txt").is_file():
            lines = self._path(bucket, "txt").read_bytes().split(b"\n")[:-1] + lines
            keys = [np.fromfile(self._path(bucket, "key")), *keys]
        return lines, np.concatenate(keys) if keys else np.zeros(0)
