"""The world and the meanings it draws."""

from __future__ import annotations

import random

import numpy as np
import pytest

from fairseq_xling.formats.errors import InputError
from fairseq_xling.lab import World
from fairseq_xling.lab.concepts import ADPOSITION_CATEGORY, CATEGORIES, FRAMES
from fairseq_xling.lab.entailment import LABELS, draw_pair
from fairseq_xling.lab.habits import HABITS
from fairseq_xling.lab.meaning import PLURAL, UD_RELATION
from fairseq_xling.lab.topics import SWITCHES
from fairseq_xling.lab.world import SMALLEST


def drawn(seed, number=50, size=1.0):
    world, rng = World(seed, size), random.Random(9)
    return [world.meaning(rng) for _ in range(number)]


def test_same_seed_same_meanings_other_seed_others():
    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_size_scales_the_open_classes_only():
    small, large = World(1, 0.5).inventory, World(1, 2.0).inventory
    assert len(large.members("noun")) == 4 * len(small.members("noun"))
    assert len(large.members("article")) == len(small.members("article"))


def test_antonyms_are_mutual_and_of_one_kind(world):
    inventory = world.inventory
    for name in ("adjective", "verb"):
        for concept in inventory.members(name):
            other = inventory.antonym[concept]
            assert other in inventory.members(name)
            assert other != concept
            assert inventory.antonym[other] == concept
            assert inventory.frame[other] == inventory.frame[concept]
            assert inventory.category[other] == inventory.category[concept]


def test_every_frame_and_category_has_members(world):
    inventory = world.inventory
    assert {inventory.frame[v] for v in inventory.members("verb")} == set(range(len(FRAMES)))
    assert {inventory.category[n] for n in inventory.members("noun")} == set(range(len(CATEGORIES)))


def test_structural_signatures_are_far_apart(world):
    codes = [
        [topic.construction[name] == high for name, (_, high) in SWITCHES.items()] + [np.argmax(topic.frames)]
        for topic in world.topics
    ]
    for i, a in enumerate(codes):
        for b in codes[:i]:
            assert sum(x != y for x, y in zip(a, b)) >= 4


def test_clauses_follow_the_frame_of_their_verb(world, meanings):
    needed = {
        "intransitive": set(),
        "transitive": {"object"},
        "transitive_oblique": {"object", "oblique"},
        "reporting": {"complement"},
    }
    for meaning in meanings:
        for node in meaning.root.walk():
            roles = [child.role for child in node.children]
            assert len(set(roles) - {"name_part"}) == len([r for r in roles if r != "name_part"])
            assert set(roles) | {node.role} <= set(UD_RELATION)
            if node.role in ("root", "complement"):
                frame = FRAMES[world.inventory.frame[node.concept]]
                assert {"object", "oblique", "complement"} & set(roles) == needed[frame]
                assert "subject" in roles


def test_adpositions_govern_their_category(world, meanings):
    inventory, seen = world.inventory, 0
    first = inventory.members("adposition").start
    for meaning in meanings:
        for node in meaning.root.walk():
            adposition = node.child("adposition")
            if adposition is not None and inventory.word_class[node.concept] == "noun":
                seen += 1
                assert inventory.category[node.concept] == ADPOSITION_CATEGORY[adposition.concept - first]
    assert seen > 20


def test_domains_differ_in_topics(world):
    rng = random.Random(1)
    counts = {domain: np.zeros(len(world.topics)) for domain in ("wiki", "cc")}
    for domain, count in counts.items():
        for _ in range(2000):
            count[world.meaning(rng, domain).topic] += 1
    assert counts["wiki"][0] > 3 * counts["cc"][0]
    assert counts["cc"][-1] > 3 * counts["wiki"][-1]
    assert min(count.min() for count in counts.values()) > 0


def test_peers_have_different_habits(world):
    """Nouns of one category differ in habits as long as there are codes left (32 for nouns)."""
    habits = HABITS["noun"]
    for peers in world.inventory.peers():
        if world.inventory.word_class[peers[0]] == "noun":
            codes = {tuple(round(world._rates[name][0][noun], 9) for name in habits) for noun in peers}
            assert len(codes) == min(len(peers), 32)


def test_constructions_follow_topic_and_word(world):
    """Counted plural rate of the most frequent nouns against what world and topic ask for."""
    rng, first = random.Random(2), world.inventory.members("noun")[0]
    for topic in (0, 1):
        for noun in range(first, first + 3):
            category = world.inventory.category[noun]
            drawn = [world.noun_phrase(topic, category, "object", rng) for _ in range(6000)]
            plural = [PLURAL in node.marks for node in drawn if node.concept == noun]
            expected = world._rates["plural"][topic][noun]
            if len(plural) > 200:
                assert abs(sum(plural) / len(plural) - expected) < 4 * (0.25 / len(plural)) ** 0.5


def test_draw_follows_its_table(world):
    rng = random.Random(4)
    items, cumulative = world._tables["noun", 0, 0]
    probability = np.diff([0, *cumulative])
    seen = np.array([items.index(world.draw(("noun", 0, 0), rng)) for _ in range(4000)])
    frequency = np.bincount(seen, minlength=len(items)) / 4000
    assert np.abs(frequency - probability).max() < 0.04


@pytest.mark.parametrize("size", [SMALLEST, 0.2, 3.0])
def test_other_sizes_work(size):
    assert len(drawn(1, 20, size)) == 20


@pytest.mark.parametrize("seed", range(5))
def test_the_smallest_world_has_pairs_of_every_label(seed):
    world, rng = World(seed, SMALLEST), random.Random(seed)
    for label in LABELS:
        for _ in range(50):
            draw_pair(world, rng, label)


def test_smaller_worlds_are_refused():
    """They have a category without nouns, or two adjectives only, opposites, so that no other can be found."""
    with pytest.raises(InputError, match="expected at least"):
        World(1, 0.1)
