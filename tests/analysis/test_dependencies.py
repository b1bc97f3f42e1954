"""Attachment scores: literal cases, an independent count, and the CoNLL 2018 evaluation on real treebanks."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from pathlib import Path

import conllu
import numpy as np
import pytest

from fairseq_xling.analysis import Word, attachment_scores

GOLD = [
    [
        Word(2, "nsubj:pass", "NOUN"),
        Word(0, "root", "VERB"),
        Word(2, "obl", "NOUN"),
        Word(3, "punct", "SYM"),
        Word(2, "punct", "PUNCT"),
    ],
    [Word(0, "root", "INTJ")],
]


def replaced(sentence: int, word: int, new: Word) -> list[list[Word]]:
    changed = [list(words) for words in GOLD]
    changed[sentence][word] = new
    return changed


def test_gold_against_itself():
    score = attachment_scores(GOLD, GOLD)
    assert (score.words, score.uas, score.las) == (6, 1, 1)


def test_a_wrong_head_counts_in_both_a_wrong_relation_in_las_only():
    score = attachment_scores(GOLD, replaced(0, 2, Word(1, "obl")))
    assert (score.uas, score.las) == (5 / 6, 5 / 6)
    score = attachment_scores(GOLD, replaced(0, 2, Word(2, "obj")))
    assert (score.uas, score.las) == (1, 5 / 6)


def test_the_root_word_counts():
    score = attachment_scores(GOLD, replaced(0, 1, Word(3, "root")))
    assert (score.correct_heads, score.correct_arcs) == (5, 5)
    score = attachment_scores(GOLD, replaced(1, 0, Word(0, "dep")))
    assert (score.correct_heads, score.correct_arcs) == (6, 5)


def test_subtypes():
    predicted = replaced(0, 0, Word(2, "nsubj"))
    assert attachment_scores(GOLD, predicted).las == 1
    assert attachment_scores(GOLD, predicted, strip_subtypes=False).las == 5 / 6
    predicted = replaced(0, 0, Word(2, "nsubj:outer"))
    assert attachment_scores(GOLD, predicted).las == 1


def test_punctuation_is_told_by_the_gold_part_of_speech_not_by_relation_or_prediction():
    predicted = replaced(0, 4, Word(1, "punct", "NOUN"))
    assert attachment_scores(GOLD, predicted).words == 6
    score = attachment_scores(GOLD, predicted, ignore_upos={"PUNCT"})
    assert (score.words, score.las) == (5, 1)
    score = attachment_scores(GOLD, predicted, ignore_upos=("SYM", "PUNCT"))
    assert (score.words, score.las) == (4, 1)


def test_a_word_may_hang_on_one_that_does_not_count():
    gold = [[Word(0, "root", "PUNCT"), Word(1, "nsubj", "NOUN")]]
    assert attachment_scores(gold, gold, ignore_upos={"PUNCT"}).words == 1


def test_the_rule_is_named():
    assert attachment_scores(GOLD, GOLD).rule == "all_words,universal"
    assert attachment_scores(GOLD, GOLD, {"SYM", "PUNCT"}, strip_subtypes=False).rule == "no_PUNCT+SYM,full"


@pytest.mark.parametrize(
    ("gold", "predicted", "message"),
    [
        (GOLD, GOLD[:1], "2 gold sentences but 1"),
        (GOLD, [GOLD[0], GOLD[0]], "sentence 1: 1 gold words but 5"),
        (GOLD, replaced(0, 3, Word(6, "punct")), "sentence 0, word 4: no such predicted head: 6"),
        (GOLD, replaced(0, 3, Word(-1, "punct")), "predicted head: -1"),
        (GOLD, replaced(0, 3, Word(4, "punct")), "predicted head: 4"),
        (replaced(1, 0, Word(2, "root")), GOLD, "sentence 1, word 1: no such gold head: 2"),
        ([], [], "no word to score"),
        ([[]], [[]], "no word to score"),
    ],
)
def test_refused(gold, predicted, message):
    with pytest.raises(ValueError, match=message):
        attachment_scores(gold, predicted)


def test_a_string_of_parts_of_speech_is_refused():
    with pytest.raises(ValueError, match="collection"):
        attachment_scores(GOLD, GOLD, ignore_upos="PUNCT")


TREEBANKS = [
    "en_ewt/en_ewt-ud-dev",
    "fr_gsd/fr_gsd-ud-dev",
    "ru_gsd/ru_gsd-ud-dev",
    "zh_gsd/zh_gsd-ud-dev",
]


def words_of(sentences) -> list[list[Word]]:
    return [
        [Word(token["head"], token["deprel"], token["upos"]) for token in sentence if isinstance(token["id"], int)]
        for sentence in sentences
    ]


def perturb(sentences, seed: int) -> None:
    """Other relations, and other heads that leave it a tree with one root: leaves and the root move."""
    rng = np.random.default_rng(seed)
    relations = ["nsubj", "nsubj:pass", "punct", "obl:agent", "conj", "aux"]
    for sentence in sentences:
        words = [token for token in sentence if isinstance(token["id"], int)]
        heads = {word["head"] for word in words}
        inner = [word["id"] for word in words if word["id"] in heads]
        for word in words:
            if rng.random() < 0.2 and word["head"] != 0:
                word["deprel"] = str(rng.choice(relations))
            if rng.random() < 0.3 and word["id"] not in heads and inner:
                word["head"] = int(rng.choice(inner))
        if rng.random() < 0.2 and len(words) > 1:
            root = next(word for word in words if word["head"] == 0)
            other = next((word for word in words if word["head"] == root["id"]), None)
            if other is not None:
                root["head"], root["deprel"] = other["id"], "dep"
                other["head"], other["deprel"] = 0, "root"


@pytest.mark.parametrize("treebank", TREEBANKS)
def test_the_conll_2018_evaluation_agrees(treebank, shared_data, tmp_path):
    """Multi-word tokens and empty nodes included; the evaluation is called as a program."""
    udeval = Path(sys.executable).with_name("udeval")
    if not udeval.is_file():
        pytest.skip("udeval, the CoNLL 2018 evaluation, is not installed (pip install udtools)")
    text = gzip.decompress((shared_data / "ud" / f"{treebank}.conllu.gz").read_bytes()).decode()
    text = "".join(sentence + "\n\n" for sentence in text.split("\n\n")[:250] if sentence)
    if treebank.startswith(("en", "fr")):
        assert re.search(r"^\d+-\d+\t", text, re.MULTILINE)
    if treebank.startswith("en"):
        assert re.search(r"^\d+\.\d+\t", text, re.MULTILINE)
    gold, predicted = conllu.parse(text), conllu.parse(text)
    perturb(predicted, seed=0)
    (tmp_path / "gold.conllu").write_text(text, encoding="utf-8")
    (tmp_path / "system.conllu").write_text("".join(s.serialize() for s in predicted), encoding="utf-8")
    command = [udeval, "--verbose", "--counts", "--no-enhanced", "gold.conllu", "system.conllu"]
    report = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert report.returncode == 0, report.stderr
    rows = dict(line.split("|", 1) for line in report.stdout.replace(" ", "").splitlines() if "|" in line)
    correct = {name: rows[name].split("|") for name in ("UAS", "LAS")}
    score = attachment_scores(words_of(gold), words_of(predicted))
    assert 0.5 < score.las < score.uas < 0.95
    assert int(correct["UAS"][0]) == score.correct_heads
    assert int(correct["LAS"][0]) == score.correct_arcs
    assert int(correct["LAS"][1]) == score.words


@pytest.mark.parametrize("treebank", TREEBANKS)
def test_without_punctuation_and_with_subtypes_on_real_trees(treebank, shared_data):
    text = gzip.decompress((shared_data / "ud" / f"{treebank}.conllu.gz").read_bytes()).decode()
    text = "".join(sentence + "\n\n" for sentence in text.split("\n\n")[:250])
    gold, predicted = conllu.parse(text), conllu.parse(text)
    perturb(predicted, seed=1)
    counted = right = 0
    for gold_sentence, predicted_sentence in zip(gold, predicted, strict=True):
        for token, guess in zip(gold_sentence.filter(), predicted_sentence.filter(), strict=True):
            if isinstance(token["id"], int) and token["upos"] not in ("PUNCT", "SYM"):
                counted += 1
                right += (token["head"], token["deprel"]) == (guess["head"], guess["deprel"])
    score = attachment_scores(words_of(gold), words_of(predicted), {"PUNCT", "SYM"}, strip_subtypes=False)
    assert (score.words, score.correct_arcs) == (counted, right)
