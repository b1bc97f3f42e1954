"""Batches of items of similar length, so that little of them is padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MOST_PADDING = 0.1
"""Share of a batch's positions that may be padding."""

FEW = 256
"""Positions below which a batch may have more padding: a smaller one would save nothing."""


def length_batches(
    lengths: Sequence[int] | NDArray[np.integer], positions: int | None = None, items: int | None = None
) -> list[NDArray[np.intp]]:
    """Put items into batches in the order of their lengths.

    Parameters
    ----------
    lengths : (n,) int
    positions : int, optional
        Most of a batch, with its padding; an item that is longer has a batch to itself.
    items : int, optional
        Most of a batch.

    Returns
    -------
    list of (batch,) int
        Indices of the items. At most `MOST_PADDING` of a batch is padding, if it has more than `FEW` positions.
    """
    sizes = np.asarray(lengths)
    order = np.argsort(sizes, kind="stable")
    batches, start, real = [], 0, 0
    for end, length in enumerate(sizes[order].tolist()):
        count = end - start + 1
        wide = count * length
        padded = wide > FEW and wide - real - length > MOST_PADDING * wide
        full = (positions is not None and wide > positions) or (items is not None and count > items)
        if end > start and (padded or full):
            batches.append(order[start:end])
            start, real = end, 0
        real += length
    return [*batches, order[start:]] if len(order) else []
