"""Maximum spanning trees with exactly one root, non-projective: the decoder of a graph-based parser.

Chu-Liu-Edmonds in the path-growing form of Tarjan (1977), O(n^2) on a dense graph. Exactly one root comes from the
order in which Gabow & Tarjan (1984) consider arcs: one from the artificial root is taken only where a (contracted)
word has no other arc left, as if every root arc had an infinite penalty. This is exact, needs no arithmetic with
penalties and no run per root candidate (see Stanojevic & Cohen 2021, "A Root of a Problem").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

Scores = TypeVar("Scores", np.ndarray, Tensor)


def maximum_spanning_tree(scores: Scores) -> Scores:
    """The heads of the dependency tree with the largest sum of scores among those with exactly one root word.

    Parameters
    ----------
    scores : array or tensor (n + 1, n + 1)
        ``scores[d, h]`` is the score of word h as head of word d; index 0 is the artificial root. Row 0 and the
        diagonal are not read. ``-inf`` forbids an arc.

    Returns
    -------
    int64 array or tensor (n,)
        The head of words 1 ... n: a word's number, or 0 for the root word. Which of equally good trees is left open.

    Raises
    ------
    ValueError
        If the shape is not as above, a score is NaN or +inf, or the arcs that are not forbidden hold no such tree.
    """
    heads = _heads(_as_numpy(scores))
    if isinstance(scores, Tensor):
        return torch.from_numpy(heads).to(scores.device)
    return heads


def maximum_spanning_trees(
    scores: Scores | Sequence[Scores], lengths: Sequence[int] | None = None
) -> list[Scores] | Scores:
    """`maximum_spanning_tree` of several sentences.

    Parameters
    ----------
    scores : sequence of (n_i + 1, n_i + 1), or array or tensor (batch, n + 1, n + 1)
    lengths : sequence of int, optional
        Only for a padded batch: the number of words of each sentence, without the artificial root.

    Returns
    -------
    list of int64 arrays or tensors (n_i,), or one (batch, n) with -1 where there is no word
    """
    if not isinstance(scores, np.ndarray | Tensor):
        if lengths is not None:
            raise ValueError("lengths are for a padded batch; a sequence of matrices has its own")
        return [maximum_spanning_tree(each) for each in scores]
    batch = _as_numpy(scores)
    if batch.ndim != 3 or batch.shape[1] != batch.shape[2]:
        raise ValueError(f"expected a batch of square matrices, not an array of shape {batch.shape}")
    words = batch.shape[1] - 1
    sizes = [words] * len(batch) if lengths is None else [int(length) for length in lengths]
    if len(sizes) != len(batch) or any(not 1 <= size <= words for size in sizes):
        raise ValueError(f"expected {len(batch)} lengths between 1 and {words}, not {sizes}")
    heads = np.full((len(batch), words), -1, dtype=np.int64)
    for row, matrix, size in zip(heads, batch, sizes, strict=True):
        row[:size] = _heads(matrix[: size + 1, : size + 1])
    return torch.from_numpy(heads).to(scores.device) if isinstance(scores, Tensor) else heads


def is_tree(heads: Sequence[int]) -> bool:
    """Whether `heads` (of words 1 ... n, 0 for the root word) are a tree with exactly one root word."""
    heads = [int(head) for head in heads]
    if heads.count(0) != 1 or not all(0 <= head <= len(heads) for head in heads):
        return False
    safe = [False] * (len(heads) + 1)
    safe[0] = True
    for word in range(1, len(heads) + 1):
        path = []
        while not safe[word]:
            path.append(word)
            if len(path) > len(heads):
                return False
            word = heads[word - 1]
        for each in path:
            safe[each] = True
    return True


def _as_numpy(scores: np.ndarray | Tensor) -> np.ndarray:
    return scores.detach().double().cpu().numpy() if isinstance(scores, Tensor) else np.asarray(scores)


def _heads(matrix: np.ndarray) -> np.ndarray:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        raise ValueError(f"expected scores of shape (n + 1, n + 1) for n >= 1 words, not {matrix.shape}")
    arcs = matrix.astype(np.float64, order="C")
    np.fill_diagonal(arcs, -np.inf)
    arcs[0] = -np.inf
    greedy = arcs.argmax(axis=1)
    # the largest of a row with NaN is NaN, so looking at the largest is enough
    largest = arcs[np.arange(1, len(arcs)), greedy[1:]]
    if not largest.max() < np.inf:
        raise ValueError("a score is NaN or +inf")
    if largest.min() > -np.inf and is_tree(greedy[1:].tolist()):
        return greedy[1:]
    return _chu_liu_edmonds(arcs)


def _chu_liu_edmonds(arcs: np.ndarray) -> np.ndarray:
    """Grow a path of best heads; contract each cycle to one node; at the end take the cycles apart again.

    `arcs` is overwritten. A contracted node keeps the row and column of one of its words. `origin[d, h]` is the arc
    between words, ``dependent * size + head``, that stands behind the arc of two (contracted) nodes.
    """
    size = len(arcs)
    origin = np.arange(size * size).reshape(size, size)
    node_of = list(range(size))  # the (contracted) node that a row stands for; nodes beyond the words are numbered on
    parent: list[int] = [-1] * size  # the contracted node that a node went into
    chosen: list[int] = [-1] * size  # the arc that enters a node
    unseen, on_path, done = 0, 1, 2
    state = [unseen] * size
    state[0] = done
    gain = [0.0] * size  # of a row's best arc
    roots = 0
    for start in range(1, size):
        if state[start] != unseen:
            continue
        path, row = [], start
        while True:
            head = int(arcs[row, 1:].argmax()) + 1
            if arcs[row, head] == -np.inf:
                head, roots = 0, roots + 1
            gain[row], chosen[node_of[row]] = arcs[row, head], int(origin[row, head])
            state[row] = on_path
            path.append(row)
            if state[head] == done:
                break
            if state[head] == unseen:
                row = head
                continue
            cycle = path[path.index(head) :]
            del path[-len(cycle) :]
            row = cycle[0]
            _contract(arcs, origin, cycle, np.array([gain[each] for each in cycle]))
            for each in cycle:
                parent[node_of[each]] = len(parent)
                state[each] = done
            node_of[row], state[row] = len(parent), unseen
            parent.append(-1)
            chosen.append(-1)
        for each in path:
            state[each] = done
        if roots > 1 or gain[path[-1]] == -np.inf:
            raise ValueError("the arcs that are not forbidden hold no tree with exactly one root")
    for node in range(len(parent) - 1, size - 1, -1):
        # the arc into a contracted node replaces the one into the member that it reaches
        member = chosen[node] // size
        while parent[member] != node:
            member = parent[member]
        chosen[member] = chosen[node]
    return np.array(chosen[1:size]) % size


def _contract(arcs: np.ndarray, origin: np.ndarray, cycle: list[int], gain: np.ndarray) -> None:
    """Give the first node of `cycle` the best arcs into and out of all of it, and forbid the arcs of the others."""
    kept, every = cycle[0], np.arange(len(arcs))
    into = arcs[cycle] - gain[:, None]  # entering at a member saves that member's own arc
    best = into.argmax(axis=0)
    arcs[kept], origin[kept] = into[best, every], origin[np.array(cycle)[best], every]
    out_of = arcs[:, cycle]
    best = out_of.argmax(axis=1)
    arcs[:, kept], origin[:, kept] = out_of[every, best], origin[every, np.array(cycle)[best]]
    arcs[kept, cycle] = -np.inf
    arcs[:, cycle[1:]] = -np.inf
