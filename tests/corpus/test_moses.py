"""Tokenisation with a memory gives what sacremoses gives."""

import gzip
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_xling.corpus import moses as moses_module
from fairseq_xling.corpus.moses import CachedMoses

AWKWARD = """
a Le 5 5,000 3.5 5, ,5 a,b , . .. ... a... ...b end. end.' Mr. No. U.S. U.S.A. M. p. l'été ' '' 'tis it's dogs' 5's 5'
'5 n't ` ``x " (a) (a.) a.b a-b -- http://a.b/c?d … — «x» x@y.z г. т.е. é. 中。 3%. $5 &amp; <b> a., ,. '. .' DOTMULTI
a/b. A. i.e. Dr.'s 'a.' 1.2.3. \u0300 a|b
"""
WORDS = AWKWARD.split()


@pytest.fixture(scope="module")
def tokenizers():
    return {lang: CachedMoses(lang) for lang in ("en", "fr", "ru", "de")}


@given(words=st.lists(st.sampled_from(WORDS), max_size=9), lang=st.sampled_from(["en", "fr", "ru", "de"]))
def test_awkward_words_in_any_order(tokenizers, words, lang):
    text = " ".join(words)
    assert tokenizers[lang](text) == tokenizers[lang].whole(text)


@given(
    text=st.text(st.sampled_from(" .,'`-\"()aBé5…Я"), max_size=20),
    lang=st.sampled_from(["en", "fr", "ru", "de"]),
)
def test_awkward_characters_in_any_order(tokenizers, text, lang):
    assert tokenizers[lang](text) == tokenizers[lang].whole(text)


def test_a_full_memory_forgets_and_stays_right(tokenizers, monkeypatch):
    monkeypatch.setattr(moses_module, "_ROOM", 3)
    small, rng = CachedMoses("en"), random.Random(1)
    for _ in range(40):
        text = " ".join(rng.choices(WORDS, k=6))
        assert small(text) == tokenizers["en"].whole(text)


@pytest.mark.parametrize("lang", ["en", "fr", "ru"])
def test_real_text(tokenizers, shared_data, lang):
    with gzip.open(shared_data / "wiki_text" / f"{lang}.txt.gz", "rt", encoding="utf-8") as lines:
        for line, _ in zip(lines, range(600), strict=False):
            assert tokenizers[lang](line) == tokenizers[lang].whole(line)
