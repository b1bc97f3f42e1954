"""One orthogonal map a layer between words in context, learnt from word-aligned sentences (paper, section 5.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fairseq_xling.analysis import IterativeNormalizer, procrustes
from fairseq_xling.evaluation.pretrained import Pretrained
from fairseq_xling.evaluation.sides import Side
from fairseq_xling.evaluation.word_alignment import Links, one_to_one
from fairseq_xling.evaluation.word_features import pooled_words
from fairseq_xling.formats.errors import InputError


@dataclass(frozen=True)
class LayerMap:
    """What brings both languages into one space at one layer; there components have a variance of about 1.

    Attributes
    ----------
    source, target : IterativeNormalizer
    rotation : (dim, dim) float64
        From the target language's space to the source language's.
    """

    source: IterativeNormalizer
    target: IterativeNormalizer
    rotation: Tensor

    def map_source(self, states: Tensor) -> Tensor:
        """(..., dim) of the source language to the common space."""
        return _scaled(self.source.transform(states.flatten(0, -2))).view_as(states)

    def map_target(self, states: Tensor) -> Tensor:
        """(..., dim) of the target language to the common space."""
        normal = self.target.transform(states.flatten(0, -2))
        return _scaled(normal @ self.rotation.to(normal)).view_as(states)


def _scaled(normal: Tensor) -> Tensor:
    """Rows of length 1 to components of variance 1, the scale at which networks begin well."""
    return normal * normal.shape[-1] ** 0.5


def learn_maps(
    source: Side,
    target: Side,
    pairs: Sequence[tuple[Sequence[str], Sequence[str]]],
    links: Sequence[Links],
    pooling: str = "first",
    most: int = 50_000,
    seed: int = 1,
    bf16: bool = False,
) -> list[LayerMap]:
    """Maps of the target language into the source language's space, one a layer.

    Parameters
    ----------
    source, target : Side
    pairs : sequence of (source words, target words)
    links : sequence of links
        Word alignment of each pair; links of words that are linked to one word only are used.
    pooling : {"first", "mean"}
        A word's vector: its first subword, as task heads use it, or the mean of its subwords.
    most : int
        Links used at most, drawn at random: bounds memory (2 x layers x links x dim x 4 bytes).
    seed : int
        Of the draw.
    bf16 : bool

    Returns
    -------
    list of LayerMap
        L0 to the last layer.

    Raises
    ------
    InputError
        No link is left.
    """
    chosen = linked_words(pairs, links, most, seed)
    features = [
        _occurrences(side.model, [pair[number] for pair in pairs], side.language, chosen[:, number], pooling, bf16)
        for number, side in enumerate((source, target))
    ]
    maps = []
    for x, y in zip(*features, strict=True):
        normal_x, normal_y = IterativeNormalizer.fit(x), IterativeNormalizer.fit(y)
        rotation = procrustes(normal_y.transform(y.double()), normal_x.transform(x.double()))
        maps.append(LayerMap(normal_x, normal_y, rotation))
    return maps


def linked_words(
    pairs: Sequence[tuple[Sequence[str], Sequence[str]]], links: Sequence[Links], most: int, seed: int
) -> np.ndarray:
    """Numbers of linked words, counted over all sentences of a side: (links, 2) int64, in order."""
    found: list[tuple[int, int]] = []
    before = [0, 0]
    for (a, b), some in zip(pairs, links, strict=True):
        found += [(before[0] + i, before[1] + j) for i, j in one_to_one(some)]
        before = [before[0] + len(a), before[1] + len(b)]
    if not found:
        raise InputError(f"the word alignment of {len(pairs):,} sentence pairs has no link of one word to one word")
    numbers = np.array(found, dtype=np.int64)
    if len(numbers) > most:
        numbers = numbers[np.sort(np.random.default_rng(seed).choice(len(numbers), most, replace=False))]
    return numbers


def _occurrences(
    model: Pretrained, sentences: list[Sequence[str]], language: str, wanted: np.ndarray, pooling: str, bf16: bool
) -> Tensor:
    """(layers + 1, wanted, dim) float32: vectors of the words with these numbers, each number once."""
    row = np.full(sum(map(len, sentences)), -1, dtype=np.int64)
    row[wanted] = np.arange(len(wanted))
    features = torch.zeros(model.num_layers + 1, len(wanted), model.model.encoder.shape.dim)
    for numbers, vectors in pooled_words(model, sentences, language, pooling, bf16, progress=f"words {language}"):
        rows = row[numbers]
        here = np.flatnonzero(rows >= 0)
        features[:, rows[here]] = vectors[:, torch.from_numpy(here).to(vectors.device)].cpu()
    return features
