"""Heads that score labels: linear maps over the first position or the first subword of each word (paper, section 3)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_xling.data.labelled import IGNORED
from fairseq_xling.formats.errors import InputError


class SharedDropout(nn.Module):
    """Variational dropout: one mask for all positions of a sentence (Gal & Ghahramani 2016)."""

    def __init__(self, probability: float):
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """(batch, positions, dim) to the same; (batch, dim) gets ordinary dropout."""
        if not self.training or not self.probability:
            return x
        mask = x.new_ones(x.shape[0], *([1] * (x.dim() - 2)), x.shape[-1])
        return x * F.dropout(mask, self.probability)


class LabelHead(nn.Module):
    """A head with a fixed set of labels, which travels in the checkpoint and is compared on loading.

    Parameters
    ----------
    labels : sequence of str
        In the order of the outputs.
    """

    label_set: Tensor

    def __init__(self, labels: Sequence[str]):
        super().__init__()
        self.labels = tuple(labels)
        text = json.dumps(list(labels), ensure_ascii=False).encode()
        self.register_buffer("label_set", torch.tensor(list(text), dtype=torch.int64))  # as `vocabulary_hash`

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        theirs = state_dict.get(prefix + "label_set")
        if theirs is not None and theirs.tolist() != self.label_set.tolist():
            raise InputError(
                f"the checkpoint was trained on the labels {_known(theirs)}, but the training data has "
                f"{', '.join(self.labels)}; give it the data it was trained on"
            )
        super()._load_from_state_dict(state_dict, prefix, *args)


def _known(label_set: Tensor) -> str:
    """The labels of a checkpoint, for people."""
    try:
        return ", ".join(json.loads(bytes(label_set.tolist()).decode()))
    except (TypeError, ValueError):  # damaged, or averaged as bytes
        return "(which cannot be read)"


class LinearHead(LabelHead):
    """One linear map to a softmax over the labels, for pairs and for words.

    Parameters
    ----------
    dim : int
        Width of the features.
    labels : sequence of str
    """

    def __init__(self, dim: int, labels: Sequence[str]):
        super().__init__(labels)
        self.scores = nn.Linear(dim, len(self.labels))

    def forward(self, features: Tensor, present: Tensor | None = None) -> Tensor:
        """(..., dim) to scores (..., labels); `present` is not needed."""
        return self.scores(features)

    def loss(self, scores: Tensor, target: Tensor) -> Tensor:
        """Sum of the cross-entropies in nats, of scores (..., labels) and targets (...); `IGNORED` does not count."""
        return F.cross_entropy(scores.float().flatten(0, -2), target.flatten(), ignore_index=IGNORED, reduction="sum")

    def decode(self, scores: Tensor, present: Tensor | None) -> list[Any]:
        """Numbers of the best labels: one for each pair, or a list for the words of each sentence.

        Parameters
        ----------
        scores : (pairs, labels) or (sentences, words, labels)
        present : (sentences, words) bool, optional
            False where a sentence has no such word; None for pairs.
        """
        best = scores.argmax(dim=-1).tolist()
        if present is None:
            return best
        return [row[:count] for row, count in zip(best, present.sum(dim=1).tolist(), strict=True)]
