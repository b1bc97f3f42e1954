"""Nearest neighbours by cosine or CSLS in memory that grows with n + m, never n x m.

CSLS needs the k nearest neighbours of both sides before any score is known, so that MUSE computes all similarities
three times. Here one pass is enough for nearly all queries. It keeps, of each row i, the K best columns (the last of
them with cosine t_i) and, of each column j, the k best rows (the last with cosine c_j, their mean r_j). Only these
pairs are candidates: any other pair has a cosine of at most min(t_i, c_j), so that 2 cos - r_j is at most

    bound(t_i),  where  bound(t) = max over j of 2 min(t, c_j) - r_j.

A query whose best candidate reaches its bound is answered, exactly. The few others are compared with those columns
that could still win, which are known: 2 min(t_i, c_j) - r_j must exceed the best candidate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from fairseq_xling.analysis.arrays import as_pair, unit_rows
from fairseq_xling.analysis.running_topk import RunningTopK

_TILE = 2048
# Pairs looked at together; bounds memory.
_PAIRS = 1 << 17


class Neighbors(NamedTuple):
    """The best answers of each query.

    Attributes
    ----------
    indices : integers (queries, n_best)
        Rows of `Y`, best first. Which of equally good ones comes first is left open.
    scores : float32 (queries, n_best)
        Their cosine or CSLS.
    """

    indices: np.ndarray | Tensor
    scores: np.ndarray | Tensor


def nearest_neighbors(
    X: np.ndarray | Tensor,
    Y: np.ndarray | Tensor,
    method: str = "csls",
    k: int = 10,
    n_best: int = 1,
    queries: np.ndarray | Tensor | None = None,
    progress: bool = False,
) -> Neighbors:
    """The rows of `Y` that are nearest to rows of `X`.

    Parameters
    ----------
    X, Y : array or tensor (n, d), (m, d)
        Any lengths; a zero row has cosine 0 with everything. Products are computed in float32, on the device of `X`.
    method : {"csls", "cosine"}
    k : int
        Neighbourhood of CSLS; all there are where a side has fewer.
    n_best : int
        Answers per query, at most m.
    queries : integers (queries,), optional
        Rows of `X` to answer (all by default). With CSLS all of `X` still counts as neighbourhood of `Y`, as in
        MUSE's evaluation on a dictionary.
    progress : bool
        Show a bar with the remaining time.

    Returns
    -------
    Neighbors
        Arrays or tensors, as `X` is. Memory besides the input: about 12 (k + n_best) (n + m) bytes for the best
        pairs, and some 0.1 GB.
    """
    source, target = as_pair(X, Y, same="columns")
    if method not in ("csls", "cosine"):
        raise ValueError(f"method must be csls or cosine, not {method!r}")
    if k < 1 or not 1 <= n_best <= len(target):
        raise ValueError(f"k must be at least 1 and n_best between 1 and {len(target)}, not {k} and {n_best}")
    chosen = None if queries is None else _row_numbers(queries, source)
    search = _Search(source, target, progress)
    if method == "cosine":
        best = search.by_cosine(chosen, n_best)
    elif chosen is None:
        best = search.by_csls(k, n_best)
    else:
        best = search.some_by_csls(chosen, k, n_best)
    if isinstance(X, Tensor):
        return Neighbors(best.indices, best.values)
    return Neighbors(best.indices.cpu().numpy(), best.values.cpu().numpy())


def _row_numbers(queries: np.ndarray | Tensor, source: Tensor) -> Tensor:
    """`queries` as int64 on the device of `source`, checked."""
    numbers = torch.as_tensor(queries if isinstance(queries, Tensor) else np.asarray(queries), device=source.device)
    whole = numbers.dtype != torch.bool and not numbers.is_floating_point() and not numbers.is_complex()
    if numbers.dim() == 1 and len(numbers) and whole:
        numbers = numbers.long()
        if int(numbers.min()) >= 0 and int(numbers.max()) < len(source):
            return numbers
    raise ValueError(f"queries must be row numbers of X, from 0 to {len(source) - 1} (of a mask: numpy.flatnonzero)")


class _Search:
    """Rows of `source` (n, d) against rows of `target` (m, d), tile by tile."""

    def __init__(self, source: Tensor, target: Tensor, progress: bool):
        self.source, self.target, self.progress = source, target, progress
        self.n, self.m, self.device = len(source), len(target), target.device
        norms = [torch.linalg.vector_norm(rows.double(), dim=1) for rows in target.split(_TILE)]
        self.inverse = torch.cat([torch.where(norm > 0, 1 / norm, 0) for norm in norms])
        # float32 is enough for rows of float32, unless they are so short or long that the factor leaves its range
        usual = (self.inverse == 0) | ((self.inverse > 1e-30) & (self.inverse < 1e30))
        self.exact = target.dtype != torch.float32 or not bool(usual.all())
        if not self.exact:
            self.inverse = self.inverse.float()

    def by_cosine(self, queries: Tensor | None, n_best: int) -> RunningTopK:
        best = RunningTopK(self.n if queries is None else len(queries), n_best, self.device)
        for first_row, first_column, scores in self._tiles(queries):
            best.update(scores, first_row, first_column)
        return best

    def by_csls(self, k: int, n_best: int) -> RunningTopK:
        near_x = RunningTopK(self.n, min(max(k, n_best), self.m), self.device)
        near_y = RunningTopK(self.m, min(k, self.n), self.device)
        for first_row, first_column, scores in self._tiles():
            near_x.update(scores, first_row, first_column)
            near_y.update(scores, first_column, first_row, keys=1)
        radius_y = near_y.values.mean(dim=1)
        best = _best_candidates(near_x, near_y, radius_y, n_best)
        self._settle(best, near_x.values[:, -1], near_y.values[:, -1], radius_y)
        best.values -= near_x.values[:, : min(k, self.m)].mean(dim=1, keepdim=True)
        return best

    def some_by_csls(self, queries: Tensor, k: int, n_best: int) -> RunningTopK:
        near_y = RunningTopK(self.m, min(k, self.n), self.device)
        for first_row, first_column, scores in self._tiles():
            near_y.update(scores, first_column, first_row, keys=1)
        radius_y = near_y.values.mean(dim=1)
        near_x = RunningTopK(len(queries), min(k, self.m), self.device)
        best = RunningTopK(len(queries), n_best, self.device)
        for first_row, first_column, scores in self._tiles(queries):
            near_x.update(scores, first_row, first_column)
            scores.mul_(2).sub_(radius_y[first_column : first_column + scores.shape[1]])
            best.update(scores, first_row, first_column)
        best.values -= near_x.values.mean(dim=1, keepdim=True)
        return best

    def _tiles(
        self, queries: Tensor | None = None, columns: Tensor | None = None, quiet: bool = False
    ) -> Iterator[tuple[int, int, Tensor]]:
        """Cosines of rows of `source` with rows of `target` (all by default), as (first row, first column, tile).

        The tile's memory is used again for the next one.
        """
        rows, others = (self.n if queries is None else len(queries)), (self.m if columns is None else len(columns))
        buffer = torch.empty(_TILE * _TILE, device=self.device)
        for first_row in self._bar(range(0, rows, _TILE), quiet):
            here = slice(first_row, min(first_row + _TILE, rows))
            some = unit_rows(self.source[here if queries is None else queries[here]].double().clone()).float()
            for first_column in range(0, others, _TILE):
                there = slice(first_column, min(first_column + _TILE, others))
                other = self._unit_target(there if columns is None else columns[there])
                tile = buffer[: len(some) * len(other)].view(len(some), len(other))
                yield first_row, first_column, torch.mm(some, other.T, out=tile)

    def _unit_target(self, rows: slice | Tensor) -> Tensor:
        """Rows of `target` at length 1, float32: made anew for each tile, which takes a hundredth of its product."""
        other = self.target[rows].double() if self.exact else self.target[rows]
        return (other * self.inverse[rows, None]).float()

    def _bar(self, blocks: range, quiet: bool = False) -> Iterable[int]:
        return tqdm(blocks, desc="neighbours", unit="block", disable=quiet or not self.progress, leave=False)

    def _settle(self, best: RunningTopK, last_x: Tensor, last_y: Tensor, radius_y: Tensor) -> None:
        """Compare queries whose candidates may be beaten with the columns that could beat them."""
        worst = best.values[:, -1]
        (open_,) = torch.nonzero(worst < _bound(last_x, last_y, radius_y), as_tuple=True)
        if not len(open_):
            return
        # 2 t_i - r_j must exceed the candidate: with queries and columns in order of this, blocks need few columns
        limit = 2 * last_x[open_] - worst[open_]
        order = limit.argsort()
        open_, limit = open_[order], limit[order]
        radius, columns = radius_y.sort()
        for start in self._bar(range(0, len(open_), _TILE)):
            queries = open_[start : start + _TILE]
            highest = limit[min(start + _TILE, len(open_)) - 1]
            lowest = worst[queries].min()
            possible = columns[: int(torch.searchsorted(radius, highest))]
            possible = possible[2 * last_y[possible] - radius_y[possible] > lowest]
            if len(possible):
                self._compare(best, queries, possible, radius_y[possible])

    def _compare(self, best: RunningTopK, queries: Tensor, columns: Tensor, radius: Tensor) -> None:
        found = RunningTopK(len(queries), best.values.shape[1], self.device)
        for start in range(0, len(columns), _TILE):
            some = columns[start : start + _TILE]
            for first_row, _, scores in self._tiles(queries, some, quiet=True):
                scores.mul_(2).sub_(radius[start : start + len(some)])
                found.update(scores, first_row, start)
        partners = torch.where(found.indices >= 0, columns[found.indices.clamp_min(0)], -1)
        known = (partners[:, :, None] == best.indices[queries][:, None, :]).any(dim=2)
        best.merge(queries, found.values.masked_fill(known, -torch.inf), partners)


def _best_candidates(near_x: RunningTopK, near_y: RunningTopK, radius_y: Tensor, n_best: int) -> RunningTopK:
    """The best by 2 cos - r_j of the pairs that one of the sides has among its nearest."""
    best = RunningTopK(len(near_x.values), n_best, near_x.values.device)
    values, order = (2 * near_x.values - radius_y[near_x.indices]).topk(n_best, dim=1)
    best.merge(slice(None), values, near_x.indices.gather(1, order))
    column = torch.arange(len(radius_y), device=radius_y.device)[:, None].expand_as(near_y.indices).reshape(-1)
    rows = near_y.indices
    (missing,) = torch.nonzero((near_y.values <= near_x.values[rows, -1]).view(-1), as_tuple=True)
    for some in missing.split(_PAIRS):
        row, partner, cosine = rows.view(-1)[some], column[some], near_y.values.view(-1)[some]
        # equal cosines: the row may hold the pair after all
        new = (near_x.indices[row] != partner[:, None]).all(dim=1)
        best.add(row[new], partner[new], (2 * cosine - radius_y[partner])[new])
    return best


def _bound(last_x: Tensor, last_y: Tensor, radius_y: Tensor) -> Tensor:
    """max over j of 2 min(t_i, c_j) - r_j for each i; see the head of this file."""
    c, order = last_y.contiguous().sort()
    r = radius_y[order]
    infinity = r.new_full((1,), torch.inf)
    below = torch.cat([-infinity, (2 * c - r).cummax(dim=0).values])  # columns with c_j <= t
    above = torch.cat([r.flip(0).cummin(dim=0).values.flip(0), infinity])  # least r_j of the columns with c_j > t
    split = torch.searchsorted(c, last_x.contiguous(), right=True)
    return torch.maximum(below[split], 2 * last_x - above[split])
