"""Files of hyperparameter grids (TOML): for each task, what is tried."""

from __future__ import annotations

import itertools
import os
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from fairseq_xling.formats.errors import InputError

SCHEDULES = ("linear", "fixed")

OF_THE_GRID = {
    "--lr": "lr",
    "--head-lr": "head_lr",
    "--batch-size": "batch_size",
    "--max-sentences": "batch_size",
    "--max-epoch": "epochs",
    "--epoch-examples": "epoch_examples",
}
"""Options of fairseq-train that a grid file sets; names of settings, schedules and signatures follow from the file."""


def refuse_options_of_the_grid(options: Iterable[str]) -> None:
    """InputError where `options` would override what the grid file says, unseen by the schedule and the signature."""
    for option in options:
        name = option.partition("=")[0]
        if name in OF_THE_GRID:
            raise InputError(f"{name} after --: change '{OF_THE_GRID[name]}' in a copy of the grid file (--grid)")


@dataclass(frozen=True)
class Setting:
    """One choice of hyperparameters."""

    lr: float
    batch_size: int
    head_lr: float | None = None

    @property
    def name(self) -> str:
        """Name of its folder, such as ``lr2e-05_bs16``."""
        head = "" if self.head_lr is None else f"_head{self.head_lr:g}"
        return f"lr{self.lr:g}{head}_bs{self.batch_size}"


@dataclass(frozen=True)
class Grid:
    """What is tried for one task: every combination of rates and batch sizes.

    Attributes
    ----------
    epochs : int
    batch_size : tuple of int
    lr, head_lr : tuple of float
        Learning rates; those of the head are the same where `head_lr` is empty.
    schedule : {"linear", "fixed"}
        Warm-up over the first `warmup` of all updates, then linear decay to 0; or fixed rates.
    warmup : float
    epoch_examples : int
        Examples of an epoch; 0: all.
    options : tuple of str
        Further options of fairseq-train.
    """

    epochs: int
    batch_size: tuple[int, ...]
    lr: tuple[float, ...]
    head_lr: tuple[float, ...] = ()
    schedule: str = "linear"
    warmup: float = 0.0
    epoch_examples: int = 0
    options: tuple[str, ...] = ()

    def settings(self) -> Iterator[Setting]:
        """All combinations."""
        for batch_size, lr, head_lr in itertools.product(self.batch_size, self.lr, self.head_lr or (None,)):
            yield Setting(lr, batch_size, head_lr)

    def schedule_options(self, examples: int, batch_size: int) -> list[str]:
        """Options of the schedule, for a training set of that many examples."""
        if self.schedule == "fixed":
            return ["--lr-scheduler", "fixed"]
        total = -(-(self.epoch_examples or examples) // batch_size) * self.epochs
        return [
            *("--lr-scheduler", "polynomial_decay", "--total-num-update", str(total)),
            *("--warmup-updates", str(round(total * self.warmup))),
        ]


def read_grids(path: str | os.PathLike[str]) -> dict[str, Grid]:
    """The grids of a file, by task.

    Raises
    ------
    InputError
        No TOML, an unknown or missing entry, a value of another type; the file and the entry are named.
    """
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"not a grid file: {error}", path) from None
    grids = {}
    for task, table in tables.items():
        if not isinstance(table, dict):
            raise InputError(f"expected a table [{task}]", path)
        grids[task] = _grid(task, table, path)
    return grids


_POSITIVE = {"epochs": int, "batch_size": int, "lr": float, "head_lr": float}
_OTHERS = ("warmup", "options", "epoch_examples")
_LARGEST = 10**12


def _grid(task: str, table: dict, path: str | os.PathLike[str]) -> Grid:
    known = {field.name: field for field in fields(Grid)}
    if unknown := set(table) - set(known):
        raise InputError(f"[{task}] has an unknown entry '{min(unknown)}'; expected {', '.join(known)}", path)
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    for name in ("epochs", "batch_size", "lr"):
        if name not in values:
            raise InputError(f"[{task}] lacks the entry '{name}'", path)
    for name, kind in _POSITIVE.items():
        many = name != "epochs"
        numbers = values.get(name, ()) if many else (values[name],)
        if not isinstance(numbers, tuple) or not all(_positive(number, kind) for number in numbers):
            raise InputError(f"[{task}] {name}: expected {'a list of ' if many else ''}positive numbers", path)
    if not values["lr"] or not values["batch_size"]:
        raise InputError(f"[{task}]: at least one learning rate and one batch size are needed", path)
    if values.get("schedule", "linear") not in SCHEDULES:
        raise InputError(f"[{task}] schedule: expected one of {', '.join(SCHEDULES)}", path)
    warmup, options, examples = (values.get(name, 0 if name != "options" else ()) for name in _OTHERS)
    if not isinstance(warmup, (int, float)) or not 0 <= warmup <= 1:
        raise InputError(f"[{task}] warmup: expected a number between 0 and 1", path)
    if not isinstance(options, tuple) or not all(isinstance(option, str) for option in options):
        raise InputError(f"[{task}] options: expected a list of strings", path)
    for option in options:
        if (entry := OF_THE_GRID.get(option.partition("=")[0])) is not None:
            raise InputError(f"[{task}] options: {option} has an entry of its own, '{entry}'", path)
    if examples != 0 and not _positive(examples, int):
        raise InputError(f"[{task}] epoch_examples: expected a whole number of at least 0", path)
    return Grid(**values)


def _positive(number: object, kind: type) -> bool:
    kinds = int if kind is int else (int, float)
    return isinstance(number, kinds) and not isinstance(number, bool) and 0 < number < _LARGEST
