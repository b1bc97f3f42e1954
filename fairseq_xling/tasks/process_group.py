"""The end of one process of several: gloo's threads end before Python does."""

from __future__ import annotations

import atexit
import gc
import sys

import torch.distributed as dist
from fairseq.distributed import utils as distributed_utils


def install() -> None:
    """See to it at the end of this process; a second call does nothing."""
    atexit.unregister(_end)
    atexit.register(_end)


def _end() -> None:
    """Leave the process group, and let go of all that keeps its threads alive.

    A thread of gloo lets go of the tensor of its last reduction some time after the result is there. If Python ends
    meanwhile, the process aborts ("terminate called without an active exception"), and its status is no longer the one
    it ended with. A group waits for its threads when nobody holds it any more; fairseq goes on to hold the one that it
    trains with, and a cycle may hold what is left of training. torch's own, which some of its modules hold, serves
    the start alone. After a failure nothing is waited for. Other backends end as they do without this.
    """
    failed = hasattr(sys, "last_value")
    if dist.is_available() and dist.is_initialized() and dist.get_backend() == "gloo" and not failed:
        vars(distributed_utils.get_global_group).pop("_global_group", None)
        dist.destroy_process_group()
        gc.collect()
