"""One call a condition: vocabulary mode, text used, code-switching, samples, dictionaries by way of English."""

import bz2
import contextlib
import json
import lzma
import multiprocessing
import shutil

import numpy as np
import pytest
from fairseq.data.indexed_dataset import MMapIndexedDataset

from fairseq_xling.corpus import draw
from fairseq_xling.corpus.conditions import CONDITIONS, Scale, build_condition, find_dictionary, find_domains
from fairseq_xling.corpus.notes import read_notes, write_notes
from fairseq_xling.corpus.prepare import prepare_languages
from fairseq_xling.data.vocabulary import Vocabularies
from fairseq_xling.formats.dictionary import write_weighted
from fairseq_xling.formats.errors import InputError
from tests.corpus.test_panlex import database
from tests.corpus.test_wikipedia import dump, page
from tests.corpus.worlds import write_splits

SCALE = Scale(200, 120, 1.0, True)
MODES = {
    "default": "joint",
    "wiki_cc": "joint",
    "no_anchors": "prefixed",
    "default_anchors": "union",
    "extra_anchors": "joint",
    "sep_emb": "separate",
    "sep_l1-3": "union",
    "sep_emb_l1-6": "separate",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Text of fr and ru, a pair without English, in two domains; dictionaries with English only."""
    root = tmp_path_factory.mktemp("text")
    for domain, seed, count in (("wiki", 1, 300), ("cc", 5, 900)):
        write_splits(root / "text" / domain, "fr", "abcdefgh", seed, count)
        write_splits(root / "text" / domain, "ru", "абвгдежз", seed + 1, count)
    words = {
        lang: sorted(set((root / f"text/wiki/{lang}.train.txt").read_text(encoding="utf-8").split()))
        for lang in ("fr", "ru")
    }
    pairs = list(zip(words["fr"], words["ru"], strict=False))
    write_weighted(root / "dictionaries/fr-en.weighted.tsv", {f: {f"e{i}": 2.0} for i, (f, _) in enumerate(pairs)})
    write_weighted(root / "dictionaries/en-ru.weighted.tsv", {f"e{i}": {r: 3.0} for i, (_, r) in enumerate(pairs)})
    return root


def build(folder, name, out, languages=("fr", "ru"), **options):
    return build_condition(name, list(languages), folder, out, SCALE, find_domains(folder), **options)


@pytest.mark.parametrize("name", MODES)
def test_a_condition(folder, tmp_path, name):
    manifest = build(folder, name, tmp_path / "bin")
    assert manifest["mode"] == MODES[name] == CONDITIONS[name].mode
    assert manifest["options"]["bpe_size"] == (200 if MODES[name] == "joint" else 120)
    assert manifest["history"]["condition"] == name
    assert Vocabularies.load(tmp_path / "bin").languages == ["fr", "ru"]
    strings = manifest["anchors"]["fr-ru"]["strings"]["subwords"]
    shared = manifest["anchors"]["fr-ru"]["shared"]["subwords"]
    assert strings > 0
    assert (shared == 0) == (MODES[name] in ("prefixed", "separate"))


def test_no_two_conditions_differ_in_nothing_but_name():
    assert len(CONDITIONS) == 11
    assert sum(condition.switch for condition in CONDITIONS.values()) == 1
    assert sum(condition.other_domain for condition in CONDITIONS.values()) == 1


def test_wiki_cc_takes_as_much_text_of_the_other_domain(folder, tmp_path):
    manifest = build(folder, "wiki_cc", tmp_path / "bin")
    assert manifest["history"]["domains"] == {"fr": "wiki", "ru": "cc"}
    assert manifest["history"]["sample"] == {"sentences": 300, "of": 900, "wanted": 300}
    assert manifest["counts"]["ru"]["train"]["sentences"] == 300
    drawn = (folder / "derived/cc-like-wiki-1/ru.train.txt").read_text(encoding="utf-8").splitlines()
    assert set(drawn) <= set((folder / "text/cc/ru.train.txt").read_text(encoding="utf-8").splitlines())


def test_extra_anchors_add_anchors(folder, tmp_path):
    default = build(folder, "default", tmp_path / "default")
    manifest = build(folder, "extra_anchors", tmp_path / "bin")
    for lang in ("fr", "ru"):
        counts = manifest["history"]["code_switching"][lang]
        assert 0 < counts["replaced"] <= 0.15 * counts["words"]
    share = {m["history"]["condition"]: m["anchors"]["fr-ru"]["shared"]["share"] for m in (default, manifest)}
    assert share["extra_anchors"] > share["default"]
    held_out = folder / "derived/fr-ru-anchors-1/fr.valid.txt"
    assert held_out.read_bytes() == (folder / "text/wiki/fr.valid.txt").read_bytes()


def test_extra_anchors_are_cased_as_the_text_is(tmp_path):
    """The dictionary has accents and capitals, the text has not: still every word that comes in is one of the text."""
    words = {"en": ["summer", "house", "tree"], "fr": ["ete", "maison", "foret"]}
    for lang, known in words.items():
        for split in ("train", "valid"):
            path = tmp_path / f"text/wiki/{lang}.{split}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{' '.join(known)} {lang}{i}\n" for i in range(300)))
    write_notes(tmp_path / "text/wiki", "lower-no-accents", {"en": "moses", "fr": "moses"})
    write_weighted(tmp_path / "dictionaries/en-fr.weighted.tsv", {"summer": {"Été": 1.0}, "tree": {"forêt": 1.0}})
    build(tmp_path, "extra_anchors", tmp_path / "bin", ("en", "fr"))
    for lang, own, other in (("en", "summer", "ete"), ("fr", "foret", "tree")):
        found = set((tmp_path / f"derived/en-fr-anchors-1/{lang}.train.txt").read_text().split())
        assert {own, other} <= found <= {*words["en"], *words["fr"], *(f"{lang}{i}" for i in range(300))}


def test_derived_text_is_kept_and_made_anew_when_its_source_changes(folder, tmp_path):
    root = tmp_path / "text"
    shutil.copytree(folder, root)
    build(root, "extra_anchors", tmp_path / "a")
    path = root / "derived/fr-ru-anchors-1/fr.train.txt"
    first = path.stat().st_mtime_ns
    build(root, "extra_anchors", tmp_path / "b")
    assert path.stat().st_mtime_ns == first
    with open(root / "text/wiki/fr.train.txt", "a", encoding="utf-8") as out:
        out.write("abc abc\n")
    build(root, "extra_anchors", tmp_path / "c")
    assert path.stat().st_mtime_ns > first
    build(root, "extra_anchors", tmp_path / "d", seed=2)
    assert (root / "derived/fr-ru-anchors-2/fr.train.txt").read_bytes() != path.read_bytes()


def test_switched_text_follows_from_the_dictionary(folder, tmp_path):
    root = tmp_path / "text"
    shutil.copytree(folder, root)
    path = root / "derived/fr-ru-anchors-1/fr.train.txt"
    build(root, "extra_anchors", tmp_path / "a")
    word = (root / "text/wiki/fr.train.txt").read_text(encoding="utf-8").split()[0]
    write_weighted(root / "one.tsv", {word: {"мама": 1.0}})
    build(root, "extra_anchors", tmp_path / "b", dictionary=root / "one.tsv")
    assert "мама" in path.read_text(encoding="utf-8").lower()


def test_a_sample_follows_from_the_size_of_the_usual_text(folder, tmp_path):
    root = tmp_path / "text"
    shutil.copytree(folder, root)
    build(root, "wiki_cc", tmp_path / "a")
    usual = root / "text/wiki/ru.train.txt"
    lines = usual.read_text(encoding="utf-8").splitlines(keepends=True)[:100]
    usual.write_text("".join(lines), encoding="utf-8")
    assert build(root, "wiki_cc", tmp_path / "b")["history"]["sample"]["wanted"] == 100


def test_dictionaries_direct_inverted_by_way_of_english_and_missing(folder, tmp_path):
    through = find_dictionary(folder, "fr", "ru")
    back = find_dictionary(folder, "ru", "fr")
    assert len(through) > 50
    assert {(s, t) for s, ts in through.items() for t in ts} == {(s, t) for t, ss in back.items() for s in ss}
    write_weighted(tmp_path / "dictionaries/ru-fr.weighted.tsv", {"а": {"b": 1.0}})
    assert find_dictionary(tmp_path, "fr", "ru") == {"b": {"а": 1.0}}
    with pytest.raises(InputError, match="no dictionary of fr and zh"):
        find_dictionary(folder, "fr", "zh")


@pytest.mark.parametrize(
    ("name", "languages", "message"),
    [
        ("best", ("fr", "ru"), "no condition 'best'; there are default"),
        ("default", ("fr",), "needs 2 languages"),
        ("default", ("fr", "fr"), "needs 2 languages"),
        ("mono", ("fr", "ru"), "needs 1 language,"),
        ("default", ("fr", "de"), "no train text for de"),
        ("wiki_cc", ("fr", "de"), "no such text"),
    ],
)
def test_what_cannot_be_built(folder, tmp_path, name, languages, message):
    with pytest.raises(InputError, match=message):
        build(folder, name, tmp_path / "bin", languages)
    assert not (tmp_path / "bin").exists()


def test_a_casing_that_the_notes_do_not_confirm_is_refused(tmp_path):
    """Text lower-cased by hand: without notes the data-bin would say cased, and evaluation keep unknown capitals."""
    for lang, letters in (("fr", "abcdefgh"), ("ru", "абвгдежз")):
        write_splits(tmp_path / "text/wiki", lang, letters, 1, 300)
    with pytest.raises(InputError, match=r"is cased by its notes .*, not lower") as error:
        build(tmp_path, "default", tmp_path / "bin", casing="lower")
    assert str(error.value.path).endswith("text/wiki/notes.json")
    assert not (tmp_path / "bin").exists()
    write_notes(tmp_path / "text/wiki", "lower", {"fr": "moses", "ru": "moses"})
    assert build(tmp_path, "default", tmp_path / "bin", casing="lower")["casing"] == "lower"


def test_one_language(folder, tmp_path):
    manifest = build(folder, "mono", tmp_path / "bin", ("fr",))
    assert manifest["languages"] == ["fr"]
    assert manifest["anchors"] == {}


def test_from_dumps_to_data_bin(tmp_path):
    """All that get_data.sh fetches for wiki_cc and extra_anchors, in small: dump, web corpus, PanLex."""
    raw, text = tmp_path / "raw", tmp_path / "text"
    (raw / "wiki").mkdir(parents=True)
    (raw / "cc100").mkdir()
    (raw / "panlex").mkdir()
    for lang, word in (("en", "house"), ("fr", "maison")):
        pages = (page(f"{lang}{i}", f"The {word} {i} is a {word}. It has {i} rooms.") for i in range(120))
        (raw / f"wiki/{lang}wiki-latest-pages-articles.xml.bz2").write_bytes(bz2.compress(dump(*pages)))
    web = "".join(f"Web text {i}. Another maison {i}.\n\n" for i in range(400))
    (raw / "cc100/fr.txt.xz").write_bytes(lzma.compress(web.encode()))
    database(raw / "panlex/db.sqlite", [("eng-000", "house"), ("fra-000", "maison")], [(1, 0, 1, 5), (1, 1, 1, 5)])
    for name in ("wiki_cc", "extra_anchors"):
        prepare_languages(raw, text, ["en", "fr"], name, "lower", seed=1, workers=1)
        manifest = build_condition(name, ["en", "fr"], text, tmp_path / name, SCALE, find_domains(text))
        assert manifest["casing"] == "lower"
        assert manifest["tokenisation"] == {"en": "moses", "fr": "moses"}
        sentences = sum(manifest["counts"]["fr"][split]["sentences"] for split in ("train", "valid", "test"))
        assert sentences == 240 if name == "wiki_cc" else sentences > 0
    assert manifest["history"]["code_switching"]["en"]["replaced"] > 0
    assert "maison" in (text / "derived/en-fr-anchors-1/en.train.txt").read_text()
    data = MMapIndexedDataset(str(tmp_path / "extra_anchors/en/train"))
    assert np.asarray(data[0])[-1] == 2
    assert json.loads((text / "text/wiki/notes.json").read_text())["casing"] == "lower"
    shutil.rmtree(raw)
    prepare_languages(raw, text, ["en", "fr"], "extra_anchors", "lower", seed=1, workers=1)  # nothing left to do
    prepare_languages(raw, text, ["en", "fr"], "default", None, seed=1, workers=1)  # as the text that is there
    with pytest.raises(InputError, match="the text here is lower, not cased; take another folder"):
        prepare_languages(raw, text, ["en", "fr"], "default", "cased", seed=1, workers=1)
    with pytest.raises(InputError, match="no dump of the ru Wikipedia"):
        prepare_languages(raw, text, ["en", "ru"], "default", "lower", seed=1, workers=1)


def test_web_text_is_cased_as_wikipedia_where_nothing_is_said(tmp_path):
    for lang in ("en", "fr"):
        raw = tmp_path / "raw" / "wiki" / f"{lang}.txt"
        raw.parent.mkdir(parents=True, exist_ok=True)
        raw.write_text("".join(f"Sentence {i} of Wikipedia.\n" for i in range(100)))
    (tmp_path / "raw" / "cc").mkdir()
    (tmp_path / "raw" / "cc" / "fr.txt").write_text("".join(f"Sentence {i} of the web.\n" for i in range(100)))
    prepare_languages(tmp_path, tmp_path, ["en", "fr"], "default", "lower", seed=1, workers=1)
    prepare_languages(tmp_path, tmp_path, ["en", "fr"], "wiki_cc", None, seed=1, workers=1)
    assert read_notes(tmp_path / "text" / "cc")["casing"] == "lower"


def test_who_waited_for_text_of_another_casing_is_told(tmp_path, monkeypatch):
    (tmp_path / "raw" / "wiki").mkdir(parents=True)
    (tmp_path / "raw" / "wiki" / "en.txt").write_text("".join(f"Sentence {i} of many.\n" for i in range(100)))

    @contextlib.contextmanager
    def the_other_job_was_first(path):
        monkeypatch.undo()
        prepare_languages(tmp_path, tmp_path, ["en"], "mono", "cased", seed=1, workers=1)
        yield

    monkeypatch.setattr("fairseq_xling.corpus.prepare.alone", the_other_job_was_first)
    with pytest.raises(InputError, match="the text here is cased, not lower"):
        prepare_languages(tmp_path, tmp_path, ["en"], "mono", "lower", seed=1, workers=1)


def test_jobs_of_a_matrix_that_need_the_same_text_at_once(tmp_path, monkeypatch):
    """Of text too large for memory, which waits in files of one name: one job makes it, the others find it."""
    monkeypatch.setattr(draw, "_HELD_BYTES", 1 << 17)
    lines = [f"Sentence {i} of many" + " and many more" * 9 for i in range(25_000)]
    alone, together = tmp_path / "alone", tmp_path / "together"
    for root, jobs in ((alone, 1), (together, 3)):
        (root / "raw/wiki").mkdir(parents=True)
        (root / "raw/wiki/en.txt").write_text("".join(f"{line}\n" for line in lines))
        fork = multiprocessing.get_context("fork")
        arguments = (tmp_path, root, ["en"], "default", "lower", 1, 1)
        started = [fork.Process(target=prepare_languages, args=arguments) for _ in range(jobs)]
        for job in started:
            job.start()
        for job in started:
            job.join()
        assert [job.exitcode for job in started] == [0] * jobs
    for split in ("train", "valid", "test"):
        name = f"text/wiki/en.{split}.txt"
        assert (together / name).read_bytes() == (alone / name).read_bytes()
    assert (alone / "text/wiki/en.train.txt").read_text().count("\n") == 22_500


def test_jobs_that_note_their_languages_at_once_forget_none(tmp_path):
    fork = multiprocessing.get_context("fork")
    langs = [f"l{i}" for i in range(12)]
    started = [fork.Process(target=write_notes, args=(tmp_path, "lower", {lang: "moses"})) for lang in langs]
    for job in started:
        job.start()
    for job in started:
        job.join()
    assert sorted(read_notes(tmp_path)["tokenisation"]) == sorted(langs)


def test_a_dump_in_parts_is_not_taken_for_its_first_part(tmp_path):
    """Wikipedia's large dumps come whole and in parts; half a download of get_data.sh is no dump."""
    wiki = tmp_path / "raw/wiki"
    wiki.mkdir(parents=True)
    for name in ("enwiki-1-pages-articles1.xml-p1p9.bz2", "enwiki-1-pages-articles2.xml-p10p99.bz2"):
        (wiki / name).write_bytes(bz2.compress(dump(page("A", "A sentence. " * 30))))
    (wiki / "frwiki-latest-pages-articles.xml.bz2.part").write_bytes(b"BZh9")
    with pytest.raises(InputError, match=r"2 dumps of the en Wikipedia \(enwiki-1-.*: expected one"):
        prepare_languages(tmp_path / "raw", tmp_path / "text", ["en", "fr"], "default", "lower", seed=1, workers=1)
    with pytest.raises(InputError, match="no dump of the fr Wikipedia"):
        prepare_languages(tmp_path / "raw", tmp_path / "text", ["fr", "en"], "default", "lower", seed=1, workers=1)
