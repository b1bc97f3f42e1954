"""Word translation against cases whose answer is known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from fairseq.data import Dictionary
from scipy.stats import ortho_group

from fairseq_xling.analysis import csls, nearest_neighbors
from fairseq_xling.evaluation import word_translation
from fairseq_xling.evaluation.word_translation import align, as_compared, embedding_translation, translate
from fairseq_xling.evaluation.word_vectors import WordVectors, one_subword_words
from fairseq_xling.formats.errors import InputError

RNG = np.random.default_rng(3)


def words(names: str, rows: list[list[float]] | np.ndarray) -> WordVectors:
    return WordVectors(names.split(), np.asarray(rows, dtype=np.float32))


def test_any_listed_translation_counts_and_unknown_words_lower_coverage():
    source = words("cat dog sun", [[1, 0], [0, 1], [-1, 0.1]])
    target = words("chat chien soleil matou", [[0.9, 0.2], [0, 1], [-1, 0], [1, 0]])
    pairs = [("cat", "chat"), ("cat", "matou"), ("dog", "chat"), ("Sun", "Soleil"), ("moon", "lune"), ("sea", "chat")]
    result = translate(source, target, pairs, method="cosine")
    # cat -> matou (second listing), dog -> chien (wrong: only chat is listed), sun -> soleil, whatever the case
    assert result == pytest.approx((2 / 3, 3, 3 / 5, (2 + 1 + 1) / 3 / 4))


def test_accents_are_ignored_on_the_side_whose_text_has_none():
    source, target = words("ete cote", [[1, 0], [0, 1]]), words("naïve summer", [[0, 1], [1, 0]])
    pairs = [("Été", "Summer"), ("côte", "naïve"), ("coté", "summer")]
    assert as_compared(pairs, "cased", "lower") == [("été", "summer"), ("côte", "naïve"), ("coté", "summer")]
    without = as_compared(pairs, "lower-no-accents", "cased")
    assert without == [("ete", "summer"), ("cote", "naïve"), ("cote", "summer")]
    # two source words are left, as two of the dictionary's are the same without accents
    assert translate(source, target, without, method="cosine") == pytest.approx((1, 2, 1, 1.5 / 2))
    with pytest.raises(InputError, match="none of the 3 source words"):
        translate(source, target, pairs)


def test_csls_takes_all_words_as_neighbourhood():
    source = words(" ".join(f"s{i}" for i in range(40)), RNG.normal(size=(40, 5)))
    target = words(" ".join(f"t{i}" for i in range(30)), RNG.normal(size=(30, 5)))
    pairs = [(f"s{i}", f"t{i}") for i in range(10)]
    best = csls(source.vectors, target.vectors, k=10)[:10].argmax(1)
    assert translate(source, target, pairs).precision == pytest.approx(np.mean(best == np.arange(10)))


def test_alignment_finds_a_rotation_from_some_pairs():
    vectors = RNG.normal(size=(60, 8)) + 2 * RNG.normal(size=8)  # each side has a mean of its own
    source = words(" ".join(f"s{i}" for i in range(60)), vectors)
    target = words(" ".join(f"t{i}" for i in range(60)), vectors @ ortho_group.rvs(8, random_state=1))
    pairs = [(f"S{i}", f"t{i}") for i in range(60)]
    assert translate(*align(source, target, pairs[:20]), pairs[20:], method="cosine") == pytest.approx(
        (1, 40, 1, 1 / 60)
    )
    np.testing.assert_allclose(*(side.vectors for side in align(source, target, pairs)), atol=1e-5)
    assert translate(source, target, pairs[20:], method="cosine").precision < 0.3


def test_of_words_that_differ_in_case_the_most_frequent_stands_for_all():
    dictionary = Dictionary()
    for symbol, count in (("▁the", 5), ("▁The", 9), ("▁cat", 7), ("s", 99), ("▁", 3), ("▁chat", 0)):
        dictionary.add_symbol(symbol, n=count)
    known = SimpleNamespace(dictionary=lambda lang: dictionary, own_tokens=lambda lang: np.arange(4, 9))  # not chat
    model = SimpleNamespace(segmenter=lambda lang: SimpleNamespace(vocabularies=known))
    assert list(one_subword_words(model, "en").items()) == [("the", 5), ("cat", 6)]


def test_method_and_neighbourhood_are_those_asked_for(model, monkeypatch):
    asked = []

    def search(x, y, **options):
        asked.append((options["method"], options["k"]))
        return nearest_neighbors(x, y, **options)

    monkeypatch.setattr(word_translation, "nearest_neighbors", search)
    found = (list(one_subword_words(model, language))[:20] for language in ("qaa", "qab"))
    dictionary = list(zip(*found))
    for training in (None, dictionary):
        embedding_translation(model, "qaa", "qab", dictionary, training=training, method="cosine", k=3)
    embedding_translation(model, "qaa", "qab", dictionary)
    assert asked == [("cosine", 3), ("cosine", 3), ("csls", 10)]


@pytest.mark.parametrize("step", [translate, align])
def test_a_dictionary_without_overlap_is_an_input_error(step):
    source, target = words("a b", [[1, 0], [0, 1]]), words("c d", [[1, 0], [0, 1]])
    with pytest.raises(InputError, match=r"none of the 2 (source words|pairs) of the (test|training) dictionary"):
        step(source, target, [("x", "c"), ("a", "y")])
