"""`metrics.jsonl` beside the checkpoints: what fairseq logs, one JSON object a line."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

from fairseq.logging.meters import MetersDict
from fairseq.logging.progress_bar import format_stat

from fairseq_xling.formats.files import atomic_write

FAIRSEQ_LOGGER = "fairseq.logging.progress_bar"
"""fairseq renames this logger to the phase (train_inner, train, valid) while it logs; the object stays the same."""


class MetricsLog(logging.Handler):
    """Writes the numbers that fairseq logs, with whatever ``--log-format``.

    A line: ``{"phase": "train_inner" | "train" | <subset>, "update": int, <name>: float, ...}``.

    Parameters
    ----------
    path : path-like
    """

    def __init__(self, path: str | Path):
        super().__init__()
        self.path = Path(path)

    def start(self, update: int) -> None:
        """Begin to write; lines of updates after `update` are dropped, as a run that resumed there makes them again."""
        if self.path.exists():
            text = self.path.read_text(encoding="utf-8", errors="replace")
            lines = [line for line in text.splitlines() if _update_of(line) <= update]
            with atomic_write(self.path) as out:
                out.writelines(line + "\n" for line in lines)
        progress = logging.getLogger(FAIRSEQ_LOGGER)
        for handler in [handler for handler in progress.handlers if isinstance(handler, MetricsLog)]:
            progress.removeHandler(handler)  # of an earlier run in this process
        progress.setLevel(logging.INFO)  # whatever LOGLEVEL says: the file is always written
        progress.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record of fairseq's progress bar, if it holds numbers."""
        numbers = parse_stats(record.getMessage(), record.name)
        if "num_updates" in numbers:
            update = int(numbers.pop("num_updates"))
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "a", encoding="utf-8") as out:
                # fairseq's own "update" is the epoch with its fraction
                out.write(json.dumps({"phase": record.name, **numbers, "update": update}) + "\n")


def settle_epoch(path: str | Path, epoch: int, sums: list) -> None:
    """After a checkpoint of an epoch's end is loaded: the line of that epoch, if a kill prevented it.

    fairseq saves before it logs the epoch, and begins the next one with new sums.

    Parameters
    ----------
    path : path-like
        `metrics.jsonl`.
    epoch : int
        The one that has ended.
    sums : list
        Its sums, as the checkpoint holds them; numbers that are made of others (perplexity, utilisation) are not there.
    """
    meters = MetersDict()
    meters.load_state_dict(sums)
    stats = {name: value for name, value in meters.get_smoothed_values().items() if value is not None}
    update = int(stats.pop("num_updates", 0))
    if update and not _has_epoch(Path(path), update):
        numbers = {name: float(format_stat(value)) for name, value in stats.items()}
        with open(path, "a", encoding="utf-8") as out:
            out.write(json.dumps({"phase": "train", "epoch": float(epoch), **numbers, "update": update}) + "\n")


def _has_epoch(path: Path, update: int) -> bool:
    """Whether the line of the epoch that ended with `update` is there."""
    if not path.exists():
        return False
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return any(_update_of(line) == update and json.loads(line).get("phase") == "train" for line in lines)


def parse_stats(message: str, phase: str) -> dict[str, float]:
    """Numbers of one line of fairseq's json, simple or tqdm format, names without the phase in front."""
    if message.startswith("{"):
        pairs: Any = json.loads(message).items()
    else:
        pairs = re.findall(r"([A-Za-z_][\w-]*)(?:=|\s)([-+.\deE]+|inf|nan)(?=[\s,|]|$)", message)
    numbers = {}
    for name, value in pairs:
        try:
            numbers[name.removeprefix(f"{phase}_")] = float(value)
        except (TypeError, ValueError):
            continue
    return numbers


def _update_of(line: str) -> int:
    try:
        return int(json.loads(line)["update"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return 2**63  # a line cut off by a crash goes as well
