"""The readers accept what the lab writes: every gold file of a small one."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairseq_xling.formats.bio import read_bio
from fairseq_xling.formats.conllu import read_conllu
from fairseq_xling.formats.nli import LABELS, read_nli
from fairseq_xling.formats.parallel import read_table
from fairseq_xling.lab.files import LabOptions, write_lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lab(tmp_path_factory.mktemp("lab") / "lab", LabOptions(sentences=20, gold=0.02))


def test_every_gold_file_is_read(lab: Path) -> None:
    trees = {path.name: list(read_conllu(path)) for path in lab.glob("ud/*.conllu")}
    spans = {path.name: list(read_bio(path)) for path in lab.glob("ner/*.tsv")}
    pairs = {path.name: list(read_nli(path)) for path in lab.glob("nli/*.tsv")}
    assert len(trees) == len(spans) == len(pairs) == 4 * 3  # languages and splits
    assert all(sentence.comment("text") == " ".join(sentence.tokens) for found in trees.values() for sentence in found)
    assert {tag[:2] for found in spans.values() for sentence in found for tag in sentence.tags} >= {"O", "B-"}
    assert {pair.label for found in pairs.values() for pair in found} == set(LABELS)
    parallel = read_table(lab / "parallel/test.tsv")
    assert list(parallel.sentences) == ["qaa", "qab", "qac", "qad"]
    assert all(text.strip() for texts in parallel.sentences.values() for text in texts)
