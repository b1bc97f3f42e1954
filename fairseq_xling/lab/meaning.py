"""What a sentence says, before any language has said it: a tree of concepts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

DEFINITE, PLURAL, PAST, QUESTION = "definite", "plural", "past", "question"

UD_RELATION = {
    "root": "root",
    "subject": "nsubj",
    "object": "obj",
    "oblique": "obl",
    "complement": "ccomp",
    "article": "det",
    "quality": "amod",
    "degree": "advmod",
    "count": "nummod",
    "attribute": "nmod",
    "adposition": "case",
    "time": "advmod",
    "manner": "advmod",
    "negation": "advmod",
    "subordinator": "mark",
    "opener": "discourse",
    "focus": "discourse",
    "closer": "discourse",
    "name_part": "flat",
    "punctuation": "punct",
}
"""Role in the clause -> relation of Universal Dependencies."""


@dataclass(slots=True)
class Node:
    """A concept in its place: its role towards the node above, its grammatical marks, and what depends on it.

    `marks` is a subset of {"definite", "plural", "past", "question"}: what the speaker says with grammar
    instead of words. A node has at most one child of a role, but a name may have several parts.
    """

    concept: int
    role: str
    marks: frozenset[str] = frozenset()
    children: list[Node] = field(default_factory=list)

    def child(self, role: str) -> Node | None:
        """The child in this role, or None."""
        for node in self.children:
            if node.role == role:
                return node
        return None

    def walk(self) -> Iterator[Node]:
        """This node and all below it, heads first."""
        yield self
        for node in self.children:
            yield from node.walk()

    def copy(self) -> Node:
        """A deep copy."""
        return Node(self.concept, self.role, self.marks, [node.copy() for node in self.children])


@dataclass(slots=True)
class Meaning:
    """A clause tree and the topic it was drawn from."""

    topic: int
    root: Node

    def copy(self) -> Meaning:
        """A deep copy."""
        return Meaning(self.topic, self.root.copy())
