"""CKA from sums against the n x n definitions, and the debiased estimator against all quadruples of samples."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairseq_xling.analysis import StreamingCKA, linear_cka


def by_gram(X: np.ndarray, Y: np.ndarray) -> float:
    """Kornblith et al. (2019): HSIC(K, L) = tr(K H L H)."""
    H = np.eye(len(X)) - 1 / len(X)
    K, L = X @ X.T, Y @ Y.T

    def hsic(K, L):
        return np.trace(K @ H @ L @ H)

    return hsic(K, L) / np.sqrt(hsic(K, K) * hsic(L, L))


def hsic_u_statistic(K: np.ndarray, L: np.ndarray) -> float:
    """Unbiased HSIC as the mean over all ordered quadruples of different samples (Song et al. 2012)."""
    values = [K[i, j] * (L[i, j] + L[q, r] - 2 * L[i, q]) for i, j, q, r in itertools.permutations(range(len(K)), 4)]
    return float(np.mean(values))


def by_quadruples(X: np.ndarray, Y: np.ndarray) -> float:
    K, L = X @ X.T, Y @ Y.T
    return hsic_u_statistic(K, L) / np.sqrt(hsic_u_statistic(K, K) * hsic_u_statistic(L, L))


def by_zero_diagonals(X: np.ndarray, Y: np.ndarray) -> float:
    """The n x n form of Song et al. (2012), equation 5."""
    n, K, L = len(X), X @ X.T, Y @ Y.T
    np.fill_diagonal(K, 0)
    np.fill_diagonal(L, 0)
    one = np.ones(n)

    def hsic(K, L):
        return np.trace(K @ L) + one @ K @ one * (one @ L @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * one @ K @ L @ one

    return hsic(K, L) / np.sqrt(hsic(K, K) * hsic(L, L))


def related(n: int, d1: int, d2: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d1)) + rng.normal(size=d1)
    return X, X @ rng.normal(size=(d1, d2)) + 2 * rng.normal(size=(n, d2))


@pytest.mark.parametrize(("n", "d1", "d2"), [(200, 7, 5), (6, 20, 30), (4, 1, 1), (50, 50, 49)])
def test_definitions(n, d1, d2):
    X, Y = related(n, d1, d2)
    assert linear_cka(X, Y) == pytest.approx(by_gram(X, Y), abs=1e-12)
    assert linear_cka(X, Y, debiased=True) == pytest.approx(by_zero_diagonals(X, Y), abs=1e-10)


@pytest.mark.parametrize("n", [4, 5, 7])
def test_debiased_is_the_u_statistic(n):
    X, Y = related(n, 3, 2)
    assert linear_cka(X, Y, debiased=True) == pytest.approx(by_quadruples(X, Y), abs=1e-12)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.booleans(), st.integers(0, 1000))
def test_batches_do_not_matter(sizes, debiased, seed):
    X, Y = related(sum(sizes) + 4, 5, 3, seed)
    stream = StreamingCKA(debiased)
    start = 0
    for size in [*sizes, 4]:
        stream.update(X[start : start + size], torch.tensor(Y[start : start + size]))
        start += size
    assert stream.n == len(X)
    assert stream.value() == pytest.approx(linear_cka(X, Y, debiased), abs=1e-11)


@pytest.mark.parametrize("debiased", [False, True])
def test_invariances(debiased):
    X, Y = related(60, 6, 4)
    value = linear_cka(X, Y, debiased)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    assert linear_cka(X, X @ rotation * 3 + 7, debiased) == pytest.approx(1, abs=1e-12)
    assert linear_cka(X @ rotation * 0.2 - 5, Y, debiased) == pytest.approx(value, abs=1e-11)
    assert linear_cka(Y, X, debiased) == pytest.approx(value, abs=1e-12)
    order = np.random.default_rng(2).permutation(60)
    assert linear_cka(X[order], Y[order], debiased) == pytest.approx(value, abs=1e-11)


@pytest.mark.parametrize("debiased", [False, True])
def test_a_mean_far_from_zero_and_an_odd_first_batch_cost_no_precision(debiased):
    X, Y = related(300, 6, 4)
    value = linear_cka(X, Y, debiased)
    assert linear_cka(X + 1e5, Y - 1e5, debiased) == pytest.approx(value, abs=1e-8)
    X[0], Y[0] = 50, -50
    stream = StreamingCKA(debiased)
    for start, end in ((0, 1), (1, 300)):
        stream.update(X[start:end], Y[start:end])
    reference = by_zero_diagonals(X, Y) if debiased else by_gram(X, Y)
    assert stream.value() == pytest.approx(reference, rel=1e-8)


def test_more_rows_than_one_chunk():
    X, Y = related(9000, 3, 3)
    whole = StreamingCKA()
    whole.update(X, Y)
    assert linear_cka(X, Y) == pytest.approx(whole.value(), abs=1e-12)


def test_bias_and_its_removal():
    """Unrelated vectors, fewer samples than dimensions: near 1 with the bias, near 0 without."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(40, 400)), rng.normal(size=(40, 400))
    assert linear_cka(X, Y) > 0.8
    assert abs(linear_cka(X, Y, debiased=True)) < 0.1


def test_constant_columns_zero_rows_and_duplicates_change_nothing_or_little():
    X, Y = related(30, 4, 4)
    X[:, 1], Y[:5] = 3, 0
    assert linear_cka(X, Y) == pytest.approx(by_gram(X, Y), abs=1e-12)
    doubled = linear_cka(np.vstack([X, X]), np.vstack([Y, Y]))
    assert doubled == pytest.approx(linear_cka(X, Y), abs=1e-12)


@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6 / 3])
def test_equal_samples_are_refused(debiased, constant):
    with pytest.raises(ValueError, match="all samples of Y are equal"):
        linear_cka(np.random.default_rng(0).normal(size=(9, 3)), np.full((9, 3), constant), debiased)


def test_debiased_without_structure_is_refused():
    # orthogonal samples: all similarities off the diagonal are equal
    with pytest.raises(ValueError, match="no similarity structure"):
        linear_cka(np.eye(6), np.random.default_rng(0).normal(size=(6, 2)), debiased=True)


def test_too_few_samples_and_other_batches_are_refused():
    X = np.random.default_rng(0).normal(size=(3, 2))
    with pytest.raises(ValueError, match="at least 2 samples, not 1"):
        linear_cka(X[:1], X[:1])
    with pytest.raises(ValueError, match="debiased CKA needs at least 4 samples, not 3"):
        linear_cka(X, X, debiased=True)
    with pytest.raises(ValueError, match="not 0"):
        StreamingCKA().value()
    stream = StreamingCKA()
    stream.update(X, X)
    with pytest.raises(ValueError, match="2 and 2 columns were added before, this one has 2 and 1"):
        stream.update(X, X[:, :1])
