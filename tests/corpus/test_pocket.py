"""The pocket scale, laid out from a cut of the real sets; conditions and training on it."""

import gzip
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fairseq_xling.corpus.conditions import SCALES, build_condition, find_domains
from fairseq_xling.corpus.databin import describe
from fairseq_xling.corpus.notes import read_notes
from fairseq_xling.corpus.pocket import Pocket
from fairseq_xling.data.vocabulary import Segmenter
from fairseq_xling.formats.bio import read_bio
from fairseq_xling.formats.dictionary import read_pairs, read_weighted
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.files import sha256_of_file
from fairseq_xling.formats.nli import read_nli
from fairseq_xling.formats.parallel import read_aligned, read_table, tatoeba_paths
from fairseq_xling.formats.text import open_bytes

LINES = {"wikiann": 1000, "ud": 600, "ud_pud": 600, "muse": 3000, "bible": 300, "xnli": 601}
ROOT = Path(__file__).resolve().parents[2]


def cut(source, target, lines):
    """The first lines of a file; of column files up to the end of a sentence."""
    columns = "conllu" in source.name or source.parent.name == "wikiann"
    kept = []
    with open_bytes(source) as stream:
        for line in stream:
            kept.append(line)
            if len(kept) >= lines and not (columns and line.strip()):
                break
    target.parent.mkdir(parents=True, exist_ok=True)
    data = b"".join(kept)
    target.write_bytes(gzip.compress(data) if source.suffix == ".gz" else data)


@pytest.fixture(scope="module")
def sets(tmp_path_factory, shared_data):
    """The first part of every set, with a manifest of its own."""
    folder = tmp_path_factory.mktemp("sets")
    rows = ["path\tsha256"]
    for source in sorted(shared_data.glob("*/**/*")):
        name = source.relative_to(shared_data)
        if source.is_file() and name.parts[0] != "wiki_dump":
            cut(source, folder / name, LINES.get(name.parts[0], 500))
            rows.append(f"{name}\t{sha256_of_file(folder / name)}")
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def pocket(tmp_path_factory, sets):
    out = tmp_path_factory.mktemp("pocket")
    layout = Pocket(sets, out, workers=2)
    layout.run()
    return out


def test_every_reader_of_the_project_reads_what_is_laid_out(pocket):
    for lang in ("en", "fr", "ru", "zh"):
        for split in ("train", "dev", "test"):
            assert sum(1 for _ in read_bio(pocket / f"ner/{lang}.{split}.tsv")) > 20
        for split in ("dev", "test"):
            assert len(list(read_nli(pocket / f"nli/{lang}.{split}.tsv"))) > 200
        assert (pocket / f"ud/{lang}-test.conllu").read_text(encoding="utf-8").count("\n\n") > 10
    assert {pair.label for pair in read_nli(pocket / "nli/en.train.tsv")} == {"entailment", "neutral", "contradiction"}
    for split in ("train", "test"):
        assert list(read_table(pocket / f"parallel/{split}.tsv").sentences) == ["en", "fr", "ru", "zh"]
    for lang in ("fr", "ru", "zh"):
        assert len(read_aligned(tatoeba_paths(pocket / "tatoeba", lang))) == 500
        tests = {source for source, _ in read_pairs(pocket / f"dictionaries/en-{lang}.test.txt")}
        weighted = read_weighted(pocket / f"dictionaries/en-{lang}.weighted.tsv")
        assert tests
        assert not tests & set(weighted)
        assert not {word for word, _ in read_pairs(pocket / f"dictionaries/{lang}-en.test.txt")} & {
            translation for translations in weighted.values() for translation in translations
        }


def test_text_is_tokenised_lower_case_and_held_out(pocket):
    for lang in ("en", "fr", "ru", "zh"):
        for domain in ("bible", "wiki", "news", "all"):
            parts = {
                split: (pocket / f"text/{domain}/{lang}.{split}.txt").read_text(encoding="utf-8").splitlines()
                for split in ("train", "valid", "test")
            }
            assert not set(parts["train"]) & set(parts["valid"] + parts["test"])
            text = " ".join(parts["train"])
            assert text == text.lower()
            assert " , " in text or " ， " in text
    everything = len((pocket / "text/all/fr.train.txt").read_text(encoding="utf-8").splitlines())
    single = [len((pocket / f"text/{d}/fr.train.txt").read_text().splitlines()) for d in ("bible", "wiki", "news")]
    assert max(single) < everything <= sum(single)


