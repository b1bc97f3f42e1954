"""Linear centred kernel alignment (Kornblith et al. 2019), in memory that does not grow with the samples.

The debiased form (Song et al. 2012; Nguyen, Raghu & Kornblith 2021) replaces HSIC by its unbiased estimator

    HSIC1(K, L) = [tr(K L) + (1'K1)(1'L1) / ((n-1)(n-2)) - 2/(n-2) 1'K L1] / (n (n-3)),   diagonals set to zero.

For linear kernels K = X X', with squared lengths a of the rows of X and b of those of Y, every term is a sum over
samples: tr(K L) = |X'Y|^2 - a'b;  K1 = X s - a with s the sum of the rows of X;  and so with t the sum of Y's rows
1'K L1 = s'(X'Y)t - s'(X'b) - (Y'a)'t + a'b.  So d x d sums are enough and no n x n matrix is needed; the factor
1 / (n (n-3)) cancels in CKA. Nguyen et al. average this estimator over minibatches; here it is that of all samples
together, whatever the batches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fairseq_xling.analysis.arrays import ROWS_AT_A_TIME, as_pair

# Relative size below which a variance is rounding error.
_ROUNDING = 1e-13


def linear_cka(X: np.ndarray | Tensor, Y: np.ndarray | Tensor, debiased: bool = False) -> float:
    """Linear CKA of two representations of the same samples, with centred columns.

    ``|Y'X|_F^2 / (|X'X|_F |Y'Y|_F)``: 1 if they agree up to rotation and scale. It is biased upwards when there are
    not many more samples than dimensions; `debiased` is for that case.

    Parameters
    ----------
    X, Y : array or tensor (n, d1), (n, d2)
        Row i of both belongs to sample i.
    debiased : bool
        Use the unbiased estimator of HSIC in all three places; needs 4 samples, and may be a little below 0.

    Raises
    ------
    ValueError
        Where it is undefined: all samples equal, fewer than 2 (debiased: 4) of them.
    """
    first, second = as_pair(X, Y, same="rows")
    stream = StreamingCKA(debiased)
    for some_x, some_y in zip(first.split(ROWS_AT_A_TIME), second.split(ROWS_AT_A_TIME), strict=True):
        stream.update(some_x, some_y)
    return stream.value()


class StreamingCKA:
    """Linear CKA from batches of samples: ``update(X, Y)`` for each, then ``value()``.

    Equal to `linear_cka` on all samples at once, in memory of d1 x d1 + d2 x d2 + d1 x d2 float64 numbers.

    Parameters
    ----------
    debiased : bool
        As in `linear_cka`.

    Attributes
    ----------
    n : int
        Samples so far.
    """

    def __init__(self, debiased: bool = False):
        self.debiased, self.n = debiased, 0

    def update(self, X: np.ndarray | Tensor, Y: np.ndarray | Tensor) -> None:
        """Add the samples of one batch, X (b, d1) and Y (b, d2)."""
        first, second = (matrix.double() for matrix in as_pair(X, Y, same="rows"))
        if self.n == 0:
            # Any shift leaves the result as it is; one near the mean keeps the sums small and so exact.
            self._shift_x, self._shift_y = first.mean(dim=0), second.mean(dim=0)
            self._x, self._y = _Sums.zeros(first), _Sums.zeros(second)
            self._xx, self._yy = _Products.zeros(first, first), _Products.zeros(second, second)
            self._xy = _Products.zeros(first, second)
        elif first.shape[1] != len(self._shift_x) or second.shape[1] != len(self._shift_y):
            raise ValueError(
                f"batches of {len(self._shift_x)} and {len(self._shift_y)} columns were added before, "
                f"this one has {first.shape[1]} and {second.shape[1]}"
            )
        largest_x, largest_y = float(first.abs().max()), float(second.abs().max())
        first, second = first - self._shift_x, second - self._shift_y
        a, b = first.square().sum(dim=1), second.square().sum(dim=1)
        self._x.add(first, a, largest_x)
        self._y.add(second, b, largest_y)
        self._xx.add(first, a, first, a)
        self._yy.add(second, b, second, b)
        self._xy.add(first, a, second, b)
        self.n += first.shape[0]

    def value(self) -> float:
        """CKA of all samples so far; ValueError where it is undefined, as in `linear_cka`."""
        least = 4 if self.debiased else 2
        if self.n < least:
            raise ValueError(f"{'debiased ' * self.debiased}CKA needs at least {least} samples, not {self.n}")
        for sums, name in ((self._x, "X"), (self._y, "Y")):
            if sums.is_constant(self.n):
                raise ValueError(f"CKA is undefined: all samples of {name} are equal")
        hsic = self._unbiased if self.debiased else self._biased
        xx, yy = hsic(self._xx, self._x, self._x), hsic(self._yy, self._y, self._y)
        if self.debiased and min(xx, yy) <= 0:
            raise ValueError("debiased CKA is undefined: no similarity structure is left after centring")
        return hsic(self._xy, self._x, self._y) / math.sqrt(xx * yy)

    def _biased(self, products: _Products, x: _Sums, y: _Sums) -> float:
        return float((products.cross - torch.outer(x.rows, y.rows) / self.n).square().sum())

    def _unbiased(self, products: _Products, x: _Sums, y: _Sums) -> float:
        n = self.n
        trace = products.cross.square().sum() - products.squares
        whole = (x.rows.square().sum() - x.squares) * (y.rows.square().sum() - y.squares)
        middle = x.rows @ products.cross @ y.rows - x.rows @ products.x_by_b - products.y_by_a @ y.rows
        middle = middle + products.squares
        value = float(trace + whole / ((n - 1) * (n - 2)) - 2 * middle / (n - 2))
        return 0.0 if abs(value) <= _ROUNDING * n * float(products.squares) else value


@dataclass
class _Sums:
    """Sums over the samples of one matrix: its rows (d), their squared lengths; and its largest number."""

    rows: Tensor
    squares: Tensor
    largest: float = 0.0

    @classmethod
    def zeros(cls, X: Tensor) -> _Sums:
        return cls(X.new_zeros(X.shape[1]), X.new_zeros(()))

    def add(self, X: Tensor, squared_lengths: Tensor, largest: float) -> None:
        self.rows += X.sum(dim=0)
        self.squares += squared_lengths.sum()
        self.largest = max(self.largest, largest)

    def is_constant(self, n: int) -> bool:
        variance = float(self.squares - self.rows.square().sum() / n)
        return variance <= n * len(self.rows) * (_ROUNDING * self.largest) ** 2


@dataclass
class _Products:
    """Sums over the samples of two matrices: X'Y (d1, d2), X'b (d1), Y'a (d2) and a'b."""

    cross: Tensor
    x_by_b: Tensor
    y_by_a: Tensor
    squares: Tensor

    @classmethod
    def zeros(cls, X: Tensor, Y: Tensor) -> _Products:
        d1, d2 = X.shape[1], Y.shape[1]
        return cls(X.new_zeros(d1, d2), X.new_zeros(d1), X.new_zeros(d2), X.new_zeros(()))

    def add(self, X: Tensor, a: Tensor, Y: Tensor, b: Tensor) -> None:
        self.cross.addmm_(X.T, Y)
        self.x_by_b.addmv_(X.T, b)
        self.y_by_a.addmv_(Y.T, a)
        self.squares += a @ b
