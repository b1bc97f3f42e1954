"""How the lab's four languages differ: sound, shared words, word order, inflection."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from fairseq_xling.lab.phonology import Phonology

ORDER = {
    "opener": -9,
    "subordinator": -8,
    "time": -7,
    "subject": -6,
    "focus": -5,
    "negation": -4,
    "closer": 1,
    "manner": 2,
    "object": 3,
    "oblique": 4,
    "complement": 5,
    "punctuation": 9,
    "adposition": -6,
    "article": -5,
    "count": -4,
    "quality": -3,
    "degree": -1,
    "attribute": 3,
    "name_part": 1,
}
"""Word order of the source language: role -> place, negative before the head, positive after it, further with size."""


@dataclass(frozen=True)
class Typology:
    """Everything that makes one language differ from another, except chance.

    Parameters
    ----------
    phonology : Phonology
        Its letters.
    shared_words, shared_names : float
        Share of the words and of the names that have the same form as in the source language.
    order : dict
        Role -> place, as `ORDER`.
    alternatives : dict
        Role -> another place that the language allows.
    inflection : dict
        What inflects ("noun", "adjective", "verb") -> the features it marks with a suffix, in their order.
    articles : dict
        "definite", "indefinite" present: said with an article before the noun.
    gendered_articles : bool
        Articles agree with the gender of their noun.
    contractions : int
        So many of the most frequent adpositions merge with a following definite article.
    """

    phonology: Phonology
    shared_words: float = 0.0
    shared_names: float = 0.0
    order: dict[str, int] = field(default_factory=lambda: dict(ORDER))
    alternatives: dict[str, int] = field(default_factory=dict)
    inflection: dict[str, tuple[str, ...]] = field(default_factory=dict)
    articles: tuple[str, ...] = ("definite", "indefinite")
    gendered_articles: bool = False
    contractions: int = 0

    def with_shared_words(self, share: float) -> Typology:
        """The same language with another share of words that are spelt as in the source; of names, twice that."""
        return replace(self, shared_words=share, shared_names=min(1.0, 2 * share))


NOUN_ADJECTIVE = {"quality": 1, "degree": 1}
VERB_FINAL = {
    "closer": -1,
    "negation": -2,
    "manner": -2,
    "object": -4,
    "oblique": -3,
    "complement": -5,
    "subject": -7,
    "focus": -6,
    "time": -8,
    "opener": -9,
    "subordinator": 7,
    "adposition": 5,
    "attribute": -7,
    "name_part": -1,
}

LANGUAGES: dict[str, Typology] = {
    "qaa": Typology(
        Phonology(onsets="ptksmnlr", vowels="aeiou"),
        shared_words=1.0,
        shared_names=1.0,
        alternatives={"time": 7, "manner": -1, "oblique": -7},
        inflection={"noun": ("plural",), "verb": ("past",)},
        gendered_articles=True,
    ),
    "qab": Typology(
        Phonology(onsets="bdgmnlvz", vowels="aeiou"),
        shared_words=0.25,
        shared_names=0.5,
        alternatives={"time": 7, "manner": -1},
        inflection={"noun": ("plural",), "adjective": ("plural",), "verb": ("past",)},
        gendered_articles=True,
        contractions=2,
    ),
    "qac": Typology(
        Phonology(onsets="bdfghjkz", vowels="aiouy", codas="nsr", closed=0.3),
        shared_words=0.12,
        shared_names=0.3,
        order=ORDER | NOUN_ADJECTIVE,
        alternatives={"time": 7},
        inflection={"noun": ("plural", "definite"), "adjective": ("plural",), "verb": ("past", "subject_plural")},
        articles=("indefinite",),
    ),
    "qad": Typology(
        Phonology(onsets="бвгджзклмнпрстхцчш", vowels="аеиоуэ", codas="нрл", closed=0.3),
        shared_words=0.05,
        shared_names=0.1,
        order=ORDER | VERB_FINAL,
        alternatives={"time": -4},
        inflection={"noun": ("plural", "accusative"), "verb": ("negative", "past")},
        articles=(),
    ),
}
"""`qaa` is the source; `qab` close, `qac` further, `qad` distant."""
