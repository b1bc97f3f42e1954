"""Accuracy, and what it must be compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence


def accuracy(gold: Sequence[Hashable], predicted: Sequence[Hashable]) -> float:
    """Share of items, between 0 and 1, whose predicted label is the gold one.

    Raises
    ------
    ValueError
        If there are no items or the lengths differ.
    """
    if len(gold) != len(predicted) or not len(gold):
        raise ValueError(f"expected predictions for at least one item, got {len(predicted)} for {len(gold)}")
    return sum(right == guess for right, guess in zip(gold, predicted, strict=True)) / len(gold)


def majority_baseline(gold: Sequence[Hashable], train: Sequence[Hashable] | None = None) -> float:
    """Accuracy of always answering with the most frequent label.

    Parameters
    ----------
    gold : sequence of labels
        What is scored.
    train : sequence of labels, optional
        Where the most frequent label is counted; in `gold` itself if not given. Of equally frequent labels the one
        seen first counts.
    """
    seen = gold if train is None else train
    if not len(gold) or not len(seen):
        raise ValueError("expected at least one label")
    label = Counter(seen).most_common(1)[0][0]
    return sum(right == label for right in gold) / len(gold)


def chance(labels: int) -> float:
    """Expected accuracy of drawing one of that many labels evenly."""
    if labels < 1:
        raise ValueError(f"expected at least one label, not {labels}")
    return 1 / labels
