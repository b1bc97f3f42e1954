"""Features on the disk: float32 ``.npy`` files that are written, and read, through the memory map."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.files import temporary_beside


def map_array(path: str | os.PathLike[str]) -> np.ndarray:
    """The array of an ``.npy`` file, through the memory map.

    Raises
    ------
    InputError
        No such file, a damaged or truncated one, an array of something other than float32.
    """
    if not Path(path).is_file():
        raise InputError("no such file; eval/extract.py makes it", path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy evaluates a header of Python text and meets broken bytes with any error
        raise InputError(f"a damaged or truncated .npy file ({type(error).__name__})", path) from None
    if not isinstance(array, np.ndarray) or array.dtype != np.float32:
        raise InputError("expected an array of float32", path)
    return array


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
    arrays: list[np.memmap] = []

    with temporary_beside(path) as temporary:

        def make(shape: tuple[int, ...]) -> np.ndarray:
            if 0 in shape:  # nothing to map
                with temporary.open("wb") as out:
                    np.save(out, np.zeros(shape, dtype=np.float32))
                return np.zeros(shape, dtype=np.float32)
            _reserve(temporary, shape)
            arrays.append(np.lib.format.open_memmap(temporary, mode="r+"))
            return arrays[-1]

        yield make
        for array in arrays:
            array.flush()
        os.replace(temporary, path)


def _reserve(path: Path, shape: tuple[int, ...]) -> None:
    """The header and room for the array: without the room a full disk is a bus error at some later moment."""
    with open(path, "wb") as out:
        header = {"descr": "<f4", "fortran_order": False, "shape": tuple(map(int, shape))}
        np.lib.format.write_array_header_1_0(out, header)
        out.flush()
        os.posix_fallocate(out.fileno(), 0, out.tell() + 4 * math.prod(map(int, shape)))
