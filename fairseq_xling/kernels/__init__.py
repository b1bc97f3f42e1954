"""Triton kernels for a GPU. Only what has made sure that Triton is there imports them."""

import os


def wanted() -> bool:
    """Whether kernels of our own are to be used, these and the one in C: not with ``XLING_NO_KERNEL=1``."""
    return os.environ.get("XLING_NO_KERNEL", "") in ("", "0")
