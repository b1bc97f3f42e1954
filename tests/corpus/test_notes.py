"""What is noted beside running text."""

from fairseq_xling.corpus.notes import carry_notes, note_second_code, notes_of, read_notes, write_notes
from fairseq_xling.corpus.words import tokeniser


def test_a_language_under_a_second_code_is_tokenised_by_its_own_rules(tmp_path):
    write_notes(tmp_path, "lower", {"en": "moses", "fr": "moses", "zh": "jieba"})
    for lang, code in (("en", "qap"), ("fr", "qaq"), ("zh", "qar")):
        note_second_code(tmp_path, lang, code)
    casing, kinds = notes_of({code: tmp_path / code for code in ("en", "qap", "qaq", "qar")})
    assert (casing, kinds) == ("lower", {"en": "moses", "qap": "moses:en", "qaq": "moses:fr", "qar": "jieba"})
    assert tokeniser(kinds["qap"], "qap")("I'm home.") == tokeniser("moses", "en")("I'm home.") == "I 'm home ."
    assert tokeniser(kinds["qaq"], "qaq")("C'est l'ami.") == tokeniser("moses", "fr")("C'est l'ami.")


def test_text_without_notes_gets_none(tmp_path):
    note_second_code(tmp_path, "qaa", "qap")
    assert list(tmp_path.iterdir()) == []


def test_notes_of_other_languages_are_not_written_over(tmp_path):
    """Chinese came to `text` segmented by another program; `tok` holds a version by jieba."""
    write_notes(tmp_path / "text", "lower", {"zh": "none"})
    write_notes(tmp_path / "tok", "lower", {"zh": "jieba", "en": "moses"})
    carry_notes(tmp_path / "tok" / "en.txt", tmp_path / "text" / "en")
    assert read_notes(tmp_path / "text")["tokenisation"] == {"zh": "none", "en": "moses"}
    carry_notes(tmp_path / "tok" / "en.txt", tmp_path / "text" / "wiki_en.train.txt")
    assert read_notes(tmp_path / "text")["tokenisation"] == {"zh": "none", "en": "moses"}
    carry_notes(tmp_path / "tok" / "zh.txt", tmp_path / "text" / "zh.train.txt")
    assert read_notes(tmp_path / "text")["tokenisation"] == {"zh": "jieba", "en": "moses"}
