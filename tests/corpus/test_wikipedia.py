"""Wikitext, dumps and sentences: literal cases, and a dump that the test writes."""

import bz2
import gzip
from collections import Counter

import pytest

from fairseq_xling.corpus.sentences import split_sentences
from fairseq_xling.corpus.wikipedia import extract
from fairseq_xling.corpus.wikitext import paragraphs
from fairseq_xling.formats.errors import InputError


@pytest.mark.parametrize(
    ("wikitext", "plain"),
    [
        ("'''Bold''' and ''italic''.", ["Bold and italic."]),
        ("Dans l{{'}}''[[Iliade]]'' et d{{’}}'''Ostmark'''.", ["Dans l'Iliade et d'Ostmark."]),
        ("''Titanic''{{'s}} crew in {{'s}}-Hertogenbosch.", ["Titanic's crew in 's-Hertogenbosch."]),
        ("A sign for private use: \ue000.", ["A sign for private use: \ue000."]),
        ("A [[link]], a [[target|named link]] and [[two]][[one]].", ["A link, a named link and twoone."]),
        ("Text{{cite|a={{nested|{{deep}}}}}} goes on.", ["Text goes on."]),
        ("Before {|table\n|-\n| {{cell}} || [[x]]\n|} after.", ["Before  after.".replace("  ", " ")]),
        ("{{infobox\n| a = 1\n}}\nFirst.", ["First."]),
        ("A<ref name=x>Book [[y]], p. 1.</ref> b<ref name=x /> c.", ["A b c."]),
        ("A <!-- hidden\n\nlines --> b.", ["A b."]),
        ("[[File:a.png|thumb|Caption with [[link|nested]] text]]Shown.", ["Shown."]),
        ("[[Fichier:a.png|vignette]]Montré.\n[[Файл:a.png]]Видно.", ["Montré.", "Видно."]),
        ("Shown.\n[[Category:Things]]\n[[Категория:Вещи]]", ["Shown."]),
        ("== Heading ==\nText.\n=== Sub ===", ["Text."]),
        ("* item\n# item\nText.", ["Text."]),
        ("See [http://example.org the page] now.", ["See the page now."]),
        ("5 &lt; 6 &amp; 7&nbsp;km.", ["5 < 6 & 7 km."]),
        ("H<sub>2</sub>O and x<sup>2</sup>.", ["H2O and x2."]),
        ("Born ({{date}}) in Rome.", ["Born in Rome."]),
        ("__NOTOC__Text.", ["Text."]),
        ("-{zh-hans:计算机; zh-hant:電腦}-科学。", ["计算机科学。"]),
        ("Unclosed {{template here.", []),
        ("A [[Portal: x|portal]] link.", ["A portal link."]),
        ("<math>x^2</math> is a square.", ["is a square."]),
        ("", []),
    ],
)
def test_wikitext(wikitext, plain):
    assert list(paragraphs(wikitext)) == plain


def test_list_items_on_request():
    assert list(paragraphs("* one\n** two\nText.", lists=True)) == ["one", "two", "Text."]


@pytest.mark.parametrize(
    ("lang", "sentences"),
    [
        (
            "en",
            ["Mr. Smith saw J. R. Jones.", "He left...", "Did he?", "3.5 kg.", "The U.S. Army came.", "No. 5 is it."],
        ),
        ("en", ['He said: "No."', "(She did not.)", "End"]),
        ("fr", ["M. Dupont est là.", "Il dit « Oui. »", "À bientôt !", "Fin."]),
        ("ru", ["А. С. Пушкин родился в 1799 г. в Москве.", "Да!", "Нет?", "«Так.»"]),
        ("zh", ["他来了。", "她说：“好。”", "对吗？", "是"]),
        ("en", ["lower-cased text has no capitals.", "it is split all the same.", "mr. smith stays whole."]),
    ],
)
def test_sentences(lang, sentences):
    text = ("" if lang == "zh" else " ").join(sentences)
    assert split_sentences(text, lang) == sentences


