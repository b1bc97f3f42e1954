"""Habits: which constructions a word likes, whatever the topic.

A noun that is mostly plural, a verb that is mostly negated, an adverb of time that goes with the past: such habits
are the same in all languages that say the same things, and they tell words of one topic and category apart.
"""

from __future__ import annotations

import numpy as np

from fairseq_xling.lab.concepts import Inventory
from fairseq_xling.lab.topics import SWITCHES

WEIGHT = 0.6
"""Share of the word in the probability of a construction; the rest is the topic's."""

HABITS: dict[str, dict[str, tuple[float, float]]] = {
    "noun": {
        "plural": (0.03, 0.6),
        "subject_definite": (0.1, 0.95),
        "object_definite": (0.05, 0.9),
        "subject_quality": (0.1, 0.8),
        "object_quality": (0.1, 0.8),
    },
    "verb": {"negation": (0.02, 0.6), "manner": (0.05, 0.8), "past": (0.05, 0.8)},
    "adjective": {"degree": (0.05, 0.7)},
}
"""Word class -> construction -> its probability for words that avoid it, and for those that like it."""


def draw_rates(
    rng: np.random.Generator, inventory: Inventory, constructions: list[dict[str, float]]
) -> dict[str, list[list[float]]]:
    """Probability of each construction, by topic and by the word that it is used with.

    Peers (words that could take each other's place) get different sets of habits, as long as there are enough sets.

    Parameters
    ----------
    constructions : list of dict
        For each topic the probability of each construction.

    Returns
    -------
    dict
        Construction -> table, topics x concepts.
    """
    rates = {name: np.array([[topic[name]] * len(inventory) for topic in constructions]) for name in SWITCHES}
    for peers in inventory.peers():
        habits = HABITS.get(inventory.word_class[peers[0]], {})
        codes = rng.permutation(2 ** len(habits))[np.arange(len(peers)) % 2 ** len(habits)]
        for bit, (name, bounds) in enumerate(habits.items()):
            own = np.where(codes >> bit & 1, bounds[1], bounds[0])
            rates[name][:, peers] = (1 - WEIGHT) * rates[name][:, peers] + WEIGHT * own
    return {name: table.tolist() for name, table in rates.items()}
