"""Datasets of which an item is a whole batch.

fairseq's `EpochBatchIterator` then shards, buffers and resumes over "batches" of one item each, and its loader workers
make whole batches.
"""

from __future__ import annotations

from typing import Any

from fairseq.data import FairseqDataset


class BatchDataset(FairseqDataset):
    """What such datasets share; subclasses have `lay_out`, `batches` and `__getitem__`."""

    def collater(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """The single batch out of its list."""
        return samples[0] if samples else {}

    def num_tokens(self, index: int) -> int:
        """Not known: the dataset lays out its batches itself."""
        raise TypeError("batches are laid out by the dataset, not by size")

    size = num_tokens
