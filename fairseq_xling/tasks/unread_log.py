"""Keeps fairseq's trainer from reading all numbers of the log after every update.

To read a number that the device computes, the host has to wait for it, and the device then waits for the host to
prepare the next update. fairseq's trainer reads all numbers after each update although its callers only compare the
result with None.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from fairseq.logging.meters import MetersDict
from fairseq.trainer import Trainer

_reduce_and_log_stats = Trainer._reduce_and_log_stats


@contextlib.contextmanager
def unread() -> Iterator[None]:
    """Inside, a log's numbers are gathered as ever, but reading all of them gives none."""
    original = MetersDict.get_smoothed_values
    MetersDict.get_smoothed_values = lambda _: OrderedDict()
    try:
        yield
    finally:
        MetersDict.get_smoothed_values = original


def _reduce(self: Trainer, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """fairseq's `_reduce_and_log_stats`; for tasks that say so its result holds the sample size alone."""
    if not getattr(self.task, "numbers_stay_unread", False):
        return _reduce_and_log_stats(self, *args, **kwargs)
    with unread():
        return _reduce_and_log_stats(self, *args, **kwargs)


def install() -> None:
    """Make fairseq's trainer ask tasks that have `numbers_stay_unread`; a second call does nothing."""
    Trainer._reduce_and_log_stats = _reduce
