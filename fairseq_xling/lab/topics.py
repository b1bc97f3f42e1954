"""Topics: what is spoken of (which words are at home) and how (which constructions are used).

Words can be aligned across languages without a common string only if topics differ in construction: told apart
by their words alone, topics could be exchanged for one another without changing the statistics of the text.
So each topic switches every construction either on (often used) or off (rarely used), and the codes are far apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fairseq_xling.lab.concepts import FRAMES, Inventory

SWITCHES: dict[str, tuple[float, float]] = {
    "time": (0.04, 0.85),
    "subject_quality": (0.1, 0.85),
    "object_quality": (0.1, 0.85),
    "name": (0.05, 0.7),
    "question": (0.02, 0.7),
    "negation": (0.03, 0.6),
    "manner": (0.08, 0.8),
    "degree": (0.1, 0.7),
    "attribute": (0.02, 0.4),
    "subject_definite": (0.1, 0.95),
    "object_definite": (0.05, 0.9),
    "opener": (0.02, 0.8),
    "focus": (0.02, 0.8),
    "closer": (0.02, 0.8),
    "plural": (0.04, 0.45),
    "past": (0.04, 0.8),
    "count": (0.0, 0.3),
}
"""Construction -> probability where the topic avoids it, and where it likes it."""

AWAY = 0.03
"""Weight of a word outside its home topic."""


@dataclass(frozen=True)
class Topic:
    """How a topic speaks: probability of each construction and of each verb frame."""

    construction: dict[str, float]
    frames: tuple[float, ...]


def draw_topics(rng: np.random.Generator, count: int) -> list[Topic]:
    """Draw `count` structural signatures, each as far as can be found from those before it."""
    codes: list[tuple[int, np.ndarray]] = []
    for number in range(count):
        candidates = [
            (int(rng.integers(len(FRAMES))), rng.random(len(SWITCHES)) < 0.5) for _ in range(3000 if number else 1)
        ]
        codes.append(max(candidates, key=lambda code: min((_distance(code, other) for other in codes), default=0)))
    topics = []
    for frame, on in codes:
        construction = {name: bounds[int(high)] for (name, bounds), high in zip(SWITCHES.items(), on)}
        topics.append(Topic(construction, tuple(0.85 if f == frame else 0.05 for f in range(len(FRAMES)))))
    return topics


def _distance(a: tuple[int, np.ndarray], b: tuple[int, np.ndarray]) -> int:
    return 3 * (a[0] != b[0]) + int((a[1] != b[1]).sum())


def draw_affinity(rng: np.random.Generator, inventory: Inventory, topic_weights: np.ndarray) -> np.ndarray:
    """Weight of each concept in each topic: Zipf within its class, strong at home and weak elsewhere.

    Returns
    -------
    array, shape (concepts, topics)
    """
    topics = len(topic_weights)
    home = np.sqrt(topic_weights) / np.sqrt(topic_weights).sum()
    affinity = np.full((len(inventory), topics), AWAY)
    for concept in range(len(inventory)):
        affinity[concept, rng.choice(topics, p=home)] = 1
        if rng.random() < 0.4:
            affinity[concept, rng.integers(topics)] += 0.25
    for name in dict.fromkeys(inventory.word_class):
        members = inventory.members(name)
        affinity[members.start : members.stop] /= np.arange(len(members))[:, None] + 2.7
    return affinity
