"""Pairs of meanings that entail, contradict or leave each other open.

Convention, as in SNLI: both sentences speak of the same event and of the same things. What is said of the subject
holds with and without negation; the rest of the clause is what a negation denies.

- Leaving out a modifier makes an entailed sentence, adding one (or putting another adjective) one that is left open.
  Under negation only the subject's modifiers are changed, because there the rest works the other way round.
- Saying the opposite contradicts: with or without the negation, a verb's antonym, or an adjective's antonym.

Neutral and contradicting hypotheses leave out modifiers too, so that length alone does not give the label away.
"""

from __future__ import annotations

import random

from fairseq_xling.lab.concepts import CATEGORIES, FRAMES
from fairseq_xling.lab.meaning import QUESTION, Meaning, Node
from fairseq_xling.lab.world import World

LABELS = ("entailment", "neutral", "contradiction")
MODIFIERS = ("quality", "degree", "time", "manner", "attribute", "oblique", "count")
LONGEST = 8
"""Concepts in a premise at most: a pair is then hardly longer than a long sentence of text."""
DROPPED = 0.3
"""Share of the modifiers that a hypothesis leaves out besides what makes its label."""


def draw_pair(world: World, rng: random.Random, label: str) -> tuple[Meaning, Meaning]:
    """Draw a premise and a hypothesis that stand in the relation `label`."""
    edit = {"entailment": _entail, "neutral": _leave_open, "contradiction": _contradict}[label]
    while True:
        premise = _premise(world, rng)
        if premise is None:
            continue
        hypothesis = premise.copy()
        if edit(world, rng, hypothesis):
            return premise, hypothesis


def modifiers(node: Node) -> list[tuple[Node, Node]]:
    """All (head, modifier) below a node."""
    return [(head, child) for head in node.walk() for child in head.children if child.role in MODIFIERS]


def _premise(world: World, rng: random.Random) -> Meaning | None:
    """A short statement, or None if the draw is a question or reports what somebody says."""
    meaning = world.meaning(rng)
    root = meaning.root
    if FRAMES[world.inventory.frame[root.concept]] == "reporting" or QUESTION in root.marks:
        return None
    root.children = [child for child in root.children if child.role not in ("opener", "focus", "closer")]
    while sum(1 for _ in root.walk()) > LONGEST:
        found = modifiers(root)
        if not found:
            return None
        _remove(*rng.choice(found))
    return meaning


def _remove(head: Node, child: Node) -> None:
    head.children = [other for other in head.children if other is not child]


def _scope(root: Node) -> Node:
    """Where leaving out weakens and adding strengthens: the whole clause, under negation the subject."""
    subject = root.child("subject")
    return root if root.child("negation") is None or subject is None else subject


def _drop(root: Node, rng: random.Random, keep: Node | None = None) -> None:
    """Leave out some modifiers, but none that `keep` belongs to."""
    for head, child in modifiers(_scope(root)):
        if rng.random() < DROPPED and not any(node is keep for node in child.walk()):
            _remove(head, child)


def _entail(world: World, rng: random.Random, hypothesis: Meaning) -> bool:
    found = modifiers(_scope(hypothesis.root))
    if not found:
        return False
    _remove(*rng.choice(found))
    _drop(hypothesis.root, rng)
    return True


def _leave_open(world: World, rng: random.Random, hypothesis: Meaning) -> bool:
    root = hypothesis.root
    free: list[tuple[Node, str]] = []
    for node in _scope(root).walk():
        if world.inventory.word_class[node.concept] == "noun":
            free.append((node, "quality"))
        elif node.role == "quality" and node.child("degree") is None:
            free.append((node, "degree"))
        elif node is root:
            free += [(root, role) for role in ("time", "manner", "oblique") if root.child(role) is None]
    if not free:
        return False
    head, role = rng.choice(free)
    if role == "quality":
        added = _qualify(world, rng, hypothesis.topic, head)
    elif role == "oblique":
        added = world.adpositional_phrase(hypothesis.topic, role, rng)
        added.children = [child for child in added.children if child.role in ("adposition", "name_part")]
    else:
        added = Node(world.draw((role, hypothesis.topic), rng), role)
    head.children.append(added)
    _drop(root, rng, keep=added)
    return True


def _qualify(world: World, rng: random.Random, topic: int, noun: Node) -> Node:
    """An adjective for a noun; one it has already gives way, and the new one is neither the same nor its opposite."""
    old = noun.child("quality")
    excluded: set[int] = set()
    if old is not None:
        excluded = {old.concept, world.inventory.antonym[old.concept]}
        _remove(noun, old)
    category = world.inventory.category[noun.concept]
    adjective = world.draw(("adjective", topic, category), rng)
    while adjective in excluded:
        anywhere = rng.randrange(len(world.topics)), rng.randrange(len(CATEGORIES))
        adjective = world.draw(("adjective", *anywhere), rng)
    return Node(adjective, "quality")


def _contradict(world: World, rng: random.Random, hypothesis: Meaning) -> bool:
    root, way = hypothesis.root, rng.random()
    negation = root.child("negation")
    if way < 0.5:
        _drop(root, rng)
        if negation is None:
            root.children.append(Node(world.inventory.members("negation")[0], "negation"))
        else:
            _remove(root, negation)
        return True
    if way < 0.75:
        if negation is not None:
            return False
        changed = root
    else:
        qualities = [node for node in _scope(root).walk() if node.role == "quality"]
        if not qualities:
            return False
        changed = rng.choice(qualities)
    changed.concept = world.inventory.antonym[changed.concept]
    _drop(root, rng, keep=changed)
    return True
