"""What is noted beside running text."""

from fairseq_xling.corpus.notes import note_second_code, notes_of, write_notes
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
