"""Sentence retrieval: the nearest sentence of the other language, layer by layer (paper, section 5.3, Figure 6)."""

from __future__ import annotations

import numpy as np

from fairseq_xling.analysis import IterativeNormalizer, nearest_neighbors, precision_at_1, procrustes


def retrieval(x: np.ndarray, y: np.ndarray, centred: bool = False) -> tuple[float, float]:
    """Precision@1 by cosine from x to y and from y to x, between 0 and 1.

    Parameters
    ----------
    x, y : (n, dim)
        Row i of one belongs to row i of the other.
    centred : bool
        Subtract the mean of its language from each vector first. Untouched, vectors of one language share a large
        component, which differs between languages.
    """
    _expect_pairs(x, y)
    if centred:
        x, y = x - x.mean(0), y - y.mean(0)
    there = nearest_neighbors(x, y, method="cosine").indices
    back = nearest_neighbors(y, x, method="cosine").indices
    return precision_at_1(there), precision_at_1(back)


def retrieval_by_layer(
    features_x: np.ndarray, features_y: np.ndarray, *, centred: bool = True
) -> list[tuple[float, float]]:
    """`retrieval` in every layer of one model, or of models in one space.

    Parameters
    ----------
    features_x, features_y : (layers, n, dim)
        Sentence features of both languages; row i of one translates row i of the other.
    centred : bool
        Subtract the mean of each language, layer by layer (default).

    Returns
    -------
    list of (x to y, y to x)
        Precision@1 between 0 and 1; chance is 1 / n.
    """
    return [retrieval(x, y, centred) for x, y in zip(features_x, features_y, strict=True)]


def aligned_retrieval_by_layer(
    features_x: np.ndarray, features_y: np.ndarray, training_x: np.ndarray, training_y: np.ndarray
) -> list[tuple[float, float]]:
    """Retrieval between models that were trained apart, mapped by one orthogonal map a layer (paper, Figure 6).

    Means of iterative normalisation and the map come from the training sentences alone.

    Parameters
    ----------
    features_x, features_y : (layers, n, dim)
        Test sentences, aligned by row.
    training_x, training_y : (layers, m, dim)
        Parallel sentences for supervision, aligned by row.

    Returns
    -------
    list of (x to y, y to x)
        Precision@1 between 0 and 1; chance is 1 / n.
    """
    return [
        retrieval(*mapped(x, y, train_x, train_y))
        for x, y, train_x, train_y in zip(features_x, features_y, training_x, training_y, strict=True)
    ]


def mapped(
    x: np.ndarray, y: np.ndarray, training_x: np.ndarray, training_y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`x` (n, dim) in the space of `y` (m, dim), and `y` normalised, as learnt from paired training rows (k, dim)."""
    _expect_pairs(training_x, training_y)
    normal_x, normal_y = IterativeNormalizer.fit(training_x), IterativeNormalizer.fit(training_y)
    rotation = procrustes(normal_x.transform(training_x), normal_y.transform(training_y))
    return normal_x.transform(x) @ rotation, normal_y.transform(y)


def _expect_pairs(x: np.ndarray, y: np.ndarray) -> None:
    if len(x) != len(y):
        raise ValueError(f"expected as many sentences on both sides, not {len(x)} and {len(y)}")
