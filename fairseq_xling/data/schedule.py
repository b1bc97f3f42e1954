"""Which language each batch is of, and which of its blocks it holds.

Everything follows from the seed and the numbers of the epoch and the batch, so that any batch can be
made again without the ones before it: sharding over workers and resuming need no further state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def sampling_probabilities(counts: Mapping[str, int], alpha: float) -> dict[str, float]:
    """Probability that a batch is of each language: its share of `counts`, to the power `alpha`, made to sum to 1.

    The paper (section 3.1) and XLM use the share of sentences and alpha = 0.7.
    """
    weights = np.array([counts[language] for language in counts], dtype=np.float64)
    weights = (weights / weights.sum()) ** alpha
    return dict(zip(counts, (weights / weights.sum()).tolist()))


class LanguageSchedule:
    """The language of every batch of every epoch, drawn from a seed.

    Parameters
    ----------
    probabilities : mapping from language to float
    batches_per_epoch : int
    seed : int
    """

    def __init__(self, probabilities: Mapping[str, float], batches_per_epoch: int, seed: int):
        self.languages = list(probabilities)
        self.batches_per_epoch = batches_per_epoch
        self.seed = seed
        self._cumulative = np.cumsum(list(probabilities.values()))
        self._cumulative[-1] = 1.0  # whatever the rounding: the last language takes the rest
        self._used_before = [np.zeros(len(self.languages), dtype=np.int64)]

    def draw(self, epoch: int) -> NDArray[np.int64]:
        """Number of the language of each batch of `epoch` (counted from 1): (batches_per_epoch,) int64."""
        generator = np.random.default_rng([self.seed, epoch])
        return np.searchsorted(self._cumulative, generator.random(self.batches_per_epoch), side="right")

    def batches_before(self, epoch: int) -> NDArray[np.int64]:
        """Batches drawn of each language in the epochs before `epoch`: (languages,) int64."""
        while len(self._used_before) < epoch:
            drawn = np.bincount(self.draw(len(self._used_before)), minlength=len(self.languages))
            self._used_before.append(self._used_before[-1] + drawn)
        return self._used_before[epoch - 1]


class BlockOrder:
    """An endless order over the blocks of one language: pass after pass, each in another random order.

    Parameters
    ----------
    num_blocks : int
    seed : int
    language_number : int
        Distinguishes languages of one seed.
    lengths : (num_blocks,) int array, optional
        Where given, blocks of similar length stand together, `group` at a time, so that batches need little padding.
    group : int
        Size of a batch.
    """

    POOL = 64
    """Groups that are sorted by length among themselves: little padding, and still a random batch."""

    def __init__(
        self,
        num_blocks: int,
        seed: int,
        language_number: int,
        lengths: NDArray[np.integer] | None = None,
        group: int = 1,
    ):
        self.num_blocks = num_blocks
        self.lengths = lengths
        self.group = group
        self._seed = (seed, language_number)
        self._passes: dict[int, NDArray[np.int64]] = {}

    def take(self, start: int, count: int) -> NDArray[np.int64]:
        """Blocks `start` to `start + count` of the endless order: (count,) int64."""
        taken = []
        while count > 0:
            number, offset = divmod(start, self.num_blocks)
            piece = self._order(number)[offset : offset + count]
            taken.append(piece)
            start, count = start + len(piece), count - len(piece)
        return np.concatenate(taken) if taken else np.zeros(0, dtype=np.int64)

    def _order(self, number: int) -> NDArray[np.int64]:
        if number not in self._passes:
            # two passes are kept: a batch may straddle them
            self._passes = {key: order for key, order in self._passes.items() if key == number - 1}
            generator = np.random.default_rng([*self._seed, number])
            order = generator.permutation(self.num_blocks)
            begun = min(-number * self.num_blocks % self.group, self.num_blocks)
            self._passes[number] = order if self.lengths is None else self._bucket(order, begun, generator)
        return self._passes[number]

    def _bucket(self, order: NDArray[np.int64], begun: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """Put blocks of similar length together; the first `begun` complete the last batch of the pass before."""
        assert self.lengths is not None
        pool = self.POOL * self.group
        sorted_pools = [
            chunk[np.argsort(self.lengths[chunk], kind="stable")]
            for chunk in (order[start : start + pool] for start in range(0, len(order), pool))
        ]
        order = np.concatenate(sorted_pools)
        whole = (len(order) - begun) // self.group * self.group
        groups = generator.permutation(order[:whole].reshape(-1, self.group))
        # The last batch of a pass is completed with blocks of the next pass. What stands at both ends of a pass are the
        # longest blocks of its last pool, so that such a batch needs little padding as well.
        return np.concatenate([order[len(order) - begun :], groups.reshape(-1), order[whole : len(order) - begun]])


@dataclass(frozen=True)
class EpochPlan:
    """One epoch laid out.

    Parameters
    ----------
    languages : (batches,) int64
        Number of the language of each batch.
    starts : (batches,) int64
        Where each batch begins in the endless order of its language.
    """

    languages: NDArray[np.int64]
    starts: NDArray[np.int64]


def plan_epoch(schedule: LanguageSchedule, epoch: int, batch_size: int) -> EpochPlan:
    """Lay out `epoch`: every language goes on where the epoch before left it."""
    languages = schedule.draw(epoch)
    starts = np.empty(len(languages), dtype=np.int64)
    for number, before in enumerate(schedule.batches_before(epoch)):
        mine = languages == number
        starts[mine] = (before + np.arange(int(mine.sum()))) * batch_size
    return EpochPlan(languages, starts)
