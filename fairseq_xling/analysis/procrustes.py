"""Orthogonal Procrustes: the rotation that aligns two sets of paired vectors."""

from __future__ import annotations

import torch

from fairseq_xling.analysis.arrays import Array, as_kind_of, as_pair, double_chunks


def procrustes(X: Array, Y: Array) -> Array:
    """The orthogonal `W` that minimises the Frobenius norm of ``X @ W - Y`` (Schönemann 1966).

    The paper writes samples as columns, W* = U V^T with U S V^T = SVD(Y X^T); with samples as rows this is its
    transpose, W = U V^T with U S V^T = SVD(X^T Y).

    Parameters
    ----------
    X, Y : array or tensor (n, d)
        Row i of `X` belongs to row i of `Y`.

    Returns
    -------
    array or tensor (d, d)
        Of the kind and floating type of `X`; computed in float64. Always orthogonal; where X^T Y has not full rank
        (fewer samples than dimensions, constant columns) it is one of several that are equally good.
    """
    first, second = as_pair(X, Y, same="both")
    covariance = torch.zeros(first.shape[1], first.shape[1], dtype=torch.float64, device=first.device)
    for some_x, some_y in double_chunks(first, second):
        covariance.addmm_(some_x.T, some_y)
    U, _, Vh = torch.linalg.svd(covariance)
    return as_kind_of(U @ Vh, X)  # type: ignore[return-value]
