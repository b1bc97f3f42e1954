"""Of what a command prints, the lines that a person wants to see on the way."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence

EVERY = 15.0
"""Seconds between two lines about the progress of training."""

TELLING = re.compile(
    r"an epoch:|language-specific parts:|parameters: |updates left take|drawn with|passes an epoch| 0\.\d{4} +\d|"
    r"stopped by a signal|Loaded checkpoint|^\w*(Error|Exception)\b"
)
LOUD = (" | WARNING | ", " | ERROR | ")


class TrainingProgress:
    """Chooses lines of fairseq-train's log, and makes one of the numbers now and then.

    Parameters
    ----------
    command : sequence of str
        Gives ``--max-update``.
    clock : callable
    """

    def __init__(self, command: Sequence[str], clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._next = clock()
        last = [command[i + 1] for i, word in enumerate(command[:-1]) if word == "--max-update"]
        self._updates = int(last[-1]) if last and last[-1].isdigit() else 0

    def line(self, text: str) -> str | None:
        """What to show for a line of the log."""
        message = text.split(" | ", 3)[-1].strip()
        if message.startswith("{"):
            return self._numbers(message)
        return message[:200] if TELLING.search(message) or any(level in text for level in LOUD) else None

    def _numbers(self, message: str) -> str | None:
        try:
            stats = json.loads(message)
        except ValueError:
            return None
        if "valid_nats" in stats:
            each = ", ".join(f"{name[11:]} {value}" for name, value in stats.items() if name.startswith("valid_nats_"))
            return (
                f"update {int(stats['valid_num_updates']):,}: {stats['valid_nats']} nats a predicted dev token ({each})"
            )
        if "num_updates" not in stats or self._clock() < self._next:
            return None
        self._next = self._clock() + EVERY
        done, rate = int(stats["num_updates"]), float(stats.get("ups", 0))
        total = f" of {self._updates:,}" if self._updates else ""
        left = f", {duration((self._updates - done) / rate)} left" if self._updates and rate else ""
        return f"update {done:,}{total}: {stats.get('nats', '?')} nats a predicted token, {rate:g} updates/s{left}"


class PlainProgress:
    """Shows all lines, and progress bars (lines that end in a carriage return) now and then."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._next = clock() + EVERY

    def line(self, text: str) -> str | None:
        """What to show for a line."""
        return text.rstrip() or None

    def bar(self, text: str) -> str | None:
        """What to show for a state of a progress bar."""
        if self._clock() < self._next:
            return None
        self._next = self._clock() + EVERY
        return text.strip() or None


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
