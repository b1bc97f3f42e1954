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

CANDIDATES = 3000
FRAME_DISTANCE = 3
"""A different favourite frame counts as much as so many switches."""

AWAY = 0.03
"""Weight of a word outside its home topic."""
SECOND_HOME = 0.4
"""Share of the words that are at home, a little, in a second topic."""


@dataclass(frozen=True)
class Topic:
    """How a topic speaks: probability of each construction and of each verb frame."""

    construction: dict[str, float]
    frames: tuple[float, ...]


def draw_topics(rng: np.random.Generator, count: int) -> list[Topic]:
    """Draw `count` structural signatures, each the farthest from those before it among many candidates."""
    frames, switches = np.zeros(count, int), np.zeros((count, len(SWITCHES)), bool)
    for number in range(count):
        candidate_frames = rng.integers(len(FRAMES), size=CANDIDATES)
        candidates = rng.random((CANDIDATES, len(SWITCHES))) < 0.5
        distance = FRAME_DISTANCE * (candidate_frames[:, None] != frames[:number])
        distance = distance + (candidates[:, None] != switches[:number]).sum(2)
        best = int(distance.min(1, initial=len(SWITCHES) + FRAME_DISTANCE).argmax())
        frames[number], switches[number] = candidate_frames[best], candidates[best]
    topics = []
    for frame, on in zip(frames, switches):
        construction = {name: bounds[int(high)] for (name, bounds), high in zip(SWITCHES.items(), on)}
        topics.append(Topic(construction, tuple(0.85 if f == frame else 0.05 for f in range(len(FRAMES)))))
    return topics


def draw_affinity(rng: np.random.Generator, inventory: Inventory, topic_weights: np.ndarray) -> np.ndarray:
    """Weight of each concept in each topic: Zipf within its class, strong at home and weak elsewhere.

    Peers (concepts that could take each other's place) are spread over the topics, larger topics getting more.

    Returns
    -------
    array, shape (concepts, topics)
    """
    topics = len(topic_weights)
    share = np.cumsum(np.sqrt(topic_weights) / np.sqrt(topic_weights).sum())
    affinity = np.full((len(inventory), topics), AWAY)
    for peers in inventory.peers():
        points = (rng.permutation(len(peers)) + rng.random()) / len(peers)
        affinity[peers, np.minimum(np.searchsorted(share, points), topics - 1)] = 1
        second = rng.random(len(peers)) < SECOND_HOME
        affinity[np.array(peers)[second], rng.integers(topics, size=second.sum())] += 0.25
    for name in dict.fromkeys(inventory.word_class):
        members = inventory.members(name)
        affinity[members.start : members.stop] /= np.arange(len(members))[:, None] + 2.7
    return affinity
