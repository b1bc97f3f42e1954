"""Features on the disk: float32 ``.npy`` files that are written, and read, through the memory map."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

Maker = Callable[[tuple[int, ...]], np.ndarray]
"""Makes a float32 array of zeros for a shape."""


@contextmanager
def memory_mapped(path: str | os.PathLike[str]) -> Iterator[Maker]:
    """Make an ``.npy`` file under a temporary name; it gets `path` as its name when the block ends well.

    Yields
    ------
    callable
        Called once, with the shape.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    arrays: list[np.memmap] = []

    def make(shape: tuple[int, ...]) -> np.ndarray:
        if 0 in shape:  # nothing to map
            np.save(temporary.open("wb"), np.zeros(shape, dtype=np.float32))
            return np.zeros(shape, dtype=np.float32)
        arrays.append(np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape))
        return arrays[-1]

    try:
        yield make
        for array in arrays:
            array.flush()
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
