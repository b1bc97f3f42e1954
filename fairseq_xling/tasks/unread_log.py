"""fairseq's trainer without the numbers that it reads after every batch and nobody looks at.

To read a number of the log, the host waits for the device. fairseq's trainer reads all of them after each update, for a
value that its callers only compare with None; then it has nothing ready for the device to do.
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
