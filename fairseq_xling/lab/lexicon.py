"""The words of a language: stems, synonyms, articles and suffixes."""

from __future__ import annotations

import zlib

import numpy as np

from fairseq_xling.lab.concepts import GENDERS, NAME_CLASSES, NUMERALS, Inventory
from fairseq_xling.lab.typology import Typology

SYNONYMS = 0.06
"""Share of nouns, adjectives and verbs that have a second form."""

SHORT = {"article", "adposition", "negation", "subordinator", "opener", "focus", "closer", "degree"}
FEATURES = ("plural", "definite", "accusative", "past", "negative", "subject_plural")


class Lexicon:
    """Forms of all concepts of a world in one language.

    Attributes
    ----------
    stems : list of tuple of str
        For each concept its forms: the usual one and perhaps a synonym. Articles: one form a gender.
    suffixes : dict
        Feature -> its suffix.
    contracted : dict
        (adposition form, article form) -> form of both together.
    """

    def __init__(
        self,
        code: str,
        typology: Typology,
        inventory: Inventory,
        seed: int,
        source: Lexicon | None,
        cognateness: list[float],
    ):
        self.inventory = inventory
        self._rng = np.random.default_rng([seed, zlib.crc32(code.encode())])
        self._sound = typology.phonology
        self._taken: set[str] = set() if source is None else set(source.taken)
        self.suffixes = self._suffixes()
        self.stems: list[tuple[str, ...]] = []
        for concept, word_class in enumerate(inventory.word_class):
            share = typology.shared_names if word_class in NAME_CLASSES else typology.shared_words
            self.stems.append(self._forms(concept, word_class, source, cognateness[concept] < share))
        self.contracted = self._contract(typology)

    @property
    def taken(self) -> set[str]:
        """Every form in use."""
        return self._taken

    def _new(self, syllables: int) -> str:
        return self._sound.word(self._rng, syllables, self._taken)

    def _suffixes(self) -> dict[str, str]:
        used: set[str] = set()
        return {feature: self._sound.word(self._rng, 1, used) for feature in FEATURES}

    def _forms(self, concept: int, word_class: str, source: Lexicon | None, shared: bool) -> tuple[str, ...]:
        if word_class == "numeral":
            return (NUMERALS[concept - self.inventory.members("numeral").start],)
        if word_class == "question_mark":
            return ("?",)
        if word_class == "article":
            return tuple(self._new(1) for _ in GENDERS)
        if source is not None and shared and word_class not in SHORT:
            form = source.stems[concept][0]
        else:
            form = self._new(1 if word_class in SHORT else 2)
        if word_class in ("noun", "adjective", "verb") and self._rng.random() < SYNONYMS:
            return (form, self._new(2))
        return (form,)

    def _contract(self, typology: Typology) -> dict[tuple[str, str], str]:
        definite = self.inventory.members("article")[0]
        adpositions = self.inventory.members("adposition")[: typology.contractions]
        articles = dict.fromkeys(self.stems[definite] if typology.gendered_articles else self.stems[definite][:1])
        return {(self.stems[a][0], article): self._new(1) for a in adpositions for article in articles}
