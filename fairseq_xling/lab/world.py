"""The invented world: draws meanings, with no word of any language in them."""

from __future__ import annotations

import random
from bisect import bisect
from itertools import accumulate

import numpy as np

from fairseq_xling.formats.errors import InputError
from fairseq_xling.lab.concepts import ADPOSITION_CATEGORY, CATEGORIES, FRAMES, draw_inventory
from fairseq_xling.lab.habits import draw_rates
from fairseq_xling.lab.meaning import DEFINITE, PAST, PLURAL, QUESTION, Meaning, Node
from fairseq_xling.lab.topics import draw_affinity, draw_topics

DOMAINS = ("wiki", "cc")
PERSON, PLACE = CATEGORIES.index("person"), CATEGORIES.index("place")
SMALLEST = 0.11
"""Scale of the vocabulary: below it a category has no noun, or an adjective no other than its opposite."""
ADJECTIVE_AWAY = 0.03
"""Weight of an adjective with a noun of another category than its own."""

_NP_MARKS = {(d, p): frozenset([DEFINITE] * d + [PLURAL] * p) for d in (0, 1) for p in (0, 1)}
_CLAUSE_MARKS = {(t, q): frozenset([PAST] * t + [QUESTION] * q) for t in (0, 1) for q in (0, 1)}


