"""Numbers over seeds and hyperparameter settings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np


class Setting(NamedTuple):
    """What one hyperparameter setting reached: its score on the English dev set and the one on the target language."""

    dev: float
    target: float


def mean_and_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation (divided by n - 1); None instead of the latter for a single value."""
    numbers = _finite(values)
    return float(numbers.mean()), float(numbers.std(ddof=1)) if len(numbers) > 1 else None


def mean_of_best_two(settings: Iterable[Setting | tuple[float, float]]) -> float:
    """The paper's rule of selection: the mean target score of the two settings that are best on English dev.

    Parameters
    ----------
    settings : iterable of (dev, target)
        One pair per hyperparameter setting. Of settings with equal dev scores the earlier ones count.

    Raises
    ------
    ValueError
        If there are fewer than two settings, or a score is NaN or infinite.
    """
    listed = [Setting(*setting) for setting in settings]
    if len(listed) < 2:
        raise ValueError(f"the rule needs at least two settings, not {len(listed)}")
    _finite([score for setting in listed for score in setting])
    return sum(listed[place].target for place in best_two([setting.dev for setting in listed])) / 2


def best_two(dev: Sequence[float]) -> list[int]:
    """Positions of the two highest dev scores, the highest first; of equal scores the earlier ones count."""
    return sorted(range(len(dev)), key=lambda place: -dev[place])[:2]


def pearson(x: Sequence[float], y: Sequence[float]) -> float:
    """Pearson's correlation of paired numbers, between -1 and 1.

    Raises
    ------
    ValueError
        If the lengths differ, there are fewer than two pairs, or one side is constant.
    """
    first, second = _finite(x), _finite(y)
    if len(first) != len(second) or len(first) < 2:
        raise ValueError(f"expected at least two pairs, got {len(first)} and {len(second)} numbers")
    if first.min() == first.max() or second.min() == second.max():
        raise ValueError("correlation is undefined: one side is constant")
    first, second = first - first.mean(), second - second.mean()
    first, second = first / np.abs(first).max(), second / np.abs(second).max()
    correlation = float(first @ second) / math.sqrt(float(first @ first) * float(second @ second))
    return max(-1.0, min(1.0, correlation))


def _finite(values: Sequence[float]) -> np.ndarray:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or not len(numbers):
        raise ValueError(f"expected at least one number, not an array of shape {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise ValueError("a number is NaN or infinite")
    return numbers
