"""Word translation against cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ortho_group

from fairseq_xling.analysis import csls
from fairseq_xling.evaluation.word_translation import align, as_compared, translate
from fairseq_xling.evaluation.word_vectors import WordVectors
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
    vectors = RNG.normal(size=(60, 8))
    source = words(" ".join(f"s{i}" for i in range(60)), vectors)
    target = words(" ".join(f"t{i}" for i in range(60)), vectors @ ortho_group.rvs(8, random_state=1))
    pairs = [(f"S{i}", f"t{i}") for i in range(60)]
    assert translate(*align(source, target, pairs[:20]), pairs[20:], method="cosine") == pytest.approx(
        (1, 40, 1, 1 / 60)
    )
    assert translate(source, target, pairs[20:], method="cosine").precision < 0.3


@pytest.mark.parametrize("step", [translate, align])
def test_a_dictionary_without_overlap_is_an_input_error(step):
    source, target = words("a b", [[1, 0], [0, 1]]), words("c d", [[1, 0], [0, 1]])
    with pytest.raises(InputError, match=r"none of the 2 (source words|pairs) of the (test|training) dictionary"):
        step(source, target, [("x", "c"), ("a", "y")])
