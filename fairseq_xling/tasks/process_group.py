"""The end of one process of several: gloo's threads end before Python does."""

from __future__ import annotations

import atexit
import sys

import torch.distributed as dist


def install() -> None:
    """See to it at the end of this process; a second call does nothing."""
    atexit.unregister(_end)
    atexit.register(_end)


def _end() -> None:
    """Leave the process group.

    A thread of gloo lets go of the tensor of its last reduction some time after the result is there. If Python ends
    meanwhile, the process aborts ("terminate called without an active exception"), and its status is no longer the one
    it ended with. After a failure nothing is waited for. Other backends end as they do without this.
    """
    failed = hasattr(sys, "last_value")
    if dist.is_available() and dist.is_initialized() and dist.get_backend() == "gloo" and not failed:
        dist.destroy_process_group()
