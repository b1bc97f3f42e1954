"""Iterative normalisation of Zhang et al. (2019), "Are Girls Neko or Shojo?", ACL."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fairseq_xling.analysis.arrays import Array, as_kind_of, as_matrix, unit_rows

# After the first round rows have been of unit length, so what is shorter than this is rounding error, not direction.
_ROUNDING = 1e-12


def iterative_normalize(X: Array, rounds: int = 5) -> Array:
    """Scale rows to unit length, then subtract the mean row; repeated.

    Parameters
    ----------
    X : array or tensor (n, d)
        Rows are samples. A zero row has no direction and stays zero in the length step.
    rounds : int
        How often both steps are done; Zhang et al. use 5.

    Returns
    -------
    array or tensor (n, d)
        Of the kind and floating type of `X`; computed in float64. The mean row is zero, lengths are close to 1.
    """
    return as_kind_of(_normalize(X, rounds)[0], X)  # type: ignore[return-value]


@dataclass(frozen=True)
class IterativeNormalizer:
    """Iterative normalisation whose means are kept, so that unseen vectors can be mapped in the same way.

    Attributes
    ----------
    means : tensor (rounds, d)
        The float64 mean row that each round subtracts.
    """

    means: Tensor

    @classmethod
    def fit(cls, X: np.ndarray | Tensor, rounds: int = 5) -> IterativeNormalizer:
        """Learn the means from `X` (n, d); ``fit(X).transform(X)`` is ``iterative_normalize(X)``."""
        return cls(_normalize(X, rounds)[1])

    def transform(self, Y: Array) -> Array:
        """Map the rows of `Y` (m, d): unit length, minus the mean of that round of fitting; repeated."""
        result = as_matrix(Y, "Y").to(torch.float64, copy=True)
        if result.shape[1] != self.means.shape[1]:
            raise ValueError(f"Y must have {self.means.shape[1]} columns, not {result.shape[1]}")
        for done, mean in enumerate(self.means.to(result.device)):
            unit_rows(result, _ROUNDING if done else 0.0).sub_(mean)
        return as_kind_of(result, Y)  # type: ignore[return-value]


def _normalize(X: np.ndarray | Tensor, rounds: int) -> tuple[Tensor, Tensor]:
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, not {rounds}")
    result, means = as_matrix(X, "X").to(torch.float64, copy=True), []
    for done in range(rounds):
        means.append(unit_rows(result, _ROUNDING if done else 0.0).mean(dim=0))
        result.sub_(means[-1])
    return result, torch.stack(means)
