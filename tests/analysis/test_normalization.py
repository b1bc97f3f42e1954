"""Iterative normalisation against its definition, and at its corners."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fairseq_xling.analysis import IterativeNormalizer, iterative_normalize


def by_definition(X: np.ndarray, rounds: int) -> np.ndarray:
    rows = [list(map(float, row)) for row in X]
    for _ in range(rounds):
        scaled = []
        for row in rows:
            length = sum(value * value for value in row) ** 0.5
            scaled.append([value / length if length else 0.0 for value in row])
        mean = [sum(column) / len(scaled) for column in zip(*scaled, strict=True)]
        rows = [[value - centre for value, centre in zip(row, mean, strict=True)] for row in scaled]
    return np.array(rows)


@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_definition(rounds):
    X = np.random.default_rng(0).normal(size=(40, 7)) + 2
    X[3] = 0
    np.testing.assert_allclose(iterative_normalize(X, rounds), by_definition(X, rounds), atol=1e-13)


def test_it_converges_to_unit_length_and_zero_mean():
    Z = iterative_normalize(np.random.default_rng(0).normal(size=(500, 20)) + 1, rounds=50)
    np.testing.assert_allclose(np.linalg.norm(Z, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(Z.mean(0), 0, atol=1e-12)


def test_transform_of_the_fitted_vectors_is_the_normalisation():
    X = np.random.default_rng(1).normal(size=(30, 5)).astype(np.float32)
    normalizer = IterativeNormalizer.fit(X)
    assert normalizer.means.shape == (5, 5)
    assert (normalizer.transform(X) == iterative_normalize(X)).all()


def test_unseen_vectors_use_the_kept_means():
    X, Y = np.random.default_rng(2).normal(size=(2, 30, 5)) + 1
    expected = Y
    mapped = X
    for _ in range(5):
        mean = (mapped / np.linalg.norm(mapped, axis=1, keepdims=True)).mean(0)
        mapped = mapped / np.linalg.norm(mapped, axis=1, keepdims=True) - mean
        expected = expected / np.linalg.norm(expected, axis=1, keepdims=True) - mean
    np.testing.assert_allclose(IterativeNormalizer.fit(X).transform(Y), expected, atol=1e-13)
    assert isinstance(IterativeNormalizer.fit(X).transform(torch.tensor(Y)), torch.Tensor)


def test_length_of_the_input_does_not_matter():
    X = np.random.default_rng(3).normal(size=(20, 4))
    np.testing.assert_allclose(
        iterative_normalize(X * np.logspace(-100, 100, 20)[:, None]), iterative_normalize(X), atol=1e-12
    )


@pytest.mark.parametrize("X", [np.zeros((4, 3)), np.full((1, 3), 0.1), np.full((7, 3), 0.1)])
def test_no_direction_is_left_in_zeros_a_single_row_and_copies(X):
    np.testing.assert_allclose(iterative_normalize(X), 0, atol=1e-15)


def test_constant_columns_vanish():
    X = np.random.default_rng(4).normal(size=(50, 4))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    Z = iterative_normalize(np.hstack([X, np.ones((50, 1))]), rounds=1)
    np.testing.assert_allclose(Z[:, -1], 0, atol=1e-15)


def test_bad_arguments():
    with pytest.raises(ValueError, match="rounds"):
        iterative_normalize(np.ones((2, 2)), rounds=0)
    with pytest.raises(ValueError, match="must have 3 columns, not 2"):
        IterativeNormalizer.fit(np.ones((4, 3))).transform(np.ones((4, 2)))
