"""Similarity scores of two sets of vectors, and precision@1. For large sets see `neighbors.nearest_neighbors`."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from torch import Tensor

from fairseq_xling.analysis.arrays import Array, as_kind_of, as_pair, unit_rows


def cosine_scores(X: Array, Y: Array) -> Array:
    """Cosine of every row of `X` (n, d) with every row of `Y` (m, d); 0 where a row is zero.

    Returns
    -------
    array or tensor (n, m)
        Of the kind and floating type of `X`; computed in float64.
    """
    return as_kind_of(_cosine(X, Y), X)  # type: ignore[return-value]


def csls(X: Array, Y: Array, k: int = 10) -> Array:
    """Cross-domain similarity local scaling (Conneau et al. 2018, "Word Translation Without Parallel Data").

    ``2 cos(x, y) - r(x) - r(y)``, where r(x) is the mean cosine of x with its `k` nearest rows of `Y`, and r(y)
    that of y with its `k` nearest rows of `X`: hubs, near to everything, are made less attractive.

    Parameters
    ----------
    X, Y : array or tensor (n, d), (m, d)
    k : int
        Neighbours; all there are where a side has fewer.

    Returns
    -------
    array or tensor (n, m)
        Of the kind and floating type of `X`; computed in float64.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    scores = _cosine(X, Y)
    near_x = scores.topk(min(k, scores.shape[1]), dim=1).values.mean(dim=1, keepdim=True)
    near_y = scores.topk(min(k, scores.shape[0]), dim=0).values.mean(dim=0, keepdim=True)
    return as_kind_of(2 * scores - near_x - near_y, X)  # type: ignore[return-value]


def precision_at_1(
    found: np.ndarray | Tensor | Sequence[int], gold: Sequence[int | Collection[int]] | None = None
) -> float:
    """Share of queries whose best answer is right, between 0 and 1.

    Parameters
    ----------
    found : integers (n,) or (n, answers)
        Answers of each query, best first, as `nearest_neighbors` gives them; only the first counts.
    gold : None, n integers, or n collections of integers
        None: query i belongs to answer i (sentence retrieval). Otherwise what is right for each query: one answer,
        or several of which any counts (a dictionary with several translations of a word).
    """
    answers = found.cpu().numpy() if isinstance(found, Tensor) else np.asarray(found)
    if answers.ndim == 2:
        answers = answers[:, 0]
    if answers.ndim != 1 or len(answers) == 0:
        raise ValueError(f"expected the answers of at least one query, not an array of shape {answers.shape}")
    if answers.dtype.kind not in "iu":
        raise ValueError(f"expected numbers of answers, not {answers.dtype}: of scores, scores.argmax(1)")
    if gold is None:
        return float((answers == np.arange(len(answers))).mean())
    if len(gold) != len(answers):
        raise ValueError(f"{len(answers)} queries but {len(gold)} gold answers")
    right = [
        int(answer) == allowed if isinstance(allowed, int | np.integer) else int(answer) in allowed
        for answer, allowed in zip(answers, gold, strict=True)
    ]
    return sum(right) / len(right)


def _cosine(X: np.ndarray | Tensor, Y: np.ndarray | Tensor) -> Tensor:
    first, second = as_pair(X, Y, same="columns")
    return unit_rows(first.double().clone()) @ unit_rows(second.double().clone()).T
