"""The files of a lab: readable by others' readers, gold that matches, nothing leaked, the same bytes again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import conllu
import pytest

from fairseq_xling.command import run_command
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.files import sha256_of_file
from fairseq_xling.lab import LabOptions, write_lab
from fairseq_xling.lab.__main__ import main
from fairseq_xling.lab.entailment import LABELS
from tests.lab.conftest import SMALL

CODES = ("qaa", "qab", "qac", "qad")


def lines(path):
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    assert "\r" not in text
    return text[:-1].split("\n")


def tokens_of(path):
    """Sentences of a BIO file as lists of (token, tag)."""
    blocks = path.read_text(encoding="utf-8").rstrip("\n").split("\n\n")
    return [[tuple(line.split("\t")) for line in block.split("\n")] for block in blocks]


def test_manifest_lists_every_file_with_its_hash(lab):
    manifest = json.loads((lab / "manifest.json").read_text(encoding="utf-8"))
    found = {str(p.relative_to(lab)) for p in lab.rglob("*") if p.is_file()} - {"manifest.json"}
    assert found == set(manifest["files"])
    for name, entry in manifest["files"].items():
        assert entry["sha256"] == sha256_of_file(lab / name)
    assert manifest["options"]["seed"] == SMALL.seed


def test_layout(lab):
    expected = {f"parallel/{s}.tsv" for s in ("train", "test")} | {"paraphrases/qaa.tsv", "manifest.json"}
    for code in CODES:
        for split, ud_split in (("train", "train"), ("valid", "dev"), ("test", "test")):
            expected |= {f"text/{domain}/{code}.{split}.txt" for domain in ("wiki", "cc")}
            expected |= {f"ud/{code}-{ud_split}.conllu", f"ner/{code}.{ud_split}.tsv", f"nli/{code}.{ud_split}.tsv"}
        for other in set(CODES) - {code}:
            stem = f"dictionaries/{code}-{other}"
            expected |= {f"{stem}.train.txt", f"{stem}.test.txt", f"{stem}.weighted.tsv"}
    assert {str(p.relative_to(lab)) for p in lab.rglob("*") if p.is_file()} == expected


def test_text_has_the_asked_number_of_sentences(lab):
    for domain in ("wiki", "cc"):
        for code in CODES:
            assert len(lines(lab / f"text/{domain}/{code}.train.txt")) == SMALL.sentences
            assert len(lines(lab / f"text/{domain}/{code}.test.txt")) == SMALL.sentences // 16


def test_no_held_out_sentence_in_training_text(lab):
    header, *rows = [row.split("\t") for row in lines(lab / "parallel/test.tsv")]
    assert header == list(CODES)
    paraphrases = [row.split("\t") for row in lines(lab / "paraphrases/qaa.tsv")]
    for i, code in enumerate(CODES):
        held_out = {row[i] for row in rows}
        for split in ("dev", "test"):
            trees = conllu.parse((lab / f"ud/{code}-{split}.conllu").read_text(encoding="utf-8"))
            held_out |= {tree.metadata["text"] for tree in trees}
            held_out |= {" ".join(t for t, _ in s) for s in tokens_of(lab / f"ner/{code}.{split}.tsv")}
            held_out |= {t for row in lines(lab / f"nli/{code}.{split}.tsv") for t in row.split("\t")[:2]}
        for domain in ("wiki", "cc"):
            held_out |= set(lines(lab / f"text/{domain}/{code}.test.txt"))
        if code == "qaa":
            held_out |= {text for pair in paraphrases for text in pair}
        assert len(held_out) > 100
        for domain in ("wiki", "cc"):
            assert not held_out & set(lines(lab / f"text/{domain}/{code}.train.txt"))
        parallel_training = {row.split("\t")[i] for row in lines(lab / "parallel/train.tsv")}
        assert not {row[i] for row in rows} & parallel_training


def test_no_held_out_text_in_the_training_text_of_the_other_domain(tmp_path):
    """Short sentences come again and again: with 3,000 a domain some dozen of one are held out in the other."""
    root = write_lab(tmp_path / "lab", LabOptions(seed=1, sentences=3000, size=0.3, gold=0.01))
    for code in CODES:
        training = {line for domain in ("wiki", "cc") for line in lines(root / f"text/{domain}/{code}.train.txt")}
        for domain in ("wiki", "cc"):
            for split in ("valid", "test"):
                assert not training & set(lines(root / f"text/{domain}/{code}.{split}.txt"))


def test_parallel_rows_say_the_same(lab, languages):
    """Every content word of a row can be translated word by word into every other column."""
    concept = {
        code: {form: i for i, stems in enumerate(language.lexicon.stems) for form in stems}
        for code, language in languages.items()
    }
    content = {"noun", "verb", "adjective", "time", "manner", "given_name", "place_name", "company_name"}
    classes = languages["qaa"].world.inventory.word_class
    seen = 0
    for row in lines(lab / "parallel/test.tsv")[1:]:
        columns = dict(zip(CODES, row.split("\t")))
        # uninflected words only: inflected ones are read back in test_language
        said = {c: Counter(concept[c][w] for w in text.split(" ") if w in concept[c]) for c, text in columns.items()}
        for code in CODES:
            for i in said["qaa"]:
                if classes[i] in content and classes[i] not in ("noun", "verb", "adjective"):
                    seen += 1
                    assert said[code][i] == said["qaa"][i]
    assert seen > 50


def test_columns_are_comparable_not_parallel(lab):
    sets = [set(lines(lab / f"text/wiki/{code}.train.txt")) for code in ("qaa", "qab")]
    assert not sets[0] & sets[1]
    assert len(sets[0]) > 0.95 * SMALL.sentences


def test_dictionaries_pair_words_of_one_concept(lab, languages):
    for a in CODES:
        for b in CODES:
            if a == b:
                continue
            ours, theirs = (
                {form: i for i, stems in enumerate(languages[c].lexicon.stems) for form in stems} for c in (a, b)
            )
            splits = {
                s: [row.split(" ") for row in lines(lab / f"dictionaries/{a}-{b}.{s}.txt")] for s in ("train", "test")
            }
            for pairs in splits.values():
                assert all(ours[s] == theirs[t] for s, t in pairs)
            train, test = ({ours[s] for s, _ in splits[k]} for k in ("train", "test"))
            assert not train & test
            assert 0.3 < len(test) / len(train | test) < 0.5
            weighted = [row.split("\t") for row in lines(lab / f"dictionaries/{a}-{b}.weighted.tsv")]
            assert {(s, t) for s, t, _ in weighted} == {tuple(p) for pairs in splits.values() for p in pairs}
            assert all(0 < float(quality) <= 1 for _, _, quality in weighted)
    back = {tuple(reversed(row.split(" "))) for row in lines(lab / "dictionaries/qab-qaa.test.txt")}
    assert back == {tuple(row.split(" ")) for row in lines(lab / "dictionaries/qaa-qab.test.txt")}


def test_treebanks_are_valid_conllu(lab):
    multiword = 0
    for code in CODES:
        for split in ("train", "dev", "test"):
            trees = conllu.parse((lab / f"ud/{code}-{split}.conllu").read_text(encoding="utf-8"))
            assert len(trees) == SMALL.count({"train": 2000, "dev": 300, "test": 500}[split])
            for tree in trees:
                words = [t for t in tree if isinstance(t["id"], int)]
                assert [w["id"] for w in words] == list(range(1, len(words) + 1))
                assert [w["deprel"] for w in words if w["head"] == 0] == ["root"]
                merged = [t for t in tree if isinstance(t["id"], tuple)]
                covered = {i for t in merged for i in range(t["id"][0], t["id"][2] + 1)}
                surface = {t["id"][0]: t["form"] for t in merged}
                surface |= {w["id"]: w["form"] for w in words if w["id"] not in covered}
                assert tree.metadata["text"] == " ".join(surface[i] for i in sorted(surface))
                multiword += len(merged)
                if code != "qab":
                    assert not merged
                tree.to_tree()
    assert multiword > 3


def test_entity_tags_are_valid_bio(lab):
    for code in CODES:
        kinds = Counter()
        for sentence in tokens_of(lab / f"ner/{code}.train.tsv"):
            for (_, before), (_, tag) in zip([("", "O"), *sentence], sentence):
                kinds[tag] += 1
                if tag.startswith("I-"):
                    assert before[2:] == tag[2:]
        assert set(kinds) == {"O", *(f"{p}-{k}" for p in "BI" for k in ("PER", "LOC", "ORG"))}


def test_entailment_files_are_balanced_and_aligned(lab):
    for split, full in (("train", 9000), ("dev", 600), ("test", 1500)):
        rows = {code: [row.split("\t") for row in lines(lab / f"nli/{code}.{split}.tsv")] for code in CODES}
        labels = [row[2] for row in rows["qaa"]]
        assert Counter(labels) == {label: SMALL.count(full) // 3 for label in LABELS}
        assert all([row[2] for row in rows[code]] == labels for code in CODES)
        assert all(len(row) == 3 and row[0] != row[1] for code in CODES for row in rows[code])


def test_no_pair_of_dev_or_test_is_trained_on(tmp_path):
    """Pairs of short sentences come again: with all 9,000 of training some twenty of the test set were among them."""
    root = write_lab(tmp_path / "lab", LabOptions(seed=1, sentences=100, size=0.2, gold=0.3))
    for code in CODES:
        train, dev, test = (
            {row.rsplit("\t", 1)[0] for row in lines(root / f"nli/{code}.{split}.tsv")}
            for split in ("train", "dev", "test")
        )
        assert not train & test
        assert not train & dev
        assert not dev & test


def test_paraphrases_differ_and_keep_the_concepts(lab, languages):
    language = languages["qaa"]
    concept = {form: i for i, stems in enumerate(language.lexicon.stems) for form in stems}
    features = list(language.lexicon.suffixes.values())

    def said(text):
        stems = [
            next((w[: len(w) - len(s)] for s in features if w not in concept and w.endswith(s)), w)
            for w in text.split(" ")
        ]
        return Counter(concept.get(stem, stem) for stem in stems)

    for row in lines(lab / "paraphrases/qaa.tsv"):
        usual, other = row.split("\t")
        assert usual != other
        assert said(usual) == said(other)


def test_same_options_same_bytes_other_seed_others(lab, tmp_path):
    again = write_lab(tmp_path / "again", SMALL)
    assert (again / "manifest.json").read_bytes() == (lab / "manifest.json").read_bytes()
    other = write_lab(tmp_path / "other", LabOptions(seed=4, sentences=48, gold=0.01))
    few = write_lab(tmp_path / "few", LabOptions(seed=3, sentences=48, gold=0.01))
    for name in ("text/wiki/qaa.train.txt", "dictionaries/qaa-qab.train.txt", "parallel/test.tsv"):
        assert (other / name).read_bytes() != (few / name).read_bytes()


def test_more_sentences_only_add_sentences(lab, tmp_path):
    """The gold and the first sentences stay the same."""
    more = write_lab(tmp_path / "more", LabOptions(seed=3, sentences=700, gold=0.05))
    for name in ("parallel/test.tsv", "nli/qac.test.tsv", "dictionaries/qaa-qad.test.txt"):
        assert (more / name).read_bytes() == (lab / name).read_bytes()


def test_finished_lab_is_left_alone_and_other_folders_are_refused(lab, tmp_path):
    before = (lab / "manifest.json").stat().st_mtime_ns
    assert write_lab(lab, SMALL) == lab
    assert (lab / "manifest.json").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="same options"):
        write_lab(lab, LabOptions(seed=99))
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="new or empty folder"):
        write_lab(tmp_path / "file", SMALL)


def test_interrupted_lab_leaves_nothing(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("fairseq_xling.lab.files.word_pairs", stop)
    with pytest.raises(KeyboardInterrupt):
        write_lab(tmp_path / "lab", LabOptions(sentences=12, gold=0.01))
    assert list(tmp_path.iterdir()) == []


def test_shared_option_sets_the_share_of_common_words(tmp_path):
    def common(share):
        folder = write_lab(tmp_path / str(share), LabOptions(sentences=12, gold=0.01, shared=share))
        rows = [row.split("\t") for row in lines(folder / "dictionaries/qaa-qab.weighted.tsv")]
        best = [(s, t) for s, t, quality in rows if quality == "1"]
        return sum(s == t for s, t in best) / len(best)

    assert common(0.0) == 0
    assert 0.35 < common(0.5) < 0.75


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sentences", "0"], "above 0"),
        (["--size", "0.1"], "a vocabulary of size 0.1: expected at least 0.11"),
        (["--shared", "2"], "between 0 and 1"),
        (["--seed", "x"], "expected a whole number from 0 to"),
    ],
)
def test_bad_values_give_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.setattr(sys, "argv", ["lab", str(tmp_path / "out"), *arguments])
    with pytest.raises(SystemExit) as stopped:
        run_command(main)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_command_writes_a_lab(tmp_path):
    command = [sys.executable, "-m", "fairseq_xling.lab", str(tmp_path / "lab"), "--sentences", "12", "--gold", "0.01"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "lab/manifest.json").is_file()
