"""Bilingual dictionaries in MUSE's format and as weighted TSV."""

import pytest

from fairseq_xling.formats.dictionary import (
    inverted,
    read_pairs,
    read_weighted,
    through_pivot,
    write_pairs,
    write_weighted,
)
from fairseq_xling.formats.errors import InputError


def written(tmp_path, text):
    path = tmp_path / "d.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_muse_pairs_in_order_and_once(tmp_path):
    path = written(tmp_path, "and 而且\nand 和\nangela angela\nand 和\n")
    assert read_pairs(path) == [("and", "而且"), ("and", "和"), ("angela", "angela")]


def test_entries_with_spaces_need_tabs(tmp_path):
    assert read_pairs(written(tmp_path, "ice cream\tглаce\n")) == [("ice cream", "глаce")]
    with pytest.raises(InputError, match="expected 2 or 3 columns"):
        read_pairs(written(tmp_path, "ice cream глаce\n"))


def test_unequal_columns_name_the_line(tmp_path):
    path = written(tmp_path, "a\tb\t2\nc\td\n")
    with pytest.raises(InputError, match="expected 3 columns as in the lines above") as error:
        read_weighted(path)
    assert (error.value.path, error.value.line) == (path, 2)


@pytest.mark.parametrize("quality", ["good", "-1", "nan", "inf", ""])
def test_a_quality_must_be_a_number_of_at_least_zero(tmp_path, quality):
    with pytest.raises(InputError, match="quality") as error:
        read_weighted(written(tmp_path, f"a\tb\t1\na\tc\t{quality}\n"))
    assert error.value.line == 2


def test_an_empty_side_is_refused(tmp_path):
    with pytest.raises(InputError, match="empty") as error:
        read_pairs(written(tmp_path, "a\tb\n\tc\n"))
    assert error.value.line == 2


def test_qualities_of_repeated_pairs_are_added_and_written_best_first(tmp_path):
    weights = read_weighted(written(tmp_path, "a\tx\t1\na\ty\t5\na\tx\t2.5\n"))
    assert weights == {"a": {"x": 3.5, "y": 5.0}}
    assert write_weighted(tmp_path / "w.tsv", weights) == 2
    assert (tmp_path / "w.tsv").read_text() == "a\ty\t5\na\tx\t3.5\n"
    assert read_weighted(tmp_path / "w.tsv") == weights


def test_inverting_twice_gives_the_dictionary_back():
    weights = {"a": {"x": 1.0, "y": 2.0}, "b": {"x": 3.0}}
    assert inverted(weights) == {"x": {"a": 1.0, "b": 3.0}, "y": {"a": 2.0}}
    assert inverted(inverted(weights)) == weights


def test_by_way_of_a_pivot_probabilities_multiply_and_add_up():
    first = {"chat": {"cat": 3.0, "tomcat": 1.0}}
    second = {"cat": {"кот": 1.0, "кошка": 1.0}, "tomcat": {"кот": 2.0}}
    assert through_pivot(first, second) == {
        "chat": {"кот": pytest.approx(3 / 8 + 1 / 4), "кошка": pytest.approx(3 / 8)}
    }


def test_pairs_written_and_read(tmp_path):
    write_pairs(tmp_path / "p.txt", [("a", "b"), ("a", "c")])
    assert read_pairs(tmp_path / "p.txt") == [("a", "b"), ("a", "c")]