def page(title, text, ns=0, redirect=False):
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    mark = '<redirect title="x" />' if redirect else ""
    return (
        f"<page><title>{title}</title><ns>{ns}</ns><id>1</id>{mark}"
        f"<revision><id>2</id><text xml:space='preserve'>{text}</text></revision></page>"
    )


HEADER = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/" xml:lang="xx"><siteinfo><namespaces>
<namespace key="0" case="first-letter" /><namespace key="6" case="first-letter">Bildo</namespace>
</namespaces></siteinfo>"""


def dump(*pages):
    return (HEADER + "".join(pages) + "</mediawiki>").encode()


PAGES = (
    page("A", "One sentence. Another one.\n\nA <ref>x</ref>paragraph."),
    page("Talk:A", "Not this.", ns=1),
    page("B", "#REDIRECT [[A]]", redirect=True),
    page("C", "[[Bildo:x.png|caption]]Last & least."),
    page("D", "{{only a template}}"),
)
EXPECTED = "One sentence.\nAnother one.\nA paragraph.\n\nLast & least.\n\n"


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("suffix", "compress"), [("", bytes), (".bz2", bz2.compress), (".gz", gzip.compress)])
def test_a_dump(tmp_path, suffix, compress, workers):
    """All on one line, as wikiextractor cannot read it; file links of the dump's own language are known."""
    path = tmp_path / f"x.xml{suffix}"
    path.write_bytes(compress(dump(*PAGES)))
    counts = extract(path, tmp_path / "out.txt", "en", workers)
    assert (tmp_path / "out.txt").read_text() == EXPECTED
    wanted = {"pages": 5, "redirects": 1, "other": 1, "empty": 1, "documents": 2, "sentences": 4}
    assert counts == Counter(wanted)


def test_pages_across_pieces(tmp_path):
    path = tmp_path / "x.xml"
    path.write_bytes(dump(*(page(str(i), f"Page {i} has words. " * 40) for i in range(3000))))
    assert path.stat().st_size > 2 << 20
    counts = extract(path, tmp_path / "out.txt", "en", 2)
    assert counts["documents"] == 3000
    text = (tmp_path / "out.txt").read_text()
    assert text == "".join(f"Page {i} has words.\n" * 40 + "\n" for i in range(3000))


def test_a_damaged_page_is_counted(tmp_path):
    path = tmp_path / "x.xml"
    path.write_bytes(dump(PAGES[0], "<page><title>x</page>", PAGES[3]))
    counts = extract(path, tmp_path / "out.txt", "en")
    assert (counts["damaged"], counts["documents"]) == (1, 2)


@pytest.mark.parametrize("suffix", ["", ".bz2"])
def test_a_dump_cut_short_leaves_nothing(tmp_path, suffix):
    whole = dump(*(page(str(i), f"Page {i * i}. " * 40) for i in range(200)))
    data = bz2.compress(whole) if suffix else whole
    path = tmp_path / f"x.xml{suffix}"
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(InputError, match="cut short"):
        extract(path, tmp_path / "out.txt", "en")
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_no_dump_at_all(tmp_path):
    path = tmp_path / "x.xml"
    path.write_text("<html>not found</html>")
    with pytest.raises(InputError, match="expected a MediaWiki XML dump"):
        extract(path, tmp_path / "out.txt", "en")


def test_a_large_file_that_is_no_dump_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "x.xml.bz2"
    path.write_bytes(bz2.compress(b"no page here\n" * 2_000_000) + b"garbage that would be an error later on")
    with pytest.raises(InputError, match="no <page> at its beginning"):
        extract(path, tmp_path / "out.txt", "en")


@pytest.mark.parametrize(("name", "lang", "least"), [("fr", "fr", 300), ("ru", "ru", 200), ("zh", "zh", 100)])
def test_real_dumps(tmp_path, shared_data, name, lang, least):
    counts = extract(shared_data / f"wiki_dump/{name}wiki-mini.xml.bz2", tmp_path / "out.txt", lang)
    text = (tmp_path / "out.txt").read_text()
    assert counts["sentences"] > least
    assert not [
        line for line in text.splitlines() if any(mark in line for mark in ("{{", "}}", "[[", "]]", "<ref", "'''"))
    ]
