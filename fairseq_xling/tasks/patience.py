"""The count of ``--patience`` in the checkpoint.

fairseq counts validations without improvement on a function of its program: a run that was stopped and goes on would
begin anew, and one that ended for want of improvement would train on when its command is given again.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from fairseq import checkpoint_utils

NAMES = ("best", "num_runs")
"""Attributes of fairseq's function."""

_measure: list[str] = [""]
"""What this run counts by; two measures, such as bits and nats, cannot be compared."""


def _counter() -> dict[str, Any]:
    """Where fairseq counts: in whichever module its program runs; a new place where it does not run."""
    for name in ("fairseq_cli.train", "__main__"):
        function = getattr(sys.modules.get(name), "should_stop_early", None)
        if function is not None:
            return function.__dict__
    return {}


def begin(measure: str) -> None:
    """Count anew, by `measure`."""
    _measure[0] = measure
    restore({})


def state() -> dict[str, Any]:
    """The count as plain data, and what it is by."""
    counter = _counter()
    return {"measure": _measure[0], **{name: counter[name] for name in NAMES if name in counter}}


def restore(saved: Mapping[str, Any]) -> None:
    """Go on with a count from a checkpoint; with an empty one, or one by another measure, begin anew."""
    counter = _counter()
    for name in NAMES:
        counter.pop(name, None)
    if saved.get("measure", _measure[0]) == _measure[0]:
        counter.update({name: saved[name] for name in NAMES if name in saved})
    else:
        vars(checkpoint_utils.save_checkpoint).pop("best", None)  # fairseq would compare with it all the same


def is_exhausted(patience: int) -> bool:
    """Whether a run with this ``--patience`` has ended."""
    return 0 < patience <= _counter().get("num_runs", 0)
