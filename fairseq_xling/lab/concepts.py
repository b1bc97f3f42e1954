"""The inventory of concepts: word classes, categories, genders, frames, preferences."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

CATEGORIES = ("person", "animal", "thing", "place", "food", "abstract")
CATEGORY_SHARES = np.array([26, 20, 18, 14, 10, 8]) / 96
FRAMES = ("intransitive", "transitive", "transitive_oblique", "reporting")
GENDERS = ("common", "animate", "neuter")

OPEN_CLASSES = {"noun": 72, "adjective": 28, "verb": 40, "time": 6, "manner": 8, "degree": 4}
NAME_CLASSES = {
    "given_name": 8,
    "family_name": 4,
    "place_name": 8,
    "company_name": 4,
    "place_kind": 2,
    "company_kind": 2,
}
CLOSED_CLASSES = {
    "article": 2,
    "adposition": 8,
    "negation": 1,
    "subordinator": 1,
    "opener": 1,
    "focus": 1,
    "closer": 1,
    "numeral": 4,
    "question_mark": 1,
}
NUMERALS = ("2", "3", "4", "10")

UPOS = {
    "noun": "NOUN",
    "adjective": "ADJ",
    "verb": "VERB",
    "time": "ADV",
    "manner": "ADV",
    "degree": "ADV",
    "given_name": "PROPN",
    "family_name": "PROPN",
    "place_name": "PROPN",
    "company_name": "PROPN",
    "place_kind": "PROPN",
    "company_kind": "PROPN",
    "article": "DET",
    "adposition": "ADP",
    "negation": "PART",
    "subordinator": "SCONJ",
    "opener": "PART",
    "focus": "PART",
    "closer": "PART",
    "numeral": "NUM",
    "question_mark": "PUNCT",
}
"""Class of a concept -> part of speech of Universal Dependencies."""

ENTITY = {"given_name": "PER", "family_name": "PER", "place_name": "LOC", "company_name": "ORG"}
"""Class of the head of a name -> type of the entity."""

ADPOSITION_CATEGORY = (3, 2, 0, 3, 4, 5, 1, 2)
"""Each adposition governs nouns of one category."""


@dataclass(frozen=True)
class Inventory:
    """All concepts of a world, numbered from 0, class by class.

    Parameters
    ----------
    word_class : tuple of str
        Class of each concept.
    category : tuple of int
        Category of a noun, the category an adjective goes with; -1 elsewhere.
    gender : tuple of int
        Gender of a noun or name; -1 elsewhere.
    frame : tuple of int
        Frame of a verb; -1 elsewhere.
    antonym : tuple of int
        The opposite of an adjective or verb, -1 where there is none.
    subject_preference, object_preference : dict
        Verb -> probability of each category as its subject or object.
    """

    word_class: tuple[str, ...]
    category: tuple[int, ...]
    gender: tuple[int, ...]
    frame: tuple[int, ...]
    antonym: tuple[int, ...]
    subject_preference: dict[int, np.ndarray]
    object_preference: dict[int, np.ndarray]
    _members: dict[str, range] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.word_class)

    def members(self, word_class: str) -> range:
        """Concepts of a class."""
        return self._members[word_class]

    def peers(self) -> list[list[int]]:
        """Concepts that could take each other's place: nouns of a category, verbs of a frame, words of a class."""
        groups: dict[tuple[str, int, int], list[int]] = {}
        for concept, word_class in enumerate(self.word_class):
            key = (word_class, self.category[concept], self.frame[concept])
            groups.setdefault(key, []).append(concept)
        return list(groups.values())


def draw_inventory(rng: np.random.Generator, size: float) -> Inventory:
    """Draw the concepts of a world; open classes and names grow with `size` (1: about 200 concepts)."""
    counts = {name: max(2, 2 * round(n * size / 2)) for name, n in (OPEN_CLASSES | NAME_CLASSES).items()}
    counts |= CLOSED_CLASSES
    members: dict[str, range] = {}
    start = 0
    for name, count in counts.items():
        members[name] = range(start, start + count)
        start += count
    category, gender, frame, antonym = ([-1] * start for _ in range(4))
    _draw_nouns(rng, members, category, gender)
    for first, second in _pairs(members["adjective"]):
        category[first] = category[second] = int(rng.choice(len(CATEGORIES), p=CATEGORY_SHARES))
        antonym[first], antonym[second] = second, first
    verb_frames = np.repeat(
        np.arange(4), np.diff([0, *np.round(np.cumsum([0.3, 0.35, 0.2, 0.15]) * len(members["verb"]) / 2)]).astype(int)
    )
    subject_preference, object_preference = {}, {}
    for (first, second), verb_frame in zip(_pairs(members["verb"]), verb_frames):
        antonym[first], antonym[second] = second, first
        for verb in (first, second):
            frame[verb] = int(verb_frame)
            subject_preference[verb] = 0.9 * rng.dirichlet(1.5 * CATEGORY_SHARES + 0.02) + 0.1 * CATEGORY_SHARES
            object_preference[verb] = 0.95 * rng.dirichlet(np.full(6, 0.25)) + 0.05 / 6
    classes = tuple(name for name, ids in members.items() for _ in ids)
    return Inventory(
        classes,
        tuple(category),
        tuple(gender),
        tuple(frame),
        tuple(antonym),
        subject_preference,
        object_preference,
        members,
    )


def _draw_nouns(rng: np.random.Generator, members: dict[str, range], category: list[int], gender: list[int]) -> None:
    nouns = members["noun"]
    bounds = np.round(np.cumsum(CATEGORY_SHARES) * len(nouns)).astype(int)
    shuffled = rng.permutation(np.repeat(np.arange(len(CATEGORIES)), np.diff([0, *bounds])))
    for noun, value in zip(nouns, shuffled):
        category[noun] = int(value)
    for name in ("noun", *NAME_CLASSES):
        for concept in members[name]:
            gender[concept] = int(rng.choice(3, p=[0.5, 0.3, 0.2]))


def _pairs(concepts: range) -> list[tuple[int, int]]:
    return [(concepts[i], concepts[i + 1]) for i in range(0, len(concepts) - 1, 2)]
