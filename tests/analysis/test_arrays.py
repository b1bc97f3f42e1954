"""What all functions on matrices share: kinds, types, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fairseq_xling.analysis import (
    IterativeNormalizer,
    cosine_scores,
    csls,
    iterative_normalize,
    linear_cka,
    nearest_neighbors,
    procrustes,
)

PAIRED = [cosine_scores, csls, linear_cka, procrustes, nearest_neighbors]
TO_MATRIX = [cosine_scores, csls, procrustes, lambda X, Y: iterative_normalize(X)]


def matrix(n: int = 6, d: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d))


@pytest.mark.parametrize("function", TO_MATRIX)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_numpy_in_numpy_out_of_the_same_type(function, dtype):
    result = function(matrix().astype(dtype), matrix(seed=1).astype(dtype))
    assert isinstance(result, np.ndarray)
    assert result.dtype == dtype


@pytest.mark.parametrize("function", TO_MATRIX)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_torch_in_torch_out_of_the_same_type(function, dtype):
    result = function(torch.tensor(matrix(), dtype=dtype), torch.tensor(matrix(seed=1), dtype=dtype))
    assert isinstance(result, torch.Tensor)
    assert result.dtype == dtype


@pytest.mark.parametrize("function", TO_MATRIX)
def test_both_kinds_give_the_same_numbers(function):
    X, Y = matrix(), matrix(seed=1)
    np.testing.assert_allclose(function(torch.tensor(X), torch.tensor(Y)).numpy(), function(X, Y), atol=1e-14)


def test_integers_count_as_float64():
    assert cosine_scores(np.array([[1, 0]]), np.array([[0, 2], [3, 0]])).tolist() == [[0.0, 1.0]]
    assert cosine_scores(torch.tensor([[1, 0]]), torch.tensor([[0, 2], [3, 0]])).tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize("function", PAIRED)
def test_input_is_not_changed_and_may_be_any_view(function):
    X, Y = matrix(12, 6)[::-2, ::-1][:, ::2], np.asfortranarray(matrix(seed=1))
    before = X.copy(), Y.copy()
    X.flags.writeable = False
    function(X, Y)
    assert (before[0] == X).all()
    assert (before[1] == Y).all()


def test_tensors_with_gradient_are_welcome():
    X = torch.tensor(matrix(), requires_grad=True)
    assert not iterative_normalize(X).requires_grad


@pytest.mark.parametrize(
    "function", [*PAIRED, lambda X, Y: iterative_normalize(X), lambda X, Y: IterativeNormalizer.fit(X)]
)
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((0, 3)), "X is empty"),
        (np.zeros((6, 0)), "X is empty"),
        (np.zeros(3), "must be a matrix"),
        (np.full((6, 3), np.nan), "X holds NaN"),
        (np.full((6, 3), -np.inf), "X holds NaN or infinity"),
        (np.full((6, 3), "a"), "expected numbers"),
    ],
)
def test_refused(function, bad, message):
    with pytest.raises(ValueError, match=message):
        function(bad, matrix())


@pytest.mark.parametrize("function", PAIRED)
def test_one_nan_in_the_last_of_many_rows_is_found(function):
    Y = np.ones((20000, 3))
    Y[-1, -1] = np.nan
    with pytest.raises(ValueError, match="Y holds NaN"):
        function(np.ones((20000, 3)), Y)


@pytest.mark.parametrize("function", [linear_cka, procrustes])
def test_unpaired_samples_are_refused(function):
    with pytest.raises(ValueError, match="as many rows, not 6 and 5"):
        function(matrix(6), matrix(5))


@pytest.mark.parametrize("function", [cosine_scores, csls, procrustes, nearest_neighbors])
def test_different_dimensions_are_refused(function):
    with pytest.raises(ValueError, match="as many columns, not 3 and 4"):
        function(matrix(6, 3), matrix(6, 4))
