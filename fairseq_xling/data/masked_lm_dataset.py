"""Masked batches of one language each, as fairseq's iterators want them.

An item is a whole batch (`BatchDataset`). Its key names epoch and batch, from which everything in it follows, so
loader workers need no state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from fairseq_xling.data.batch_dataset import BatchDataset
from fairseq_xling.data.blocks import TokenFile, pad_blocks
from fairseq_xling.data.masking import MaskingRule, mask_batch, mask_rows
from fairseq_xling.data.schedule import BlockOrder, EpochPlan, LanguageSchedule, plan_epoch
from fairseq_xling.formats.errors import InputError

BatchKey = tuple[int, int]
"""(epoch, batch), both as they enter the seed; epochs are counted from 1, validation is epoch 0."""


class Blocks(Protocol):
    """What a dataset needs of a corpus cut into blocks."""

    corpus: TokenFile

    @property
    def num_blocks(self) -> int: ...

    @property
    def lengths(self) -> NDArray[np.integer] | None: ...

    def read(self, blocks: NDArray[np.int64]) -> list[NDArray[np.int64]]: ...


class BatchMasker:
    """Makes the sample of one batch: pads, masks, and turns it into tensors.

    Parameters
    ----------
    rule : MaskingRule
    seed : int
    pad_index, mask_index : mapping from language to int
        The same for all languages where they have one vocabulary.
    random_words : mapping from language to (n,) int64
        Words that may stand in for a chosen token in a batch of that language.
    """

    def __init__(
        self,
        rule: MaskingRule,
        seed: int,
        pad_index: Mapping[str, int],
        mask_index: Mapping[str, int],
        random_words: Mapping[str, NDArray[np.int64]],
    ):
        self.rule, self.seed = rule, seed
        self.pad_index, self.mask_index, self.random_words = pad_index, mask_index, random_words

    def sample(
        self,
        blocks: list[NDArray[np.int64]],
        language: str,
        key: BatchKey,
        numbers: NDArray[np.integer] | None = None,
    ) -> dict[str, Any]:
        """One batch in fairseq's form; `target` holds the tokens at the positions `net_input["masked"]`.

        With the `numbers` of its blocks, their masks follow from these alone; else from the seed and the key.
        """
        pad = self.pad_index[language]
        tokens = pad_blocks(blocks, pad)
        symbols = self.mask_index[language], pad, self.random_words[language]
        if numbers is None:
            inputs, positions, targets = mask_batch(tokens, self.rule, (self.seed, *key), *symbols)
        else:
            inputs, positions, targets = mask_rows(tokens, self.rule, [(0, number) for number in numbers], *symbols)
        padding = tokens == pad
        return {
            "id": torch.tensor(key),
            "nsentences": len(blocks),
            "ntokens": int(tokens.size - padding.sum()),
            "net_input": {
                "src_tokens": torch.from_numpy(inputs),
                "lang": language,
                "padding_mask": torch.from_numpy(padding) if padding.any() else None,
                "masked": torch.from_numpy(positions),
            },
            "target": torch.from_numpy(targets),
        }


def _read(corpus: Blocks, chosen: NDArray[np.int64], largest: int) -> list[NDArray[np.int64]]:
    """The tokens of some blocks; InputError where one is not in the vocabulary, whose last id is `largest`."""
    blocks = corpus.read(chosen)
    highest = int(np.concatenate(blocks).view(np.uint64).max())  # negative ones are very high
    if highest > largest:
        path = f"{corpus.corpus.prefix}.bin"
        raise InputError(f"token {highest}, but the vocabulary ends at {largest}: damaged, or of other text?", path)
    return blocks


class ScheduledBatches(BatchDataset):
    """Training batches: languages drawn by the schedule, blocks in a new random order every pass.

    Parameters
    ----------
    blocks : mapping from language to Blocks
    probabilities : mapping from language to float
        That a batch is of this language.
    epoch_sequences : int
        Blocks in an epoch, over all languages and workers.
    masker : BatchMasker
    seed : int
    """

    def __init__(
        self,
        blocks: Mapping[str, Blocks],
        probabilities: Mapping[str, float],
        epoch_sequences: int,
        masker: BatchMasker,
        seed: int,
    ):
        self.blocks, self.probabilities, self.epoch_sequences = blocks, probabilities, epoch_sequences
        self.masker, self.seed = masker, seed
        self.lay_out(1)

    def lay_out(self, batch_size: int) -> None:
        """Fix the size of a batch, in blocks."""
        batches = -(-self.epoch_sequences // batch_size)
        self.batch_size = batch_size
        self.schedule = LanguageSchedule(self.probabilities, batches, self.seed)
        self._orders = [
            BlockOrder(corpus.num_blocks, self.seed, number, corpus.lengths, batch_size)
            for number, corpus in enumerate(self.blocks[language] for language in self.schedule.languages)
        ]
        self._plan: tuple[int, EpochPlan] | None = None

    def __len__(self) -> int:
        return self.schedule.batches_per_epoch

    def batches(self, epoch: int) -> list[list[BatchKey]]:
        """Keys of all batches of an epoch, for `EpochBatchIterator`."""
        return [[(epoch, batch)] for batch in range(len(self))]

    def __getitem__(self, key: BatchKey) -> dict[str, Any]:
        epoch, batch = key
        if self._plan is None or self._plan[0] != epoch:
            self._plan = (epoch, plan_epoch(self.schedule, epoch, self.batch_size))
        plan = self._plan[1]
        number = int(plan.languages[batch])
        language = self.schedule.languages[number]
        chosen = self._orders[number].take(int(plan.starts[batch]), self.batch_size)
        return self.masker.sample(_read(self.blocks[language], chosen, self.masker.mask_index[language]), language, key)


class ValidationBatches(BatchDataset):
    """Every block once, language after language, masked in the same way every time.

    The masks of a block depend on its place in its file alone: so another seed, another size of batches, another number
    of processes or other languages beside it change nothing, and runs are compared on the same predictions.

    Parameters
    ----------
    blocks : mapping from language to Blocks
    masker : BatchMasker
        Its rule should be `ALWAYS_MASKED`.
    """

    def __init__(self, blocks: Mapping[str, Blocks], masker: BatchMasker):
        self.blocks, self.masker = blocks, masker
        self.lay_out(1)

    def lay_out(self, batch_size: int) -> None:
        """Fix the size of a batch, in blocks."""
        self._batches: list[tuple[str, NDArray[np.int64]]] = []
        for language, corpus in self.blocks.items():
            order = np.arange(corpus.num_blocks)
            if corpus.lengths is not None:
                order = np.argsort(corpus.lengths, kind="stable")
            self._batches += [(language, order[i : i + batch_size]) for i in range(0, len(order), batch_size)]

    def __len__(self) -> int:
        return len(self._batches)

    def batches(self, epoch: int) -> list[list[BatchKey]]:
        """Keys of all batches; the epoch does not matter."""
        return [[(0, batch)] for batch in range(len(self))]

    def __getitem__(self, key: BatchKey) -> dict[str, Any]:
        language, chosen = self._batches[key[1]]
        blocks = _read(self.blocks[language], chosen, self.masker.mask_index[language])
        return self.masker.sample(blocks, language, key, chosen)
