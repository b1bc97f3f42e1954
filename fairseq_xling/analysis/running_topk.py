"""The k largest scores of each row (or column) of a matrix that is seen one tile at a time."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# Where more than this share of a tile is better than what is known, sorting the whole tile is faster.
_DENSE = 1 / 32


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
        least = self.values[held, -1]
        better = _true_positions(scores > (least[None, :] if keys else least[:, None]))
        if len(better) > _DENSE * scores.numel():
            values, partners = (scores.T.contiguous() if keys else scores).topk(
                min(self.values.shape[1], scores.shape[1 - keys]), dim=1
            )
            self._merge(held, values, partners + first_partner)
        elif len(better):
            row = better.div(scores.shape[1], rounding_mode="floor")
            column = better - row * scores.shape[1]
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
        kept = rank < self.values.shape[1]
        order, group, rank = order[kept], group[kept], rank[kept]
        width = min(int(counts.max()), self.values.shape[1])
        new_values = self.values.new_full((len(touched), width), -torch.inf)
        new_partners = self.indices.new_full((len(touched), width), -1)
        new_values[group, rank] = values[order]
        new_partners[group, rank] = partners[order]
        self._merge(touched, new_values, new_partners)

    def _merge(self, keys: Tensor | slice, values: Tensor, partners: Tensor) -> None:
        all_values = torch.cat([self.values[keys], values], dim=1)
        all_partners = torch.cat([self.indices[keys], partners], dim=1)
        best, where = all_values.topk(self.values.shape[1], dim=1)
        self.values[keys], self.indices[keys] = best, all_partners.gather(1, where)


def _true_positions(mask: Tensor) -> Tensor:
    """Flat positions of the true entries of `mask`; NumPy is several times as fast at it as torch is on a CPU."""
    if mask.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.view(-1).nonzero()[:, 0]
