"""Steps line by line: cleaning, tokenisation, casing."""

import pytest

from fairseq_xling.corpus.lines import LineStep, write_lines
from fairseq_xling.corpus.sentences import split_sentences
from fairseq_xling.corpus.words import change_case, clean, segment_chinese, tokenisation_of, tokeniser
from fairseq_xling.formats.errors import InputError


@pytest.mark.parametrize(
    ("text", "casing", "expected"),
    [
        ("Élan Ёлка", "cased", "Élan Ёлка"),
        ("Élan Ёлка", "lower", "élan ёлка"),
        ("Élan Ёлка Й ß 中", "lower-no-accents", "elan елка и ß 中"),
        ("한글", "lower-no-accents", "한글"),
    ],
)
def test_casing(text, casing, expected):
    assert change_case(text, casing) == expected


def test_unknown_casing_and_tokenisation():
    with pytest.raises(InputError, match="expected one of cased"):
        change_case("a", "upper")
    with pytest.raises(InputError, match="expected one of none"):
        tokeniser("stanford", "zh")


def test_tokenisers():
    assert tokeniser("moses", "en")("Mr. O'Neil's \"dog\" & 1,000.5 km.") == "Mr. O 'Neil 's \" dog \" & 1,000.5 km ."
    assert tokeniser("moses", "fr")("L'été, c'est l'été !") == "L' été , c' est l' été !"
    assert tokeniser("jieba", "zh")("他 在 北京大学学习。") == "他 在 北京大学 学习 。"
    assert tokeniser("none", "qaa")("  a \t b ") == "a b"
    assert (tokenisation_of("zh"), tokenisation_of("ru")) == ("jieba", "moses")


def test_a_code_with_a_region_has_the_rules_of_its_language():
    assert (tokenisation_of("zh-cn"), tokenisation_of("zh_Hant"), tokenisation_of("pt-br")) == (
        "jieba",
        "jieba",
        "moses",
    )
    assert tokeniser("moses", "fr-ca")("L'été, c'est l'été !") == "L' été , c' est l' été !"
    assert tokeniser("moses", "pt_br")("A Sra. Costa.") == "A Sra. Costa ."  # an abbreviation of Portuguese only
    assert split_sentences("A Sra. Costa. Sim.", "pt-br") == ["A Sra. Costa.", "Sim."]


def test_segmented_chinese_is_the_text_itself():
    assert "".join(segment_chinese("柏林 2024年，U-Bahn！")) == "柏林 2024年，U-Bahn！"


def test_control_characters_of_real_sets():
    assert clean(" a\u0008b\u200bc\ufeff\x00 ") == "abc"
    assert clean("Ünï ‍ code\tx") == "Ünï ‍ code\tx"


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_lines_are_counted_and_named(tmp_path, workers):
    source = tmp_path / "a.txt"
    source.write_bytes(
        b"Hello, world.\n\n\xff\xfe\nA\x08b\n"
        + b"x" * 2_000_000
        + b"\n\xe2\x80\x8b\nlast\xc3\n"
        + "Fin\u200b.".encode()
    )
    found = write_lines(source, tmp_path / "out.txt", LineStep("en", "moses"), workers)
    assert (tmp_path / "out.txt").read_text() == "Hello , world .\nAb\nFin .\n"
    assert found.first == {"not_utf8": 3, "too_long": 5}
    wanted = {"read": 8, "written": 3, "blank": 2, "cleaned": 3, "not_utf8": 2, "too_long": 1}
    assert dict(found.counts) == wanted
    assert "2 not_utf8 left out (first: line 3)" in str(found)


def test_documents_stay_apart_on_request(tmp_path):
    source = tmp_path / "a.txt"
    source.write_text("One. Two.\n\nThree.\n")
    write_lines(source, tmp_path / "out.txt", LineStep("en", split=True, keep_blank=True), 1)
    assert (tmp_path / "out.txt").read_text() == "One.\nTwo.\n\nThree.\n"
