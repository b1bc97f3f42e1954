"""Pairs of meanings that entail, contradict or leave each other open.

Convention, as in SNLI: both sentences speak of the same event and of the same things.

- Leaving out a modifier makes an entailed sentence, adding one (or another one) a sentence that is left open.
  Under negation this holds for what belongs to the subject only, so only that is changed there.
- Saying the opposite contradicts: with or without the negation, a verb's antonym, or an adjective's antonym.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from fairseq_xling.lab.concepts import CATEGORIES
from fairseq_xling.lab.meaning import QUESTION, Meaning, Node
from fairseq_xling.lab.world import World

LABELS = ("entailment", "neutral", "contradiction")
LONGEST = 8
"""Words of a premise at most, articles and the full stop not counted: a pair is then about as long as a sentence of text."""

MODIFIERS = ("quality", "degree", "time", "manner", "attribute", "oblique", "count")
REPORTING = 3


def draw_pair(world: World, rng: random.Random, label: str) -> tuple[Meaning, Meaning]:
    """Draw a premise and a hypothesis that stand in the relation `label`."""
    edit = {"entailment": _entailed, "neutral": _left_open, "contradiction": _contradicted}[label]
    while True:
        premise = _premise(world, rng)
        hypothesis = None if premise is None else edit(world, rng, premise)
        if premise is not None and hypothesis is not None:
            return premise, hypothesis


def modifiers(node: Node) -> list[tuple[Node, Node]]:
    """All (head, modifier) below a node."""
    return [(head, child) for head in node.walk() for child in head.children if child.role in MODIFIERS]


def _premise(world: World, rng: random.Random) -> Meaning | None:
    meaning = world.meaning(rng)
    root = meaning.root
    if world.inventory.frame[root.concept] == REPORTING or QUESTION in root.marks:
        return None
    root.children = [child for child in root.children if child.role not in ("opener", "focus", "closer")]
    while sum(1 for _ in root.walk()) - 1 > LONGEST:
        found = modifiers(root)
        if not found:
            return None
        _remove(*rng.choice(found))
    return meaning


def _remove(head: Node, child: Node) -> None:
    head.children = [other for other in head.children if other is not child]


def _open_to_change(root: Node) -> Node:
    """The part of the clause where leaving out and adding have their usual effect."""
    subject = root.child("subject")
    return subject if root.child("negation") is not None and subject is not None else root


def _drop_some(root: Node, rng: random.Random, share: float, at_least: int = 0) -> bool:
    """Leave out each modifier with probability `share`; False if there are fewer than `at_least`."""
    found = modifiers(_open_to_change(root))
    if len(found) < at_least:
        return False
    rng.shuffle(found)
    for number, (head, child) in enumerate(found):
        if number < at_least or rng.random() < share:
            _remove(head, child)
    return True


def _entailed(world: World, rng: random.Random, premise: Meaning) -> Meaning | None:
    hypothesis = premise.copy()
    return hypothesis if _drop_some(hypothesis.root, rng, 0.3, at_least=1) else None


def _left_open(world: World, rng: random.Random, premise: Meaning) -> Meaning | None:
    hypothesis = premise.copy()
    root, where = hypothesis.root, _open_to_change(hypothesis.root)
    options: list[Callable[[], None]] = []
    for node in where.walk():
        category = world.inventory.category[node.concept]
        if world.inventory.word_class[node.concept] == "noun":
            options.append(lambda node=node, category=category: _qualify(world, rng, hypothesis.topic, node, category))
        elif node.role == "quality" and node.child("degree") is None:
            options.append(lambda node=node: _add(world, rng, hypothesis.topic, node, "degree"))
    if where is root:
        for role in ("time", "manner"):
            if root.child(role) is None:
                options.append(lambda role=role: _add(world, rng, hypothesis.topic, root, role))
        if root.child("oblique") is None:
            options.append(lambda: root.children.append(_oblique(world, rng, hypothesis.topic)))
    if not options:
        return None
    _drop_some(root, rng, 0.3)
    kept = {id(node) for node in where.walk()}
    added = sum(1 for _ in where.walk())
    rng.choice(options)()
    # an option may have changed a node that was left out a moment ago
    if {id(node) for node in where.walk()} == kept and sum(1 for _ in where.walk()) == added:
        return None
    return hypothesis


def _add(world: World, rng: random.Random, topic: int, head: Node, role: str) -> None:
    head.children.append(Node(world.draw((role, topic), rng), role))


def _oblique(world: World, rng: random.Random, topic: int) -> Node:
    phrase = world.adpositional_phrase(topic, "oblique", rng)
    phrase.children = [child for child in phrase.children if child.role in ("adposition", "name_part")]
    return phrase


def _qualify(world: World, rng: random.Random, topic: int, noun: Node, category: int) -> None:
    """Give a noun an adjective, or another one that is neither the same nor its opposite."""
    old = noun.child("quality")
    excluded = set() if old is None else {old.concept, world.inventory.antonym[old.concept]}
    adjective = world.draw(("adjective", topic, category), rng)
    while adjective in excluded:
        adjective = world.draw(("adjective", rng.randrange(len(world.topics)), rng.randrange(len(CATEGORIES))), rng)
    if old is not None:
        _remove(noun, old)
    noun.children.append(Node(adjective, "quality"))


def _contradicted(world: World, rng: random.Random, premise: Meaning) -> Meaning | None:
    hypothesis = premise.copy()
    root = hypothesis.root
    _drop_some(root, rng, 0.3)
    kind = rng.random()
    if kind < 0.5:
        negation = root.child("negation")
        if negation is None:
            root.children.append(Node(world.inventory.members("negation")[0], "negation"))
        else:
            _remove(root, negation)
        return hypothesis
    if kind < 0.75:
        if root.child("negation") is not None:
            return None
        root.concept = world.inventory.antonym[root.concept]
        return hypothesis
    qualities = [node for node in _open_to_change(root).walk() if node.role == "quality"]
    if not qualities:
        return None
    chosen = rng.choice(qualities)
    chosen.concept = world.inventory.antonym[chosen.concept]
    return hypothesis
