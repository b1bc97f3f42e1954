"""Languages: every sentence says its meaning, and nothing else."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from fairseq_xling.lab import LANGUAGES, Language
from fairseq_xling.lab.concepts import ENTITY
from fairseq_xling.lab.language import always, sometimes

CODES = list(LANGUAGES)


def edges_of_meaning(meaning, skip=()):
    """(concept, role, concept of the head) of every node, sorted."""
    edges = [(meaning.root.concept, "root", -1)]
    for node in meaning.root.walk():
        edges += [(child.concept, child.role, node.concept) for child in node.children if child.role not in skip]
    return sorted(edges)


def edges_of_sentence(sentence):
    words = sentence.words
    return sorted(
        (w.concept, w.role, words[w.head].concept if w.head >= 0 else -1) for w in words if w.role != "article"
    )


def is_projective(heads):
    """No two arcs cross (checked on all pairs of arcs)."""
    arcs = [sorted((i, h)) for i, h in enumerate(heads) if h >= 0]
    return not any(a < c < b < d or c < a < d < b for (a, b), (c, d) in combinations(arcs, 2))


@pytest.mark.parametrize("code", CODES)
def test_sentences_are_projective_trees_with_one_root(code, languages, meanings):
    rng = random.Random(1)
    for meaning in meanings:
        heads = [word.head for word in languages[code].realise(meaning, sometimes(rng, 0.5)).words]
        assert heads.count(-1) == 1
        for start in range(len(heads)):
            node, steps = start, 0
            while node != -1:
                node, steps = heads[node], steps + 1
                assert steps <= len(heads)
        assert is_projective(heads)


@pytest.mark.parametrize("code", CODES)
def test_sentences_and_paraphrases_say_the_meaning(code, languages, meanings):
    skip = {"negation"} if code == "qad" else set()
    for meaning in meanings:
        usual, other = languages[code].realise(meaning), languages[code].realise(meaning, always)
        assert edges_of_sentence(usual) == edges_of_meaning(meaning, skip)
        assert edges_of_sentence(other) == edges_of_meaning(meaning, skip)


def test_qad_says_negation_with_a_suffix(languages, meanings):
    seen = 0
    for meaning in meanings:
        for word in languages["qad"].realise(meaning).words:
            if word.upos == "VERB":
                nodes = [n for n in meaning.root.walk() if n.concept == word.concept and n.role == word.role]
                assert any((n.child("negation") is not None) == ("Polarity=Neg" in word.features) for n in nodes)
                seen += "Polarity=Neg" in word.features
    assert seen > 10


@pytest.mark.parametrize("code", CODES)
def test_text_can_be_read_back(code, languages, meanings):
    """From the written tokens alone, an analysis by stems and suffixes finds the concepts of the meaning."""
    language = languages[code]
    lexicon, inventory = language.lexicon, language.world.inventory
    inflection = language.typology.inflection
    readings: dict[str, set[int]] = {}
    for concept, stems in enumerate(lexicon.stems):
        features = inflection.get(inventory.word_class[concept], ())
        for stem in stems:
            for size in range(len(features) + 1):
                for chosen in combinations(features, size):
                    form = stem + "".join(lexicon.suffixes[f] for f in chosen)
                    readings.setdefault(form, set()).add(concept)
    for adposition, article in lexicon.contracted:
        readings.setdefault(lexicon.contracted[adposition, article], set()).update(readings[adposition])
    articles, negations = set(inventory.members("article")), set(inventory.members("negation"))
    rng = random.Random(2)
    for meaning in meanings:
        tokens = language.realise(meaning, sometimes(rng, 0.3)).text().split(" ")
        expected = {n.concept for n in meaning.root.walk()} - (negations if code == "qad" else set())
        read = [readings[token] - articles for token in tokens]
        assert all(any(concept in options for options in read) for concept in expected)
        assert all(options & expected for options in read if options)


def test_no_form_has_two_concepts_and_inflection_keeps_words_apart(languages):
    for language in languages.values():
        forms = [form for stems in language.lexicon.stems for form in stems]
        assert len(forms) == len(set(forms))


def test_forms_in_common_with_the_source_fall_with_distance(languages):
    source = languages["qaa"].lexicon.stems
    classes = languages["qaa"].world.inventory.word_class

    def share(code, names):
        same = [
            a[0] == b[0]
            for a, b, c in zip(source, languages[code].lexicon.stems, classes)
            if (c in ENTITY) == names and c in {"noun", "verb", "adjective", *ENTITY}
        ]
        return sum(same) / len(same)

    words = [share(code, False) for code in ("qab", "qac", "qad")]
    assert 0.4 > words[0] > words[1] > words[2] > 0
    assert share("qab", True) > share("qad", True)
    for code in ("qab", "qac", "qad"):
        other = languages[code].lexicon.stems
        for i, stems in enumerate(other):
            accidental = {f for j, s in enumerate(source) if j != i for f in s} & set(stems)
            assert not accidental, "a string in common must be a word of the same concept"


def test_numerals_and_punctuation_are_the_same_strings(languages):
    inventory = languages["qaa"].world.inventory
    for name in ("numeral", "question_mark"):
        for concept in inventory.members(name):
            assert len({language.lexicon.stems[concept] for language in languages.values()}) == 1


def test_word_order(languages, meanings):
    def positions(code, role):
        for meaning in meanings:
            words = languages[code].realise(meaning).words
            yield from ((i, w.head) for i, w in enumerate(words) if w.role == role)

    assert all(i < head for i, head in positions("qaa", "quality"))
    assert all(i > head for i, head in positions("qaa", "object"))
    assert all(i < head for i, head in positions("qaa", "adposition"))
    assert all(i > head for i, head in positions("qac", "quality"))
    assert all(i < head for i, head in positions("qad", "object"))
    assert all(i > head for i, head in positions("qad", "adposition"))


def test_agreement_and_contraction_in_qab(languages, meanings):
    language = languages["qab"]
    adjectives = contractions = 0
    for meaning in meanings:
        sentence = language.realise(meaning)
        for word in sentence.words:
            if word.upos == "ADJ":
                adjectives += 1
                assert ("Number=Plur" in word.features) == ("Number=Plur" in sentence.words[word.head].features)
        for first, last, form in sentence.contractions:
            contractions += 1
            assert (sentence.words[first].upos, sentence.words[last].upos) == ("ADP", "DET")
            assert last == first + 1
            assert form in sentence.text().split(" ")
    assert adjectives > 50
    assert contractions > 10


def test_articles_agree_with_gender(languages, meanings):
    language = languages["qaa"]
    gender = language.world.inventory.gender
    forms: dict[tuple[int, int], set[str]] = {}
    for meaning in meanings:
        words = language.realise(meaning).words
        for word in words:
            if word.upos == "DET":
                forms.setdefault((word.concept, gender[words[word.head].concept]), set()).add(word.form)
    assert len(forms) == 6
    assert all(len(f) == 1 for f in forms.values())
    assert len(set.union(*forms.values())) == 6


def test_entity_spans_are_the_names_of_the_meaning(languages, meanings):
    inventory = languages["qaa"].world.inventory
    several = 0
    for meaning in meanings:
        names = sorted(
            (
                ENTITY[inventory.word_class[n.concept]],
                sorted([n.concept, *(c.concept for c in n.children if c.role == "name_part")]),
            )
            for n in meaning.root.walk()
            if inventory.word_class[n.concept] in ENTITY and n.role != "name_part"
        )
        for language in languages.values():
            sentence = language.realise(meaning)
            tokens = sentence.tokens()
            spans = sorted(
                (kind, sorted(sentence.words[tokens[t][1]].concept for t in range(first, last + 1)))
                for first, last, kind in sentence.entities()
            )
            assert spans == names
            several += any(last > first for first, last, _ in sentence.entities())
    assert several > 20


def test_names_side_by_side_stay_two(languages, world):
    """qad puts the complement before the verb, so two subjects can touch."""
    from fairseq_xling.lab import Meaning, Node

    inventory = world.inventory
    reporting = next(v for v in inventory.members("verb") if inventory.frame[v] == 3)
    other = next(v for v in inventory.members("verb") if inventory.frame[v] == 0)
    given, family = inventory.members("given_name"), inventory.members("family_name")
    inner = Node(other, "complement", children=[Node(given[0], "subject", children=[Node(family[0], "name_part")])])
    outer = Node(given[1], "subject", children=[Node(family[1], "name_part")])
    sentence = languages["qad"].realise(Meaning(0, Node(reporting, "root", children=[outer, inner])))
    assert sentence.entities() == [(0, 1, "PER"), (2, 3, "PER")]


def test_unknown_code_names_the_known_ones(world):
    with pytest.raises(ValueError, match="qaa, qab, qac, qad"):
        Language("xx", world)


def test_a_language_may_share_all_words(world):
    alike = Language("qab", world, 3, LANGUAGES["qab"].with_shared_words(1.0))
    source = Language("qaa", world, 3)
    nouns = world.inventory.members("noun")
    assert all(alike.lexicon.stems[n][0] == source.lexicon.stems[n][0] for n in nouns)
