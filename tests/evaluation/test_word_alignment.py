"""Word alignment: known translations are found, awkward sentences get no links, files are checked."""

from __future__ import annotations

import random
import shutil

import pytest

from fairseq_xling.evaluation.word_alignment import align_words, one_to_one, read_pharaoh, write_pharaoh
from fairseq_xling.formats.errors import InputError


@pytest.fixture(scope="module")
def cipher():
    """Sentences and their word-for-word translation in reverse order."""
    rng = random.Random(0)
    words = [f"w{i}" for i in range(40)]
    sources = [rng.sample(words, rng.randint(2, 6)) for _ in range(300)]
    return [(source, [word.upper() for word in reversed(source)]) for source in sources]


@pytest.mark.parametrize("aligner", ["fast_align", "eflomal"])
def test_a_cipher_is_read(cipher, aligner):
    if aligner == "fast_align":
        pytest.importorskip("systran_align", reason="the optional aligner systran-align is not installed")
    elif not shutil.which("eflomal-align"):
        pytest.skip("the optional aligner eflomal is not installed")
    awkward = [([], ["W1"]), (["w1"], []), ([], []), (["w1"] * 300, ["W1"]), (["|||", "w1"], ["W1", "|||"])]
    links = align_words(cipher + awkward, aligner)
    assert links[300:304] == [[]] * 4  # empty or too long
    right = sum(cipher[row][0][i].upper() == cipher[row][1][j] for row in range(300) for i, j in one_to_one(links[row]))
    assert right >= 0.9 * sum(len(one_to_one(some)) for some in links[:300])
    assert right >= 0.6 * sum(len(source) for source, _ in cipher)


def test_nothing_to_align_is_an_input_error():
    with pytest.raises(InputError, match="all 2 are empty on a side or over 200 words"):
        align_words([([], ["a"]), (["a"] * 201, ["b"])])


def test_words_with_several_links_are_left_out():
    assert one_to_one([(0, 0), (1, 1), (1, 2), (2, 3), (3, 3), (4, 4)]) == [(0, 0), (4, 4)]


def test_pharaoh_files_round_trip_with_empty_lines(tmp_path):
    pairs = [(["a", "b"], ["c"]), ([], ["d"]), (["e"], ["f", "g"])]
    links = [[(0, 0), (1, 0)], [], [(0, 1)]]
    write_pharaoh(tmp_path / "links", links)
    assert (tmp_path / "links").read_text() == "0-0 1-0\n\n0-1\n"
    assert read_pharaoh(tmp_path / "links", pairs) == links


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0-0\n", r"links: expected a line for each of 2 sentence pairs, found 1"),
        ("0-0\n0:0\n", r"links:2: expected links such as 0-0 1-2, found '0:0'"),
        ("0-0\n0-1\n", r"links:2: link 0-1 lies beyond sentences of 1 and 1 words"),
        ("-1-0\n\n", r"links:1: expected links"),
    ],
)
def test_bad_pharaoh_files(tmp_path, text, message):
    (tmp_path / "links").write_text(text)
    with pytest.raises(InputError, match=message):
        read_pharaoh(tmp_path / "links", [(["a"], ["b"]), (["c"], ["d"])])
