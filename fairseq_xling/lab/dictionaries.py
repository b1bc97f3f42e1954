"""Bilingual dictionaries of citation forms, in MUSE's format and with qualities."""

from __future__ import annotations

import random
from itertools import product

from fairseq_xling.lab.language import Language

IN_DICTIONARY = (
    "noun",
    "adjective",
    "verb",
    "time",
    "manner",
    "degree",
    "adposition",
    "given_name",
    "family_name",
    "place_name",
    "company_name",
    "place_kind",
    "company_kind",
)
"""Classes whose words stand in dictionaries: no grammatical words, no numerals, no punctuation."""


def word_pairs(source: Language, target: Language) -> list[tuple[int, str, str, float]]:
    """All translations between two languages.

    Returns
    -------
    list of (concept, source word, target word, quality)
        In order of concepts. The quality is 1 for the usual words of both languages and is divided by 2
        for each synonym in their place.
    """
    inventory = source.world.inventory
    pairs: list[tuple[int, str, str, float]] = []
    for name in IN_DICTIONARY:
        for concept in inventory.members(name):
            forms = product(enumerate(source.lexicon.stems[concept]), enumerate(target.lexicon.stems[concept]))
            pairs.extend((concept, a, b, 0.5 ** (i + j)) for (i, a), (j, b) in forms)
    return sorted(pairs)


def split_concepts(concepts: list[int], seed: int, share: float = 0.6) -> tuple[set[int], set[int]]:
    """Divide concepts between training and test dictionary: the same for all language pairs, so that nothing leaks."""
    shuffled = sorted(set(concepts))
    random.Random(f"{seed} dictionary").shuffle(shuffled)
    cut = round(share * len(shuffled))
    return set(shuffled[:cut]), set(shuffled[cut:])
