"""Similarity of representations, layer by layer, by linear CKA (paper, section 5.4, Figure 7)."""

from __future__ import annotations

import numpy as np

from fairseq_xling.analysis import linear_cka


def cka_by_layer(features_x: np.ndarray, features_y: np.ndarray, *, debiased: bool = False) -> list[float]:
    """Linear CKA with centred columns between the same layers of two encoders, or of two languages in one.

    Parameters
    ----------
    features_x, features_y : (layers, n, dim)
        Row i of one belongs to row i of the other.
    debiased : bool
        Use the unbiased estimator: for fewer than some ten samples a dimension.

    Returns
    -------
    list of float
        One a layer, L0 first.
    """
    return [linear_cka(x, y, debiased) for x, y in zip(features_x, features_y, strict=True)]
