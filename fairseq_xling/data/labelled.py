"""Labelled sentences and pairs as token rows, and batches of them, as fairseq's iterators want them.

Sentences stand as ``</s> w1 ... wn </s>``, pairs as ``</s> p </s> h </s>`` (XLM). Nothing is cut silently: a sentence
that is too long goes into several overlapping rows, and each of its words is read from the row in which it has most
context on both sides; a pair that is too long loses the end of its longer side, and is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fairseq_xling.data.batch_dataset import BatchDataset
from fairseq_xling.data.blocks import pad_blocks
from fairseq_xling.data.length_batches import length_batches
from fairseq_xling.formats.dict_txt import EOS

Array = NDArray[np.int64]

IGNORED = -100
"""Target of what the losses leave out: a word that is not there, or whose label the model does not know."""


class Item(NamedTuple):
    """One sentence or pair, ready for the encoder.

    Attributes
    ----------
    rows : tuple of (length,) int64
        Token rows; one unless the sentence is too long for that.
    words : (words, 2) int64
        Row and column of the first subword of each word; (0, 2) for a pair.
    target : int64
        () for a pair, (words,) or (words, k).
    cut : int
        How many words (or pairs, 0 or 1) lost subwords.
    """

    rows: tuple[Array, ...]
    words: Array
    target: Array
    cut: int


def pair_item(premise: Sequence[int], hypothesis: Sequence[int], target: int, limit: int) -> Item:
    """A pair as one row of at most `limit` tokens; the longer side loses its end where that is not enough."""
    room = limit - 3
    first, second = list(premise), list(hypothesis)
    over = len(first) + len(second) - room
    if over > 0:
        shorter = min(len(first), len(second), room // 2)
        keep = (room - shorter, shorter) if len(first) >= len(second) else (shorter, room - shorter)
        first, second = first[: keep[0]], second[: keep[1]]
    row = np.array([EOS, *first, EOS, *second, EOS], dtype=np.int64)
    return Item((row,), np.zeros((0, 2), np.int64), np.array(target, dtype=np.int64), int(over > 0))


def sentence_item(ids: Sequence[int], starts: Sequence[int], target: Array, limit: int) -> Item:
    """A sentence as rows of at most `limit` tokens.

    Parameters
    ----------
    ids : sequence of int
        Subwords of all words.
    starts : sequence of int
        Where each word begins in `ids`.
    target : (words,) or (words, k) int64
    limit : int
        At least 3: the boundaries and one subword.
    """
    tokens, begins = np.asarray(ids, dtype=np.int64), np.asarray(starts, dtype=np.int64)
    ends = np.append(begins[1:], len(tokens))
    room = limit - 2
    rows: list[Array] = []
    places = np.zeros((len(begins), 2), dtype=np.int64)
    context = np.full(len(begins), -1.0)
    for first, last in _windows(begins, ends, room):
        piece = tokens[begins[first] : min(ends[last - 1], begins[first] + room)]
        columns = begins[first:last] - begins[first]
        left = columns if first else np.full(last - first, np.inf)
        right = len(piece) - columns if last < len(begins) else np.full(last - first, np.inf)
        here = np.minimum(left, right)
        better = np.flatnonzero(here > context[first:last])
        places[first + better] = np.stack([np.full(len(better), len(rows)), columns[better] + 1], axis=1)
        context[first + better] = here[better]
        rows.append(np.concatenate([[EOS], piece, [EOS]]).astype(np.int64))
    return Item(tuple(rows), places, target, int((ends - begins > room).sum()))


def _windows(begins: Array, ends: Array, room: int) -> list[tuple[int, int]]:
    """Runs of whole words (first, behind the last), each within `room` subwords, about half of each in the next."""
    found: list[tuple[int, int]] = []
    first, words = 0, len(begins)
    while True:
        last = max(int(np.searchsorted(ends, begins[first] + room, side="right")), first + 1)
        found.append((first, last))
        if last == words:
            return found
        half = int(np.searchsorted(begins, begins[first] + room // 2))
        first = min(max(half, first + 1), last)


@dataclass(frozen=True, slots=True)
class Gold:
    """What the examples of a batch are scored against; a class, as fairseq takes lists and named tuples apart on the
    way to a GPU."""

    examples: list[Any]


class LabelledBatches(BatchDataset):
    """Batches of labelled items of one language; an item of this dataset is a whole batch.

    Which examples a batch holds follows from the seed, the epoch and the number of the batch alone, so that fairseq
    resumes exactly. Examples of similar length stand together, so that batches need little padding.

    Parameters
    ----------
    items : sequence of Item
    gold : sequence
        What each item is scored against; handed through in ``sample["gold"]``.
    language : str
    pad_index : int
    seed : int, optional
        Training: every pass over the data in another random order. None: all items once, in order of length.
    epoch_examples : int
        Examples of an epoch; 0: all. XLM's epochs of 20,000 go on where the epoch before stopped.
    """

    POOL = 64
    """Batches whose examples are sorted by length among themselves."""

    def __init__(
        self,
        items: Sequence[Item],
        gold: Sequence[Any],
        language: str,
        pad_index: int,
        seed: int | None = None,
        epoch_examples: int = 0,
    ):
        self.items, self.gold, self.language, self.pad_index = items, gold, language, pad_index
        self.seed, self.epoch_examples = seed, (epoch_examples or len(items)) if seed is not None else len(items)
        self.lengths = np.array([max(map(len, item.rows)) for item in items])
        self.lay_out(1)

    @property
    def num_cut(self) -> int:
        """Words, or pairs, that lost subwords because they were too long."""
        return sum(item.cut for item in self.items)

    def lay_out(self, batch_size: int) -> None:
        """Fix the size of a batch, in examples; without a seed it is the most that a batch may have."""
        self.batch_size = batch_size
        self._plan: tuple[int, list[Array]] | None = None

    def __len__(self) -> int:
        if self.seed is None:
            return len(self.members(1))
        return -(-self.epoch_examples // self.batch_size)

    def batches(self, epoch: int) -> list[list[tuple[int, int]]]:
        """Keys of all batches of an epoch (counted from 1), for `EpochBatchIterator`."""
        return [[(epoch, number)] for number in range(len(self))]

    def members(self, epoch: int) -> list[Array]:
        """Indices of the examples in each batch of an epoch."""
        if self._plan is None or self._plan[0] != epoch:
            self._plan = (epoch, self._lay_out_epoch(epoch))
        return self._plan[1]

    def _lay_out_epoch(self, epoch: int) -> list[Array]:
        if self.seed is None:
            return length_batches(self.lengths, items=self.batch_size)
        chosen = self._pass_slices((epoch - 1) * self.epoch_examples, self.epoch_examples)
        generator = np.random.default_rng([self.seed, epoch, 1])
        pool = self.POOL * self.batch_size
        pools = [chosen[start : start + pool] for start in range(0, len(chosen), pool)]
        batches = self._split(np.concatenate([p[np.argsort(self.lengths[p], kind="stable")] for p in pools]))
        return [batches[number] for number in generator.permutation(len(batches))]

    def _pass_slices(self, start: int, count: int) -> Array:
        """Examples `start` to `start + count` of the endless sequence of passes."""
        assert self.seed is not None
        taken: list[Array] = []
        while count > 0:
            number, offset = divmod(start, len(self.items))
            order = np.random.default_rng([self.seed, number]).permutation(len(self.items))
            taken.append(order[offset : offset + count])
            start, count = start + len(taken[-1]), count - len(taken[-1])
        return np.concatenate(taken)

    def _split(self, order: Array) -> list[Array]:
        return [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        chosen = self.members(key[0])[key[1]]
        return self.sample(chosen)

    def sample(self, chosen: Array) -> dict[str, Any]:
        """The batch of the given examples in fairseq's form.

        ``net_input["words"]`` (examples, most words) holds flat positions of first subwords in ``src_tokens``, -1 where
        there is no word; it is None for pairs. ``target`` is padded with `IGNORED`; ``decisions`` says how many pairs
        or words have one; ``id`` are the examples' indices.
        """
        items = [self.items[index] for index in chosen.tolist()]
        tokens = pad_blocks([row for item in items for row in item.rows], self.pad_index)
        padding = tokens == self.pad_index
        target = _stack_targets([item.target for item in items])
        return {
            "id": torch.from_numpy(chosen),
            "nsentences": len(items),
            "ntokens": int(tokens.size - padding.sum()),
            "net_input": {
                "src_tokens": torch.from_numpy(tokens),
                "lang": self.language,
                "padding_mask": torch.from_numpy(padding) if padding.any() else None,
                "words": _flat_words(items, tokens.shape[1]) if len(items[0].words) else None,
            },
            "target": target,
            "decisions": _decisions(target),
            "gold": Gold([self.gold[index] for index in chosen.tolist()]),
        }


def _flat_words(items: Sequence[Item], length: int) -> torch.Tensor:
    words = np.full((len(items), max(len(item.words) for item in items)), -1, dtype=np.int64)
    rows_before = 0
    for line, item in zip(words, items, strict=True):
        line[: len(item.words)] = (item.words[:, 0] + rows_before) * length + item.words[:, 1]
        rows_before += len(item.rows)
    return torch.from_numpy(words)


def _decisions(target: torch.Tensor) -> int:
    """Pairs or words that have a target; where a word has several values (head, relation) the first one counts."""
    first = target[..., 0] if target.dim() == 3 else target
    return int((first != IGNORED).sum())


def _stack_targets(targets: Sequence[Array]) -> torch.Tensor:
    if targets[0].ndim == 0:
        return torch.from_numpy(np.stack(targets))
    longest = max(len(target) for target in targets)
    stacked = np.full((len(targets), longest, *targets[0].shape[1:]), IGNORED, dtype=np.int64)
    for line, target in zip(stacked, targets, strict=True):
        line[: len(target)] = target
    return torch.from_numpy(stacked)
