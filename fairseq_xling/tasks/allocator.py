"""Memory that stays with the process: on a CPU, freshly mapped pages cost a training step a good part of its time."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Parameters of glibc's `mallopt`, from its ``malloc.h``."""


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed, for the next update's tensors, which are of the same sizes.

    By default it maps every large tensor anew and hands it back when it is freed; the kernel then fills each page with
    zeros at its first touch, every update. The process holds its peak of memory until it ends.

    Returns
    -------
    bool
        Whether that is possible here: glibc on Linux.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False  # another C library
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1) and mallopt(M_TOP_PAD, 64 << 20))
