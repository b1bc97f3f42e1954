"""The k largest scores of each row (or column) of a matrix that is seen one tile at a time."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# Where more than this share of a tile must be looked at more closely, sorting the whole tile is faster.
_DENSE = 1 / 6
# Lengths of the pieces of rows and of columns whose largest score is looked at first: what runs fast on a CPU.
_PIECES = (64, 16)


class RunningTopK:
    """The best `k` partners of each of `n` keys so far.

    Parameters
    ----------
    n, k : int
    device : torch.device

    Attributes
    ----------
    values : tensor (n, k)
        Scores, largest first; ``-inf`` where fewer than `k` partners were seen.
    indices : tensor (n, k)
        Their partners; -1 where there is none. Which of several equal scores is kept is left open.
    """

    def __init__(self, n: int, k: int, device: torch.device):
        self.values = torch.full((n, k), -torch.inf, device=device)
        self.indices = torch.full((n, k), -1, dtype=torch.int64, device=device)

    def update(self, scores: Tensor, first_key: int, first_partner: int, keys: int = 0) -> None:
        """Take in a tile.

        Parameters
        ----------
        scores : tensor (rows, columns)
            A contiguous tile of the score matrix.
        first_key, first_partner : int
            Where the tile lies.
        keys : {0, 1}
            Whether rows (0) or columns (1) are the keys.
        """
        held = slice(first_key, first_key + scores.shape[keys])
        better = _positions_above(scores, self.values[held, -1], keys)
        if better is None:
            values, partners = (scores.T.contiguous() if keys else scores).topk(
                min(self.values.shape[1], scores.shape[1 - keys]), dim=1
            )
            self.merge(held, values, partners + first_partner)
        elif len(better):
            row, column = _divide(better, scores.shape[1])
            key, partner = (column, row) if keys else (row, column)
            self.add(key + first_key, partner + first_partner, scores.view(-1)[better])

    def add(self, keys: Tensor, partners: Tensor, values: Tensor) -> None:
        """Take in single scores: three vectors of one length; no pair twice, nor one that was seen before."""
        if not len(keys):
            return
        order = values.argsort(descending=True)
        order = order[keys[order].argsort(stable=True)]
        touched, counts = torch.unique_consecutive(keys[order], return_counts=True)
        group = torch.arange(len(touched), device=keys.device).repeat_interleave(counts)
        rank = torch.arange(len(keys), device=keys.device) - (counts.cumsum(0) - counts)[group]
        # one key may have very many: no more of them than can count, or the table below grows without bound
        kept = rank < self.values.shape[1]
        order, group, rank = order[kept], group[kept], rank[kept]
        new_values = self.values.new_full((len(touched), int(rank.max()) + 1), -torch.inf)
        new_partners = self.indices.new_full(new_values.shape, -1)
        new_values[group, rank] = values[order]
        new_partners[group, rank] = partners[order]
        self.merge(touched, new_values, new_partners)

    def merge(self, keys: Tensor | slice, values: Tensor, partners: Tensor) -> None:
        """Take in the scores `values` (keys, any number) with their partners, for different keys; -inf is nothing."""
        all_values = torch.cat([self.values[keys], values], dim=1)
        all_partners = torch.cat([self.indices[keys], partners], dim=1)
        best, where = all_values.topk(self.values.shape[1], dim=1)
        self.values[keys], self.indices[keys] = best, all_partners.gather(1, where)


def _positions_above(scores: Tensor, least: Tensor, keys: int) -> Tensor | None:
    """Flat positions of the scores above the `least` of their row (`keys` 0) or column (1); None if they are many.

    Nearly all scores are below, so that the largest of each short piece is compared first: this reads the tile
    several times as fast as comparing every score.
    """
    rows, columns = scores.shape
    piece = _PIECES[keys]
    if scores.shape[1 - keys] % piece:
        positions = _true_positions(scores > (least[None, :] if keys else least[:, None]))
        return None if len(positions) > _DENSE * scores.numel() else positions
    if keys:
        pieces = scores.view(rows // piece, piece, columns)
        hits = _true_positions(pieces.amax(dim=1) > least[None, :])
    else:
        pieces = scores.view(rows, columns // piece, piece)
        hits = _true_positions(pieces.amax(dim=2) > least[:, None])
    if len(hits) * piece > _DENSE * scores.numel():
        return None
    if keys:
        block, column = _divide(hits, columns)
        inside = _true_positions(pieces[block, :, column] > least[column, None])
        hit, offset = _divide(inside, piece)
        positions = (block[hit] * piece + offset) * columns + column[hit]
    else:
        row = _divide(hits, columns // piece)[0]
        inside = _true_positions(pieces.view(-1, piece)[hits] > least[row, None])
        hit, offset = _divide(inside, piece)
        positions = hits[hit] * piece + offset
    return positions


def _true_positions(mask: Tensor) -> Tensor:
    """Flat positions of the true entries of `mask`; NumPy is several times as fast at it as torch is on a CPU."""
    if mask.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.view(-1).nonzero()[:, 0]


def _divide(numbers: Tensor, divisor: int) -> tuple[Tensor, Tensor]:
    quotient = numbers.div(divisor, rounding_mode="floor")
    return quotient, numbers - quotient * divisor
