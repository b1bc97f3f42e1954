"""What every function on matrices shares: check the input, compute in torch, give back the caller's kind."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

Array = TypeVar("Array", np.ndarray, Tensor)

ROWS_AT_A_TIME = 8192


def as_matrix(X: np.ndarray | Tensor, name: str) -> Tensor:
    """`X` as a torch matrix without copying where the type allows it.

    Parameters
    ----------
    X : array or tensor (n, d)
        Rows are samples. Integers become float64.
    name : str
        How error messages call it.

    Raises
    ------
    ValueError
        If `X` is not a matrix, is empty, or holds NaN or infinity.
    """
    if isinstance(X, Tensor):
        matrix = X.detach()
    else:
        matrix = _from_numpy(np.asarray(X))
    if matrix.dim() != 2:
        raise ValueError(f"{name} must be a matrix with samples as rows, not of shape {tuple(matrix.shape)}")
    if matrix.numel() == 0:
        raise ValueError(f"{name} is empty: shape {tuple(matrix.shape)}")
    if not matrix.is_floating_point():
        matrix = matrix.double()
    if not all(bool(torch.isfinite(rows).all()) for rows in matrix.split(ROWS_AT_A_TIME)):
        raise ValueError(f"{name} holds NaN or infinity")
    return matrix


def as_pair(X: np.ndarray | Tensor, Y: np.ndarray | Tensor, *, same: str) -> tuple[Tensor, Tensor]:
    """Two checked matrices that agree in ``same``: ``"rows"`` (paired samples), ``"columns"`` or ``"both"``."""
    first, second = as_matrix(X, "X"), as_matrix(Y, "Y")
    if same in ("rows", "both") and first.shape[0] != second.shape[0]:
        raise ValueError(f"X and Y must have as many rows, not {first.shape[0]} and {second.shape[0]}")
    if same in ("columns", "both") and first.shape[1] != second.shape[1]:
        raise ValueError(f"X and Y must have as many columns, not {first.shape[1]} and {second.shape[1]}")
    return first, second


def as_kind_of(result: Tensor, like: np.ndarray | Tensor) -> np.ndarray | Tensor:
    """`result` as NumPy array or tensor, as `like` is, with its floating type (float64 where it has none)."""
    if isinstance(like, Tensor):
        return result.to(like.dtype) if like.is_floating_point() else result
    array, dtype = result.cpu().numpy(), np.asarray(like).dtype
    return array.astype(dtype, copy=False) if np.issubdtype(dtype, np.floating) else array


def unit_rows(X: Tensor, smallest: float = 0.0) -> Tensor:
    """`X` (n, d) with rows scaled in place to Euclidean length 1; rows no longer than `smallest` become zero."""
    norms = torch.linalg.vector_norm(X, dim=1, keepdim=True)
    return X.div_(torch.where(norms > smallest, norms, torch.inf))


def double_chunks(*matrices: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The same few thousand rows of each matrix in float64, one group after the other."""
    for chunks in zip(*(matrix.split(ROWS_AT_A_TIME) for matrix in matrices), strict=True):
        yield tuple(chunk.double() for chunk in chunks)


def _from_numpy(array: np.ndarray) -> Tensor:
    if array.dtype.kind not in "fiub":
        raise ValueError(f"expected numbers, not an array of type {array.dtype}")
    if array.dtype not in (np.float16, np.float32, np.float64) or any(step < 0 for step in array.strides):
        array = np.ascontiguousarray(array, dtype=np.float32 if array.dtype == np.float32 else np.float64)
    with warnings.catch_warnings():
        # memory-mapped and read-only arrays are welcome: nothing here writes into its input
        warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
        return torch.from_numpy(array)
