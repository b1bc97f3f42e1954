"""The notation of language-specific parts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_xling.formats.errors import InputError
from fairseq_xling.sharing import Sharing


@pytest.mark.parametrize(
    ("text", "embeddings", "layers", "canonical"),
    [
        ("", False, set(), ""),
        ("emb", True, set(), "emb"),
        ("emb,1-3", True, {1, 2, 3}, "emb,1-3"),
        ("1,4-5", False, {1, 4, 5}, "1,4-5"),
        ("3,2,1", False, {1, 2, 3}, "1-3"),
        ("1-8", False, set(range(1, 9)), "1-8"),  # all layers, but the embeddings are shared
        (" 2 , emb ", True, {2}, "emb,2"),
        ("5-5", False, {5}, "5"),
        ("1-3,2-4", False, {1, 2, 3, 4}, "1-4"),
    ],
)
def test_reads_and_prints(text, embeddings, layers, canonical):
    sharing = Sharing.parse(text, 8)
    assert sharing.embeddings == embeddings
    assert {layer for layer in range(1, 9) if sharing.is_separate(layer)} == layers
    assert str(sharing) == canonical


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("9", "no layer 9"),
        ("0", "no layer 0"),
        ("1-9", "no layer 9"),
        ("3-1", "backwards"),
        ("embed", "neither"),
        ("-1", "neither"),
        ("1-", "neither"),
        ("1.5", "neither"),
        ("١", "neither"),  # an Arabic-Indic digit
        ("emb,1-8", "everything is separate"),
        ("9" * 5000, "no layer"),
    ],
)
def test_refuses_with_a_sentence(text, says):
    with pytest.raises(InputError, match=says):
        Sharing.parse(text, 8)


@given(st.booleans(), st.sets(st.integers(1, 12)))
def test_printing_and_reading_are_inverse(embeddings, layers):
    sharing = Sharing(13, embeddings, frozenset(layers))
    assert Sharing.parse(str(sharing), 13) == sharing
