"""The graph-based parser's head: deep biaffine attention (Dozat & Manning 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_xling.analysis import maximum_spanning_trees
from fairseq_xling.data.labelled import IGNORED
from fairseq_xling.data.parsing import ROOT
from fairseq_xling.formats.errors import InputError
from fairseq_xling.models.heads import LabelHead, SharedDropout


class Arcs(NamedTuple):
    """Scores of all arcs, and what the scores of relations are made of; position 0 is the root.

    Attributes
    ----------
    scores : (sentences, words + 1, words + 1)
        ``scores[s, d, h]``: word h as the head of word d; -inf where h is no word or is d itself.
    dependents, heads : (sentences, words + 1, label_dim)
    """

    scores: Tensor
    dependents: Tensor
    heads: Tensor


class BiaffineHead(LabelHead):
    """Scores of heads and relations. The root is a learned vector beside the words' features; it takes part in all.

    Parameters
    ----------
    dim : int
        Width of the features.
    relations : sequence of str
        ``root`` among them: it goes with head 0, and only there.
    arc_dim, label_dim : int
        Width of the four perceptrons (512 and 128 in the second author's code).
    dropout : float
        After the perceptrons, one mask a sentence.
    """

    def __init__(
        self, dim: int, relations: Sequence[str], arc_dim: int = 512, label_dim: int = 128, dropout: float = 0.33
    ):
        super().__init__(relations)
        if ROOT not in self.labels:
            raise InputError("the relation 'root' does not occur in the training data; expected a treebank")
        self.root_label = self.labels.index(ROOT)
        self.root = nn.Parameter(torch.randn(dim))  # at the scale of features after layer norm
        self.arc_dependent, self.arc_head = _perceptron(dim, arc_dim, dropout), _perceptron(dim, arc_dim, dropout)
        self.label_dependent = _perceptron(dim, label_dim, dropout)
        self.label_head = _perceptron(dim, label_dim, dropout)
        self.arc_weight = nn.Parameter(torch.zeros(arc_dim + 1, arc_dim))
        self.label_weight = nn.Parameter(torch.zeros(len(self.labels), label_dim + 1, label_dim + 1))

    def forward(self, features: Tensor, present: Tensor) -> Arcs:
        """Scores of arcs.

        Parameters
        ----------
        features : (sentences, words, dim)
        present : (sentences, words) bool
            False where a sentence has no such word.
        """
        sentences, words = present.shape
        with_root = torch.cat([self.root.to(features.dtype).expand(sentences, 1, -1), features], dim=1)
        scores = _with_one(self.arc_dependent(with_root)) @ self.arc_weight @ self.arc_head(with_root).transpose(1, 2)
        may_be_head = F.pad(present, (1, 0), value=True)[:, None, :] & ~torch.eye(
            words + 1, dtype=torch.bool, device=present.device
        )
        scores = scores.float().masked_fill(~may_be_head, -torch.inf)
        return Arcs(scores, self.label_dependent(with_root), self.label_head(with_root))

    def relation_scores(self, arcs: Arcs, heads: Tensor) -> Tensor:
        """Scores of the relations to the given heads.

        Parameters
        ----------
        heads : (sentences, words) int64
            0 for the root word.

        Returns
        -------
        (sentences, words, relations)
        """
        dependents = _with_one(arcs.dependents[:, 1:])
        index = heads[..., None].expand(-1, -1, arcs.heads.shape[-1])
        chosen = _with_one(arcs.heads.gather(1, index))
        mixed = torch.einsum("swi,lij->swlj", dependents, self.label_weight)
        return (mixed * chosen[:, :, None, :]).sum(-1).float()

    def loss(self, arcs: Arcs, target: Tensor) -> Tensor:
        """Sum over the words of the cross-entropies, in nats, of their head and of their relation to the gold head.

        Parameters
        ----------
        target : (sentences, words, 2) int64
            Head and relation; `IGNORED` where there is no word, or no known relation.
        """
        heads, relations = target.unbind(-1)
        arc_loss = F.cross_entropy(
            arcs.scores[:, 1:].flatten(0, 1), heads.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        scores = self.relation_scores(arcs, heads.clamp(min=0))
        relation_loss = F.cross_entropy(
            scores.flatten(0, 1), relations.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        return arc_loss + relation_loss

    def decode(self, arcs: Arcs, present: Tensor) -> list[list[tuple[int, int]]]:
        """The best trees with one root word each: (head, number of the relation) of every word.

        Parameters
        ----------
        arcs : Arcs
        present : (sentences, words) bool
            False where a sentence has no such word.

        Raises
        ------
        InputError
            A score is NaN.
        """
        if arcs.scores.isnan().any():
            raise InputError("the parser's scores are not numbers: training has diverged; a lower --lr would help")
        lengths = present.sum(dim=1).tolist()
        heads = maximum_spanning_trees(arcs.scores.detach().float().cpu().numpy(), lengths)
        index = torch.from_numpy(heads).clamp(min=0).to(arcs.scores.device)
        scores = self.relation_scores(arcs, index)
        is_root = torch.arange(len(self.labels), device=scores.device) == self.root_label
        scores = scores.masked_fill(is_root != (index == 0)[..., None], -torch.inf)
        relations = scores.argmax(-1).tolist()
        return [
            list(zip(head[:length].tolist(), relation[:length], strict=True))
            for head, relation, length in zip(heads, relations, lengths, strict=True)
        ]


def _perceptron(dim: int, out: int, dropout: float) -> nn.Sequential:
    linear = nn.Linear(dim, out)
    nn.init.orthogonal_(linear.weight)
    nn.init.zeros_(linear.bias)
    return nn.Sequential(linear, nn.ELU(), SharedDropout(dropout))


def _with_one(x: Tensor) -> Tensor:
    """A constant 1 behind the last dimension, so that one product holds the bias too."""
    return F.pad(x, (0, 1), value=1.0)
