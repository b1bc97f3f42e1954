"""Entailment labels against a brute-force semantics: all worlds that make the premise true."""

from __future__ import annotations

import random
from collections import Counter
from itertools import product

import pytest

from fairseq_xling.lab.entailment import LABELS, LONGEST, draw_pair


def atoms(node, path=()):
    """The facts a subtree claims, as (place in the clause, concept)."""
    here = (*path, node.role)
    facts = {(here, node.concept)}
    for child in node.children:
        if child.role not in ("negation", "punctuation"):
            facts |= atoms(child, here)
    return facts


def claim(meaning):
    """Facts about the subject, facts about the rest of the clause, whether the latter are denied."""
    facts = atoms(meaning.root)
    subject = {fact for fact in facts if fact[0][:2] == ("root", "subject")}
    return subject, facts - subject, meaning.root.child("negation") is not None


def is_true(sentence, true_facts):
    subject, event, denied = sentence
    return subject <= true_facts and (event <= true_facts) != denied


def label_by_enumeration(world, premise, hypothesis):
    p, h = claim(premise), claim(hypothesis)
    facts = sorted(p[0] | p[1] | h[0] | h[1])
    opposites = [
        (a, b) for a in facts for b in facts if a[0] == b[0] and a < b and world.inventory.antonym[a[1]] == b[1]
    ]
    outcomes = set()
    for values in product((False, True), repeat=len(facts)):
        true_facts = {fact for fact, value in zip(facts, values) if value}
        if any(a in true_facts and b in true_facts for a, b in opposites):
            continue
        if is_true(p, true_facts):
            outcomes.add(is_true(h, true_facts))
    assert outcomes, "the premise can be true"
    return {(True,): "entailment", (False,): "contradiction"}.get(tuple(outcomes), "neutral")


@pytest.mark.parametrize("label", LABELS)
def test_labels_follow_from_the_meanings(world, label):
    rng = random.Random(5)
    for _ in range(150):
        premise, hypothesis = draw_pair(world, rng, label)
        assert premise != hypothesis
        assert label_by_enumeration(world, premise, hypothesis) == label


def test_premises_are_short_and_plain(world):
    rng = random.Random(6)
    for i in range(150):
        premise, _ = draw_pair(world, rng, LABELS[i % 3])
        roles = Counter(node.role for node in premise.root.walk())
        assert sum(roles.values()) <= LONGEST
        assert not {"opener", "focus", "closer", "punctuation", "complement"} & set(roles)


def test_pairs_differ_in_text_in_every_language(world, languages):
    rng = random.Random(7)
    for i in range(150):
        premise, hypothesis = draw_pair(world, rng, LABELS[i % 3])
        for language in languages.values():
            assert language.realise(premise).text() != language.realise(hypothesis).text()


def test_negation_in_the_hypothesis_does_not_decide(world):
    """Every label has negated and plain hypotheses."""
    rng = random.Random(8)
    for label in LABELS:
        negated = sum(draw_pair(world, rng, label)[1].root.child("negation") is not None for _ in range(200))
        assert 10 < negated < 190
