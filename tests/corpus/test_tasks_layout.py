"""The full task sets from archives built like the published ones."""

import io
import json
import tarfile
import zipfile

import pytest

from fairseq_xling.corpus.tasks_layout import TaskSets
from fairseq_xling.formats.bio import read_bio
from fairseq_xling.formats.dictionary import read_pairs
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.nli import read_nli
from fairseq_xling.formats.parallel import read_table


def add(archive, name, data):
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    for name in ("nli", "wikiann", "ud", "muse", "tatoeba"):
        (folder / name).mkdir(parents=True)
    rows = [("A man.", "A  person.", "entailment"), ("A.", "B.", "-"), ("C.", "D.", "neutral")]
    lines = [json.dumps({"sentence1": a, "sentence2": b, "gold_label": c, "genre": "x"}) for a, b, c in rows]
    with zipfile.ZipFile(folder / "nli/multinli_1.0.zip", "w") as archive:
        archive.writestr("multinli_1.0/multinli_1.0_train.jsonl", "\n".join(lines))
        archive.writestr("__MACOSX/multinli_1.0/multinli_1.0_train.jsonl", "no")
    header = "language\tgold_label\tsentence1\tsentence2\n"
    table = header + "en\tneutral\tOne.\tTwo.\nfr\tneutral\tUn.\tDeux.\nen\tcontradiction\tYes.\tNo.\n"
    with zipfile.ZipFile(folder / "nli/XNLI-1.0.zip", "w") as archive:
        for split in ("dev", "test"):
            archive.writestr(f"XNLI-1.0/xnli.{split}.tsv", table)
    with zipfile.ZipFile(folder / "nli/XNLI-15way.zip", "w") as archive:
        text = "ar\ten\tfr\n" + "".join(f"x{i}\te{i}\tf{i}\n" for i in range(1200))
        archive.writestr("XNLI-15way/xnli.15way.orig.tsv", text)
    with zipfile.ZipFile(folder / "wikiann/panx_dataset.zip", "w") as archive:
        for lang, token in (("en", "Rome"), ("fr", "a:b")):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w:gz") as tar:
                for split in ("train", "dev", "test"):
                    add(tar, split, f"{lang}:{token}\tB-LOC\n{lang}:x\tO\n\n".encode())
            archive.writestr(f"panx_dataset/{lang}.tar.gz", inner.getvalue())
    with tarfile.open(folder / "ud/ud-treebanks-v2.3.tgz", "w:gz") as tar:
        for stem in ("UD_English-EWT/en_ewt", "UD_French-GSD/fr_gsd"):
            for split in ("train", "dev", "test"):
                add(tar, f"ud-treebanks-v2.3/{stem}-ud-{split}.conllu", f"# {split}\n".encode())
    for pair in ("en-fr", "fr-en"):
        for part in ("0-5000", "5000-6500"):
            (folder / f"muse/{pair}.{part}.txt").write_text("a b\n")
    for code in ("fra", "eng"):
        (folder / f"tatoeba/tatoeba.fra-eng.{code}").write_text("a\nb\n")
    return folder


def test_everything(raw, tmp_path):
    out = tmp_path / "out"
    sets = TaskSets(raw, out, ["en", "fr"])
    sets.run()
    assert sets.absent == []
    assert [tuple(pair) for pair in read_nli(out / "nli/en.train.tsv")] == [
        ("A man.", "A person.", "entailment"),
        ("C.", "D.", "neutral"),
    ]
    assert [pair.premise for pair in read_nli(out / "nli/en.dev.tsv")] == ["One.", "Yes."]
    assert [pair.premise for pair in read_nli(out / "nli/fr.test.tsv")] == ["Un."]
    test, train = (read_table(out / f"parallel/{split}.tsv").sentences for split in ("test", "train"))
    assert (list(test), len(test["en"]), train["fr"][0]) == (["en", "fr"], 1000, "f1000")
    assert [(list(s.tokens), list(s.tags)) for s in read_bio(out / "ner/fr.dev.tsv")] == [
        (["a:b", "x"], ["B-LOC", "O"])
    ]
    assert (out / "ud/fr-test.conllu").read_text() == "# test\n"
    assert read_pairs(out / "dictionaries/fr-en.test.txt") == [("a", "b")]
    assert (out / "tatoeba/tatoeba.fra-eng.fra").read_text() == "a\nb\n"
    assert not list(out.glob(".*"))
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.*")}
    TaskSets(raw, out, ["en", "fr"]).run()
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_what_is_missing_is_named(raw, tmp_path):
    (raw / "nli/XNLI-1.0.zip").unlink()
    (raw / "tatoeba/tatoeba.fra-eng.eng").unlink()
    sets = TaskSets(raw, tmp_path / "out", ["en", "fr"])
    sets.run()
    assert sets.absent == ["nli/XNLI-1.0.zip: not fetched", "tatoeba/tatoeba.fra-eng.eng: not fetched"]


@pytest.mark.parametrize(
    ("name", "step", "message"),
    [
        ("nli/multinli_1.0.zip", "entailment", "not a zip archive"),
        ("ud/ud-treebanks-v2.3.tgz", "treebanks", "not a tar archive|cut short|no ud-treebanks"),
    ],
)
def test_archives_cut_short(raw, tmp_path, name, step, message):
    (raw / name).write_bytes((raw / name).read_bytes()[:150])
    with pytest.raises(InputError, match=message):
        getattr(TaskSets(raw, tmp_path / "out", ["en", "fr"]), step)()


def test_aligned_files_of_unequal_length(raw, tmp_path):
    (raw / "tatoeba/tatoeba.fra-eng.eng").write_text("a\n")
    with pytest.raises(InputError, match="tatoeba"):
        TaskSets(raw, tmp_path / "out", ["en", "fr"]).tatoeba()


def test_a_language_that_the_set_lacks(raw, tmp_path):
    with pytest.raises(InputError, match=r"no de\.tar\.gz in the archive"):
        TaskSets(raw, tmp_path / "out", ["en", "de"]).entities()