class World:
    """Concepts, topics and preferences, all drawn from a seed.

    Parameters
    ----------
    seed : int
        Equal seeds make equal worlds.
    size : float
        Scale of the open word classes, at least 0.11; 1 gives about 200 concepts.
    topics : int
        Number of topics.

    Attributes
    ----------
    inventory : Inventory
    topics : list of Topic
    cognateness : list of float
        For each concept a number in [0, 1): languages that share words share those with the lowest numbers.
    """

    def __init__(self, seed: int = 1, size: float = 1.0, topics: int = 12):
        if size < SMALLEST:
            raise InputError(f"a vocabulary of size {size}: expected at least {SMALLEST}")
        rng = np.random.default_rng([seed, 1])
        self.inventory = draw_inventory(rng, size)
        self.topics = draw_topics(np.random.default_rng([seed, 2]), topics)
        weights = 1 / (np.arange(topics) + 1.5)
        weights /= weights.sum()
        affinity = draw_affinity(rng, self.inventory, weights)
        self.cognateness: list[float] = np.random.default_rng([seed, 3]).random(len(self.inventory)).tolist()
        constructions = [topic.construction for topic in self.topics]
        self._rates = draw_rates(np.random.default_rng([seed, 4]), self.inventory, constructions)
        self._tables: dict[tuple, tuple[list[int], list[float]]] = {}
        self._tabulate(("topic", "wiki"), range(topics), weights)
        self._tabulate(("topic", "cc"), range(topics), weights[::-1])
        for topic in range(topics):
            self._tabulate_topic(topic, affinity[:, topic])
        categories = range(len(CATEGORIES))
        for verb in self.inventory.members("verb"):
            self._tabulate(("subject", verb), categories, self.inventory.subject_preference[verb])
            self._tabulate(("object", verb), categories, self.inventory.object_preference[verb])

    def _tabulate(self, key: tuple, items, weights) -> None:
        weights = np.asarray(weights, dtype=float)
        cumulative = list(accumulate((weights / weights.sum()).tolist()))
        cumulative[-1] = 1.0
        self._tables[key] = (list(items), cumulative)

    def _tabulate_topic(self, topic: int, affinity: np.ndarray) -> None:
        inventory = self.inventory
        category, frame = np.array(inventory.category), np.array(inventory.frame)
        nouns, adjectives, verbs = (np.array(inventory.members(name)) for name in ("noun", "adjective", "verb"))
        for c in range(len(CATEGORIES)):
            members = nouns[category[nouns] == c]
            self._tabulate(("noun", topic, c), members.tolist(), affinity[members])
            fit = np.where(category[adjectives] == c, 1, ADJECTIVE_AWAY)
            self._tabulate(("adjective", topic, c), adjectives.tolist(), affinity[adjectives] * fit)
        has_frame = [bool((frame[verbs] == f).any()) for f in range(len(FRAMES))]
        self._tabulate(("frame", topic), range(len(FRAMES)), np.array(self.topics[topic].frames) * has_frame)
        for f in np.flatnonzero(has_frame).tolist():
            members = verbs[frame[verbs] == f]
            self._tabulate(("verb", topic, f), members.tolist(), affinity[members])
        for name in dict.fromkeys(inventory.word_class):
            members = inventory.members(name)
            weights = 1 / (np.arange(len(members)) + 1.5) if name == "adposition" else affinity[list(members)]
            self._tabulate((name, topic), members, weights)

    def draw(self, key: tuple, rng: random.Random) -> int:
        """Draw from one of the world's tables, for instance ``("noun", topic, category)``."""
        items, cumulative = self._tables[key]
        return items[bisect(cumulative, rng.random())]

    def meaning(self, rng: random.Random, domain: str = "wiki") -> Meaning:
        """Draw what a sentence says: first a topic, with its frequency in the domain, then a clause about it."""
        topic = self.draw(("topic", domain), rng)
        return Meaning(topic, self._clause(topic, rng, "root"))

    def _clause(self, topic: int, rng: random.Random, role: str) -> Node:
        likes, rates, chance, draw = self.topics[topic].construction, self._rates, rng.random, self.draw
        main = role == "root"
        frame = draw(("frame", topic), rng)
        if not main and frame == 3:
            frame = 1
        verb = draw(("verb", topic, frame), rng)
        question = main and chance() < likes["question"]
        children = []
        if main and chance() < likes["opener"]:
            children.append(self._word("opener", topic, rng))
        if not main:
            children.append(self._word("subordinator", topic, rng))
        if main and chance() < likes["time"]:
            children.append(self._word("time", topic, rng))
        children.append(self.noun_phrase(topic, draw(("subject", verb), rng), "subject", rng))
        if main and chance() < likes["focus"]:
            children.append(self._word("focus", topic, rng))
        if chance() < rates["negation"][topic][verb]:
            children.append(self._word("negation", topic, rng))
        if main and chance() < likes["closer"]:
            children.append(self._word("closer", topic, rng))
        if chance() < rates["manner"][topic][verb]:
            children.append(self._word("manner", topic, rng))
        if frame in (1, 2):
            children.append(self.noun_phrase(topic, draw(("object", verb), rng), "object", rng))
        if frame == 2:
            children.append(self.adpositional_phrase(topic, "oblique", rng))
        if frame == 3:
            children.append(self._clause(topic, rng, "complement"))
        if question:
            children.append(Node(self.inventory.members("question_mark")[0], "punctuation"))
        return Node(verb, role, _CLAUSE_MARKS[chance() < rates["past"][topic][verb], question], children)

    def _word(self, role: str, topic: int, rng: random.Random) -> Node:
        return Node(self.draw((role, topic), rng), role)

    def adpositional_phrase(self, topic: int, role: str, rng: random.Random) -> Node:
        """Draw a noun phrase with an adposition, as oblique or as attribute of a noun."""
        adposition = self.draw(("adposition", topic), rng)
        category = ADPOSITION_CATEGORY[adposition - self.inventory.members("adposition").start]
        phrase = self.noun_phrase(topic, category, role, rng)
        phrase.children.insert(0, Node(adposition, "adposition"))
        return phrase

    def noun_phrase(self, topic: int, category: int, role: str, rng: random.Random) -> Node:
        """Draw a noun of the category with its dependents, or a name."""
        likes, rates, chance, draw = self.topics[topic].construction, self._rates, rng.random, self.draw
        if category in (PERSON, PLACE) and chance() < likes["name"]:
            return self.name(topic, category, role, rng)
        noun = draw(("noun", topic, category), rng)
        subject = role == "subject"
        plural = chance() < rates["plural"][topic][noun]
        definite = chance() < rates["subject_definite" if subject else "object_definite"][topic][noun]
        children = []
        if plural and chance() < likes["count"]:
            children.append(Node(draw(("numeral", topic), rng), "count"))
        if chance() < rates["subject_quality" if subject else "object_quality"][topic][noun]:
            quality = Node(draw(("adjective", topic, category), rng), "quality")
            if chance() < rates["degree"][topic][quality.concept]:
                quality.children.append(self._word("degree", topic, rng))
            children.append(quality)
        if role == "subject" and chance() < likes["attribute"]:
            children.append(self.adpositional_phrase(topic, "attribute", rng))
        return Node(noun, role, _NP_MARKS[definite, plural], children)

    def name(self, topic: int, category: int, role: str, rng: random.Random) -> Node:
        """Draw a name, often of several words: a person or company where persons act, or a place."""
        if category == PLACE:
            head, part = "place_name", "place_kind"
        elif rng.random() < 0.3:
            head, part = "company_name", "company_kind"
        else:
            head, part = "given_name", "family_name"
        parts = [Node(self.draw((part, topic), rng), "name_part")] if rng.random() < 0.4 else []
        return Node(self.draw((head, topic), rng), role, frozenset(), parts)
