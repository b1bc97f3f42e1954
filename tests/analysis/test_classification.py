"""Accuracy and baselines, literally."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fairseq_xling.analysis import accuracy, chance, majority_baseline


def test_accuracy():
    assert accuracy(["a", "b", "a", "c"], ["a", "b", "c", "a"]) == 0.5
    assert accuracy(np.array([1, 2]), np.array([1, 2])) == 1.0


@pytest.mark.parametrize(("gold", "predicted"), [([], []), ([1], [1, 1])])
def test_accuracy_of_nothing_or_of_unequal_lengths(gold, predicted):
    with pytest.raises(ValueError, match="expected predictions"):
        accuracy(gold, predicted)


def test_majority_of_gold_and_of_the_training_labels():
    assert majority_baseline(["n", "e", "n", "c"]) == 0.5
    assert majority_baseline(["n", "e", "n", "c"], train=["e", "e", "n"]) == 0.25
    assert majority_baseline(["n"], train=["x"]) == 0.0
    assert majority_baseline(["b", "a", "a"], train=["b", "a"]) == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="label"):
        majority_baseline([])


def test_chance():
    assert chance(3) == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="not 0"):
        chance(0)


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_labels_in_arrays_and_tensors(kind):
    """Elements of a tensor are hashed by identity: each was a label of its own, and 1 in 5 the majority."""
    gold, predicted = kind([0, 1, 1, 2, 1]), kind([0, 1, 1, 1, 1])
    assert majority_baseline(gold) == majority_baseline(kind([0]), train=kind([1, 0, 0])) - 0.4 == 0.6
    assert accuracy(gold, predicted) == accuracy(gold.tolist(), predicted) == 0.8
    assert {type(accuracy(gold, predicted)), type(majority_baseline(gold))} == {float}
    with pytest.raises(ValueError, match=r"shape \(5, 1\)"):
        accuracy(gold, predicted[:, None])
