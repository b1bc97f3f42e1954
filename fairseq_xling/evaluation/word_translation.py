"""Word translation: the nearest word of the other language, by a MUSE dictionary (paper, section 5.1, Figure 4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from fairseq_xling.analysis import IterativeNormalizer, nearest_neighbors, precision_at_1, procrustes
from fairseq_xling.evaluation.pretrained import Pretrained
from fairseq_xling.evaluation.word_vectors import WordVectors, embedding_words, word_form
from fairseq_xling.formats.errors import InputError

Pairs = Sequence[tuple[str, str]]
"""Source and target words of a dictionary, as `fairseq_xling.formats.dictionary.read_pairs` gives them."""

METHODS = ("csls", "cosine")


class WordTranslation(NamedTuple):
    """What was reached, and on what.

    Attributes
    ----------
    precision : float
        Precision@1: share of queries whose best candidate is one of the listed translations.
    n : int
        Queries: source words of the dictionary that have a vector, and of which at least one translation has one.
    coverage : float
        Queries as a share of the dictionary's source words.
    chance : float
        What a random candidate would reach.
    """

    precision: float
    n: int
    coverage: float
    chance: float


def listed_translations(pairs: Pairs) -> dict[str, set[str]]:
    """The translations of each source word, both lower-cased."""
    listed: dict[str, set[str]] = {}
    for source, target in pairs:
        listed.setdefault(source.lower(), set()).add(target.lower())
    return listed


def as_compared(pairs: Pairs, source_casing: str, target_casing: str) -> list[tuple[str, str]]:
    """A dictionary's pairs in the form in which models with text of these casings know words; see `word_form`."""
    return [(word_form(source, source_casing), word_form(target, target_casing)) for source, target in pairs]


def translate(
    source: WordVectors, target: WordVectors, pairs: Pairs, method: str = "csls", k: int = 10
) -> WordTranslation:
    """Precision@1 of nearest neighbours among all words of `target`; any listed translation counts.

    Parameters
    ----------
    source, target : WordVectors
        In one space. With CSLS all words of both sides count as neighbourhood, as in MUSE.
    pairs : sequence of (source word, target word)
        Test dictionary.
    method : {"csls", "cosine"}
    k : int
        Neighbours of CSLS.

    Raises
    ------
    InputError
        No pair of the dictionary has vectors on both sides.
    """
    gold = {
        source.index[word]: rows
        for word, translations in listed_translations(pairs).items()
        if word in source.index and (rows := {target.index[t] for t in translations if t in target.index})
    }
    words = len({word.lower() for word, _ in pairs})
    if not gold:
        raise InputError(
            f"none of the {words:,} source words of the test dictionary has a vector and a translation that has one "
            f"({len(source.words):,} and {len(target.words):,} words have vectors)"
        )
    _expect_one_width(source, target)
    if k < 1:
        raise InputError(f"{k} neighbours for CSLS: expected at least 1")
    queries = np.array(list(gold), dtype=np.int64)
    found = nearest_neighbors(source.vectors, target.vectors, method=method, k=k, queries=queries)
    chance = float(np.mean([len(answers) for answers in gold.values()])) / len(target.words)
    return WordTranslation(precision_at_1(found.indices, list(gold.values())), len(gold), len(gold) / words, chance)


def align(
    source: WordVectors, target: WordVectors, pairs: Iterable[tuple[str, str]]
) -> tuple[WordVectors, WordVectors]:
    """Both sides in one space: iterative normalisation of each, then one orthogonal map learnt from a dictionary.

    Parameters
    ----------
    source, target : WordVectors
    pairs : iterable of (source word, target word)
        Training dictionary; every pair with vectors on both sides counts once.

    Raises
    ------
    InputError
        No pair of the dictionary has vectors on both sides.
    """
    lower = dict.fromkeys((first.lower(), second.lower()) for first, second in pairs)
    known = [(source.index[a], target.index[b]) for a, b in lower if a in source.index and b in target.index]
    if not known:
        raise InputError(f"none of the {len(lower):,} pairs of the training dictionary has vectors on both sides")
    _expect_one_width(source, target)
    normal_source = IterativeNormalizer.fit(source.vectors).transform(source.vectors)
    normal_target = IterativeNormalizer.fit(target.vectors).transform(target.vectors)
    rows_source, rows_target = (list(rows) for rows in zip(*known, strict=True))
    rotation = procrustes(normal_source[rows_source], normal_target[rows_target])
    return WordVectors(source.words, normal_source @ rotation), WordVectors(target.words, normal_target)


def embedding_translation(
    pretrained: Pretrained,
    source_language: str,
    target_language: str,
    dictionary: Pairs,
    target_model: Pretrained | None = None,
    training: Pairs | None = None,
    method: str = "csls",
    k: int = 10,
) -> WordTranslation:
    """Word translation at the input embeddings, for words that are one subword in their language's vocabulary.

    The candidates are all words of the target language that are one subword (`one_subword_words`).

    Parameters
    ----------
    pretrained : Pretrained
        A bilingual model, compared as it is; or the model of the source language.
    source_language, target_language : str
    dictionary : sequence of (source word, target word)
        Test dictionary; any listed translation counts.
    target_model : Pretrained, optional
        The model of the target language where models were trained apart.
    training : sequence of (source word, target word), optional
        With it both sides are normalised and mapped first (`align`); needed where there are two models.
    method : {"csls", "cosine"}
    k : int
        Neighbours of CSLS.
    """
    if target_model is not None and training is None:
        raise InputError("models that were trained apart need a training dictionary")
    models = (pretrained, source_language), (target_model or pretrained, target_language)
    source, target = (embedding_words(model, language) for model, language in models)
    casings = [model.segmenter(language).casing for model, language in models]
    if training is not None:
        source, target = align(source, target, as_compared(training, *casings))
    return translate(source, target, as_compared(dictionary, *casings), method, k)


def _expect_one_width(source: WordVectors, target: WordVectors) -> None:
    sizes = source.vectors.shape[1], target.vectors.shape[1]
    if sizes[0] != sizes[1]:
        raise InputError(f"vectors of {sizes[0]} and {sizes[1]} numbers cannot be compared")
