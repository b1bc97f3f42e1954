"""Converters of named-entity sets; seqeval as an independent reader of IOB1."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import IOB1, Entities

from fairseq_xling.corpus.entities import read_columns, realign, to_bio
from fairseq_xling.formats.errors import InputError


@pytest.mark.parametrize(
    ("tags", "bio"),
    [
        # CoNLL 2003, IOB1: B- only between touching entities of one type
        (["I-PER", "I-PER", "O", "I-LOC", "B-LOC", "I-ORG"], ["B-PER", "I-PER", "O", "B-LOC", "B-LOC", "B-ORG"]),
        # BIOES and BMES
        (["B-PER", "E-PER", "S-LOC", "S-LOC"], ["B-PER", "I-PER", "B-LOC", "B-LOC"]),
        (["B-NR", "M-NR", "E-NR", "O"], ["B-PER", "I-PER", "I-PER", "O"]),
        (["B-nt", "I-nt", "B-NS"], ["B-ORG", "I-ORG", "B-LOC"]),
        ([], []),
    ],
)
def test_to_bio(tags, bio):
    assert to_bio(tags) == bio


def test_conll_2003_columns(tmp_path):
    path = tmp_path / "eng.train"
    path.write_text("-DOCSTART- -X- -X- O\n\nEU NNP I-NP I-ORG\nrejects VBZ I-VP O\n\n\nPeter NNP I-NP I-PER\n")
    assert list(read_columns(path)) == [(["EU", "rejects"], ["I-ORG", "O"]), (["Peter"], ["I-PER"])]


@pytest.mark.parametrize(
    ("line", "message"), [("EU", "a token and a tag"), ("EU X-ORG", "expected a tag"), ("EU B", "tag")]
)
def test_bad_columns(tmp_path, line, message):
    path = tmp_path / "x"
    path.write_text(f"a O\n{line}\n")
    with pytest.raises(InputError, match=message) as error:
        list(read_columns(path))
    assert error.value.line == 2


def cut(*lengths):
    def segment(text):
        words, start = [], 0
        for length in lengths:
            words.append(text[start : start + length])
            start += length
        return words

    return segment


@pytest.mark.parametrize(
    ("tags", "lengths", "expected"),
    [
        ("B I O B", (2, 1, 1), ["B-X", "O", "B-X"]),  # borders agree
        ("B I O O", (1, 1, 2), ["B-X", "I-X", "O"]),  # an entity of two words
        ("O B I O", (2, 2), ["B-X", "I-X"]),  # borders within words: the entity grows
        ("B B O O", (2, 2), ["B-X", "O"]),  # a word with two entities is of the first
        ("B I B I", (3, 1), ["B-X", "B-X"]),
        ("O O O O", (4,), ["O"]),
        ("B O I O", (1, 1, 1, 1), ["B-X", "O", "B-X", "O"]),  # an I that starts a span
    ],
)
def test_characters_to_words(tags, lengths, expected):
    full = [tag if tag == "O" else f"{tag}-X" for tag in tags.split()]
    words, found = realign(list("甲乙丙丁"), full, cut(*lengths))
    assert found == expected
    assert "".join(words) == "甲乙丙丁"


def test_realigning_real_entities_keeps_most_of_them(shared_data):
    from itertools import islice

    from fairseq_xling.corpus.words import segment_chinese
    from fairseq_xling.formats.bio import read_bio

    before = after = 0
    for sentence in islice(read_bio(shared_data / "wikiann" / "zh.dev.tsv.gz"), 300):
        words, tags = realign(sentence.tokens, sentence.tags, segment_chinese)
        assert "".join(words) == "".join(sentence.tokens)
        before += sum(tag[0] == "B" for tag in to_bio(sentence.tags))
        after += sum(tag[0] == "B" for tag in tags)
    assert 0.95 * before < after <= before


TAGS = st.lists(st.sampled_from(["O", "I-A", "B-A", "I-B", "B-B"]), min_size=1, max_size=8)


@given(TAGS)
def test_iob1_has_the_spans_that_seqeval_finds(tags: list[str]) -> None:
    """In IOB1 a B-X is valid only between spans of one type; the generated tags are made so."""
    iob1 = [
        tag if not tag.startswith("B") or (place and tags[place - 1][2:] == tag[2:]) else f"I{tag[1:]}"
        for place, tag in enumerate(tags)
    ]
    (theirs,) = Entities([iob1], IOB1).entities
    converted = to_bio(iob1)
    assert {(e.start, e.end - 1, e.tag) for e in theirs} == {(s, e, t) for t, s, e in get_entities(converted)}
    assert all(
        not tag.startswith("I-") or last[2:] == tag[2:] for last, tag in zip(["O", *converted], converted, strict=False)
    )
    assert to_bio(converted) == converted