def test_a_second_run_changes_nothing_and_missing_sets_are_named(pocket, sets, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in pocket.rglob("*.t*") if path.name != "CONTENTS.txt"}
    layout = Pocket(sets, pocket)
    layout.run()
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert any("CoNLL 2003" in line for line in layout.absent)
    shutil.copytree(sets, tmp_path / "less", ignore=shutil.ignore_patterns("muse", "bible", "wiki_text", "wikiann"))
    layout = Pocket(tmp_path / "less", tmp_path / "out")
    layout.run()
    assert "muse/en-fr.0-5000.txt: not in the folder" in layout.absent


def test_text_of_another_casing_is_not_taken_for_what_was_asked(pocket, sets):
    with pytest.raises(InputError, match="the text here is lower, not cased; take another folder"):
        Pocket(sets, pocket, casing="cased").run()


def test_text_of_all_domains_is_never_there_without_its_notes(sets, tmp_path, monkeypatch):
    """A disk that is full, or a kill, at that moment: the next run would find the text done and note nothing."""

    def stop(folder, *_):
        if folder.name == "all":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("fairseq_xling.corpus.pocket.write_notes", stop)
    with pytest.raises(OSError, match="No space"):
        Pocket(sets, tmp_path / "out").texts()
    monkeypatch.undo()
    Pocket(sets, tmp_path / "out").texts()
    assert read_notes(tmp_path / "out/text/all")["tokenisation"]["en"] == "moses"


def test_a_set_that_was_changed_is_refused(sets, tmp_path):
    shutil.copytree(sets, tmp_path / "sets")
    with open(tmp_path / "sets/ntrex/en.txt", "a") as out:
        out.write("one more\n")
    with pytest.raises(InputError, match="SHA-256 differs"):
        Pocket(tmp_path / "sets", tmp_path / "out").run()
    shutil.rmtree(tmp_path / "sets/tatoeba")
    shutil.copy(sets / "ntrex/en.txt", tmp_path / "sets/ntrex/en.txt")
    (tmp_path / "sets/tatoeba").mkdir()
    for lang, lines in (("fra", 3), ("eng", 2)):
        (tmp_path / f"sets/tatoeba/tatoeba.fra-eng.{lang}").write_text("a\n" * lines)
    rows = (tmp_path / "sets/manifest.tsv").read_text().splitlines()
    (tmp_path / "sets/manifest.tsv").write_text("\n".join(r for r in rows if "tatoeba" not in r) + "\n")
    with pytest.raises(InputError, match="tatoeba"):  # an aligned pair of unequal length
        Pocket(tmp_path / "sets", tmp_path / "out").tatoeba()


@pytest.mark.parametrize(
    "pair", ["fr-ru", *(pytest.param(pair, marks=pytest.mark.slow) for pair in ("en-fr", "en-ru", "en-zh", "zh-fr"))]
)
def test_every_pair_in_conditions_that_differ_most(pocket, tmp_path, pair):
    """Also pairs without English, whose dictionary goes by way of it."""
    scale = replace(SCALES["pocket"], joint=6000, each=3500, shrink=True, coverage=0.999)
    share = {}
    for name in ("default", "no_anchors", "extra_anchors"):
        out = tmp_path / name
        manifest = build_condition(name, pair.split("-"), pocket, out, scale, find_domains(pocket), allow_unknown=True)
        share[name] = manifest["anchors"][pair]["shared"]["share"]
        assert f"{pair} anchors" in describe(manifest)
    assert share["no_anchors"] == 0 < share["default"] < share["extra_anchors"]
    segmenter = Segmenter(tmp_path / "default", pair.split("-")[0])
    assert segmenter.casing == "lower"
    assert segmenter.encode("A") == segmenter.encode("a")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "separate"), [("default", ""), ("sep_emb", "emb")])
def test_fairseq_train_trains_on_it(pocket, tmp_path, name, separate):
    scale = replace(SCALES["pocket"], joint=6000, each=3500, shrink=True, coverage=0.999)
    build_condition(name, ["en", "zh"], pocket, tmp_path / "bin", scale, find_domains(pocket), allow_unknown=True)
    options = [
        "--tokens-per-sample",
        "64",
        "--batch-size",
        "4",
        "--optimizer",
        "adam",
        "--lr",
        "1e-3",
        "--max-update",
        "3",
    ]
    command = [
        str(Path(sys.executable).with_name("fairseq-train")),
        str(tmp_path / "bin"),
        "--user-dir",
        "fairseq_xling",
    ]
    task = [
        "--task",
        "xling_masked_lm",
        "--criterion",
        "xling_masked_lm",
        "--arch",
        "xling_lab",
        "--separate",
        separate,
    ]
    save = ["--save-dir", str(tmp_path / "save"), "--no-epoch-checkpoints"]
    run = subprocess.run([*command, *task, *options, *save], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    assert (tmp_path / "save/checkpoint_last.pt").is_file()
