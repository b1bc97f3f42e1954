"""Extra anchors: rates, the cap by brute force, qualities, seeds."""

import random
from collections import Counter

import pytest

from fairseq_xling.corpus import codeswitch
from fairseq_xling.corpus.codeswitch import SHORTEST, WINDOW, Switcher, SwitchOptions, rates, switch_file
from fairseq_xling.corpus.codeswitch import translation_table as table_of
from tests.corpus.worlds import write_lines

TABLE = table_of({f"w{i}": {f"T{i}": 1.0} for i in range(60)})


def running_text(seed, sentences, known=0.5):
    rng = random.Random(seed)
    return [
        [
            f"w{rng.randrange(60)}" if rng.random() < known else f"x{rng.randrange(60)}"
            for _ in range(rng.randint(1, 30))
        ]
        for _ in range(sentences)
    ]


def worst_share(replaced, shortest, longest):
    """The highest share of replaced words over all windows of `shortest` to `longest` words, by counting each."""
    sums = [0]
    for flag in replaced:
        sums.append(sums[-1] + flag)
    return max(
        (sums[start + size] - sums[start]) / size
        for size in range(shortest, longest + 1)
        for start in range(0, len(replaced) - size + 1)
    )


@pytest.mark.parametrize("known", [0.4, 1.0])
def test_no_window_exceeds_the_cap(known):
    switcher = Switcher(TABLE, SwitchOptions(rate=0.9, cap=0.15, seed=1))
    before = running_text(1, 120, known)
    after = [switcher.sentence(words) for words in before]
    replaced = [a != b for x, y in zip(before, after, strict=True) for a, b in zip(x, y, strict=True)]
    share = worst_share(replaced, SHORTEST, WINDOW)
    assert 0.13 < share <= 0.15
    assert switcher.counts["replaced"] == sum(replaced) < switcher.counts["drawn"]


def test_the_rate_without_a_cap():
    switcher = Switcher(TABLE, SwitchOptions(rate=0.3, cap=1.0, seed=1))
    for words in running_text(2, 3000):
        switcher.sentence(words)
    counts = switcher.counts
    n = counts["in_dictionary"]
    assert counts["replaced"] == counts["drawn"]
    assert abs(counts["replaced"] / n - 0.3) < 4 * (0.3 * 0.7 / n) ** 0.5
    assert abs(n / counts["words"] - 0.5) < 0.02


def test_only_dictionary_words_change_and_become_their_translation():
    switcher = Switcher(TABLE, SwitchOptions(rate=1.0, cap=1.0))
    assert switcher.sentence(["w3", "x3", "w59", ""]) == ["T3", "x3", "T59", ""]


def test_translations_are_drawn_by_quality():
    table = table_of({"a": {"x": 6.0, "y": 3.0, "z": 1.0}})
    switcher = Switcher(table, SwitchOptions(rate=1.0, cap=1.0, seed=3))
    drawn = Counter(switcher.sentence(["a"] * 10_000))
    for word, share in (("x", 0.6), ("y", 0.3), ("z", 0.1)):
        assert abs(drawn[word] / 10_000 - share) < 5 * (share * (1 - share) / 10_000) ** 0.5


def test_what_is_no_translation():
    """Several words, no quality, or the word itself, whatever its case: there is nothing to gain or to draw."""
    table = table_of({"a": {"x y": 5.0, "A": 5.0, "a": 5.0, "b": 0.0}, "ice cream": {"glace": 1.0}, "C": {"d": 2.0}})
    assert set(table) == {"c"}
    assert table["c"].words == ("d",)


def test_qualities_of_one_word_in_two_cases_are_added():
    assert table_of({"May": {"mai": 1.0}, "may": {"mai": 2.0, "peut": 1.0}})["may"].sums == (3.0, 4.0)


@pytest.mark.parametrize(
    ("casing", "word", "translation"),
    [("cased", "été", "Sommer"), ("lower", "été", "sommer"), ("lower-no-accents", "ete", "sommer")],
)
def test_entries_are_cased_as_the_text_is(casing, word, translation):
    """`Sommer` in text without capitals would be no anchor, and `ete` no word of the dictionary."""
    table = table_of({"Été": {"Sommer": 1.0}, "Hôtel": {"hotel": 1.0}}, casing)
    assert table[word].words == (translation,)
    assert ("hôtel" in table) == (casing != "lower-no-accents")
    assert "hotel" not in table  # without accents its own translation


def test_an_accent_alone_is_no_word():
    assert table_of({"house": {"\u0301": 1.0, "maison": 2.0}}, "lower-no-accents")["house"].words == ("maison",)


def test_case_of_the_word_is_kept():
    table = table_of({"house": {"maison": 1.0}, "i": {"je": 1.0}})
    switcher = Switcher(table, SwitchOptions(rate=1.0, cap=1.0))
    assert switcher.sentence(["House", "HOUSE", "house", "I"]) == ["Maison", "MAISON", "maison", "Je"]


def test_a_cap_that_allows_no_word_at_all():
    switcher = Switcher(TABLE, SwitchOptions(rate=1.0, cap=0.01))
    assert switcher.sentence(["w1"] * 500) == ["w1"] * 500


def test_files_do_not_depend_on_workers_and_keep_the_cap_across_blocks(tmp_path, monkeypatch):
    from fairseq_xling.formats.text import read_blocks

    monkeypatch.setattr(codeswitch, "read_blocks", lambda path: read_blocks(path, 20_000))
    before = [" ".join(words) for words in running_text(5, 1200, 0.9)]
    source = write_lines(tmp_path / "a.txt", before)
    results = []
    for workers in (1, 2):
        counts = switch_file(source, tmp_path / f"{workers}.txt", TABLE, SwitchOptions(0.6, 0.15, 7), workers)
        results.append(((tmp_path / f"{workers}.txt").read_text(), counts))
    assert results[0] == results[1]
    after = results[0][0].splitlines()
    assert len(after) == len(before)
    pairs = [pair for x, y in zip(before, after, strict=True) for pair in zip(x.split(), y.split(), strict=True)]
    replaced = [a != b for a, b in pairs]
    assert worst_share(replaced, SHORTEST, WINDOW) <= 0.15
    counts = results[0][1]
    assert counts["words"] == len(pairs)
    assert counts["replaced"] == sum(replaced)
    assert "of all words replaced" in rates(counts)
    other = switch_file(source, tmp_path / "3.txt", TABLE, SwitchOptions(0.6, 0.15, 8), 1)
    assert (tmp_path / "3.txt").read_text() != results[0][0]
    assert other["words"] == counts["words"]
