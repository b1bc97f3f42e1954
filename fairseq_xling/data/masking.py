"""BERT's masking, a whole batch at a time, from a seed.

The paper (section 2) and XLM (`xlm/trainer.py`, `mask_out`): every token but the first of a block is
chosen with probability 0.15; of the chosen 80 % become the mask symbol, 10 % a random word, 10 % stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class MaskingRule:
    """Probabilities of masking.

    Parameters
    ----------
    chosen : float
        Probability that a token is predicted.
    masked, random : float
        Of the predicted tokens, the share that becomes the mask symbol, and the share that becomes a random word;
        the rest stays.
    """

    chosen: float = 0.15
    masked: float = 0.8
    random: float = 0.1


ALWAYS_MASKED = MaskingRule(masked=1.0, random=0.0)
"""Validation: XLM replaces every predicted token by the mask symbol."""


def mask_batch(
    tokens: NDArray[np.int64],
    rule: MaskingRule,
    seed: Sequence[int],
    mask_index: int,
    pad_index: int,
    random_words: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Choose and replace tokens of one batch.

    Parameters
    ----------
    tokens : (batch, length) int64
        Token ids; left unchanged.
    rule : MaskingRule
    seed : sequence of int
        The draw depends on these numbers alone: (seed, epoch, batch).
    mask_index, pad_index : int
    random_words : (n,) int64
        Ids among which random words are drawn uniformly.

    Returns
    -------
    inputs : (batch, length) int64
        Tokens with the chosen ones replaced.
    positions : (chosen,) int64
        Where the chosen tokens stand in the flattened batch, ascending.
    targets : (chosen,) int64
        The original tokens there.
    """
    generator = np.random.default_rng(seed)
    chosen = generator.random(tokens.shape, dtype=np.float32) < rule.chosen
    chosen[:, 0] = False  # the first token of a block has no left context and, in a sentence, is the boundary
    chosen &= tokens != pad_index
    positions = np.flatnonzero(chosen)
    inputs = tokens.copy().reshape(-1)
    targets = inputs[positions]
    action = generator.random(len(positions), dtype=np.float32)
    words = random_words[generator.integers(len(random_words), size=len(positions))]
    replaced = np.where(action < rule.masked, mask_index, np.where(action < rule.masked + rule.random, words, targets))
    inputs[positions] = replaced
    return inputs.reshape(tokens.shape), positions, targets


def mask_rows(
    tokens: NDArray[np.int64],
    rule: MaskingRule,
    seeds: Sequence[Sequence[int]],
    mask_index: int,
    pad_index: int,
    random_words: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """As `mask_batch`, with a seed of its own for each row.

    Which tokens of a row are chosen then depends on its seed alone, and not on how far the batch pads it. What they
    become depends on the seed alone only if the rule turns all of them into the mask symbol (`ALWAYS_MASKED`).
    """
    rows = [
        mask_batch(row[None], rule, seed, mask_index, pad_index, random_words)
        for row, seed in zip(tokens, seeds, strict=True)
    ]
    places = [number * tokens.shape[1] + positions for number, (_, positions, _) in enumerate(rows)]
    return np.concatenate([row[0] for row in rows]), np.concatenate(places), np.concatenate([row[2] for row in rows])
