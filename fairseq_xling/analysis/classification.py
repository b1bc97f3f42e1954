"""Accuracy, and what it must be compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
from torch import Tensor

Labels = Sequence[Hashable] | np.ndarray | Tensor
"""One label an item; arrays and tensors of shape (n,)."""


def accuracy(gold: Labels, predicted: Labels) -> float:
    """Share of items, between 0 and 1, whose predicted label is the gold one.

    Raises
    ------
    ValueError
        If there are no items, the lengths differ, or an array is not a vector.
    """
    gold, predicted = _as_list(gold), _as_list(predicted)
    if len(gold) != len(predicted) or not len(gold):
        raise ValueError(f"expected predictions for at least one item, got {len(predicted)} for {len(gold)}")
    return sum(right == guess for right, guess in zip(gold, predicted, strict=True)) / len(gold)


def majority_baseline(gold: Labels, train: Labels | None = None) -> float:
    """Accuracy of always answering with the most frequent label.

    Parameters
    ----------
    gold : labels (n,)
        What is scored.
    train : labels (m,), optional
        Where the most frequent label is counted; in `gold` itself if not given. Of equally frequent labels the one
        seen first counts.
    """
    gold = _as_list(gold)
    seen = gold if train is None else _as_list(train)
    if not len(gold) or not len(seen):
        raise ValueError("expected at least one label")
    label = Counter(seen).most_common(1)[0][0]
    return sum(right == label for right in gold) / len(gold)


def chance(labels: int) -> float:
    """Expected accuracy of drawing one of that many labels evenly."""
    if labels < 1:
        raise ValueError(f"expected at least one label, not {labels}")
    return 1 / labels


def _as_list(labels: Labels) -> Sequence[Hashable]:
    """Plain values: equal elements of a tensor are different objects to a `Counter`."""
    if not isinstance(labels, np.ndarray | Tensor):
        return labels
    if labels.ndim != 1:
        raise ValueError(f"expected one label an item, not an array of shape {tuple(labels.shape)}")
    values: list[Hashable] = labels.tolist()
    return values
