"""Orthogonal Procrustes against scipy and against known rotations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.stats import ortho_group

from fairseq_xling.analysis import procrustes


def test_scipy_agrees():
    X, Y = np.random.default_rng(0).normal(size=(2, 50, 8))
    np.testing.assert_allclose(procrustes(X, Y), orthogonal_procrustes(X, Y)[0], atol=1e-12)


def test_a_rotation_is_found_again_in_many_rows():
    X = np.random.default_rng(1).normal(size=(9000, 6)).astype(np.float32)
    R = ortho_group.rvs(6, random_state=1)
    W = procrustes(X, (X @ R).astype(np.float32))
    assert W.dtype == np.float32
    np.testing.assert_allclose(W, R, atol=1e-5)


@pytest.mark.parametrize(
    "case", ["fewer samples than dimensions", "constant columns", "duplicates", "zero vectors", "all zero"]
)
def test_degenerate_input_gives_an_orthogonal_map_that_is_as_good_as_scipys(case):
    X = np.random.default_rng(2).normal(size=(30, 8))
    if case == "fewer samples than dimensions":
        X = X[:3]
    elif case == "constant columns":
        X[:, 2:5] = 1
    elif case == "duplicates":
        X[:] = X[0]
    elif case == "zero vectors":
        X[5:] = 0
    else:
        X[:] = 0
    Y = X @ ortho_group.rvs(8, random_state=2)
    W = procrustes(X, Y)
    np.testing.assert_allclose(W @ W.T, np.eye(8), atol=1e-12)
    np.testing.assert_allclose(X @ W, Y, atol=1e-12)


def test_no_orthogonal_map_is_better():
    rng = np.random.default_rng(3)
    X, Y = rng.normal(size=(2, 20, 3))
    best = np.linalg.norm(X @ procrustes(X, Y) - Y)
    for seed in range(300):
        assert np.linalg.norm(X @ ortho_group.rvs(3, random_state=seed) - Y) >= best
