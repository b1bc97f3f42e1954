"""The commands, from a checkpoint and files to lines of results.jsonl; and one clear line on bad input."""

from __future__ import annotations

import numpy as np
import pytest

from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.results import latest, parse_signature, read_results, select
from tests.tasks import pretraining


@pytest.fixture
def sides(checkpoint):
    return ["--source", f"qaa={checkpoint}", "--target", f"qab={checkpoint}", "--experiment", "no_anchors"]


def test_retrieval_writes_three_numbers_a_layer(command, sides, lab, tmp_path):
    results = tmp_path / "results.jsonl"
    command("sentence_retrieval", *sides, "--test", lab / "parallel/test.tsv", "--results", results)
    lines = read_results(results)
    assert len(lines) == 5 * 3
    there = select(lines, metric="precision@1_source_to_target", layer=2)[0]
    back = select(lines, metric="precision@1_target_to_source", layer=2)[0]
    both = select(lines, metric="precision@1", layer=2)[0]
    assert both.value == pytest.approx((there.value + back.value) / 2)
    assert both.chance == pytest.approx(1 / both.n)
    parts = parse_signature(both.signature)
    assert parts["rule"] == "cosine,centred"
    assert parts["data"].startswith("test.tsv@")
    assert {"casing", "vocabulary", "direction", "xling"} <= parts.keys()


def test_retrieval_with_supervision_and_two_files(command, sides, lab, tmp_path):
    rows = [line.split("\t") for line in (lab / "parallel/test.tsv").read_text("utf-8").splitlines()[1:]]
    for column, name in enumerate(("a", "b")):
        (tmp_path / name).write_text("".join(row[column] + "\n" for row in rows), encoding="utf-8")
    results = tmp_path / "results.jsonl"
    paths = tmp_path / "a", tmp_path / "b"
    command("sentence_retrieval", *sides, "--test", *paths, "--supervision", *paths, "--results", results)
    command("sentence_retrieval", *sides, "--test", *paths, "--untrained", "both", "--results", results)
    lines = select(read_results(results), metric="precision@1", layer=0)
    assert lines[0].value > 0.3  # the map saw these very sentences
    assert parse_signature(lines[0].signature)["supervision"].startswith("a@")
    assert parse_signature(lines[1].signature)["untrained"] == "both"
    assert [line.experiment for line in lines] == ["no_anchors", "random:no_anchors"]


def test_untrained_numbers_do_not_take_the_place_of_trained_ones(command, sides, lab, tmp_path):
    results = tmp_path / "results.jsonl"
    command("cka", *sides, "--parallel", lab / "parallel/test.tsv", "--results", results)
    trained = read_results(results)
    again = ["--untrained", "target", "--parallel", lab / "parallel/test.tsv", "--results", results]
    for name in ("no_anchors", "random:no_anchors"):  # the prefix is given by hand or not, never twice
        command("cka", *sides, "--experiment", name, *again)
    lines = latest(read_results(results))
    assert select(lines, experiment="no_anchors") == trained
    assert {line.experiment for line in lines} == {"no_anchors", "random:no_anchors"}


def test_cka_of_paraphrases_within_a_language_and_with_itself(command, checkpoint, lab, tmp_path):
    results = tmp_path / "results.jsonl"
    same = ["--source", f"qaa={checkpoint}", "--target", f"qaa={checkpoint}", "--experiment", "x", "--results", results]
    command("cka", *same, "--parallel", lab / "paraphrases/qaa.tsv", "--columns", 1, 1)
    command("cka", *same, "--parallel", lab / "paraphrases/qaa.tsv", "--columns", 1, 2)
    itself, paraphrase = read_results(results)[:6], read_results(results)[6:]
    assert [line.value for line in itself] == pytest.approx([1.0] * 6)
    assert [line.layer for line in paraphrase] == [0, 1, 2, 3, 4, None]
    assert paraphrase[-1].value == pytest.approx(np.mean([line.value for line in paraphrase[:-1]]))
    assert paraphrase[0].value < 1


def test_words_in_context_from_extraction_to_translation(command, checkpoint, sides, lab, tmp_path):
    for language in ("qaa", "qab"):
        text = lab / f"text/wiki/{language}.train.txt"
        command("extract", f"{language}={checkpoint}", text, tmp_path / language, "--words", "--limit", 200)
    results = tmp_path / "results.jsonl"
    dictionary = lab / "dictionaries/qaa-qab"
    options = ["--test", f"{dictionary}.test.txt", "--train", f"{dictionary}.train.txt", "--results", results]
    command("word_translation", *sides, *options, "--means", tmp_path / "qaa", tmp_path / "qab", "--all-words")
    command("word_translation", *sides, *options)
    lines = read_results(results)
    assert [line.task for line in lines] == ["contextual_word_translation"] * 5 + ["word_translation"]
    assert [line.layer for line in lines] == [0, 1, 2, 3, 4, 0]
    assert all(0 < float(parse_signature(line.signature)["coverage"]) <= 1 for line in lines)


def test_fasttext_vectors_are_restricted_to_the_same_words(command, sides, lab, tmp_path):
    pairs = [line.split() for line in (lab / "dictionaries/qaa-qab.test.txt").read_text("utf-8").splitlines()]
    vectors = np.random.default_rng(0).normal(size=(len(pairs) + 1, 6))
    for column, name in enumerate(("a.vec", "b.vec")):
        words = dict.fromkeys(pair[column] for pair in pairs)
        rows = [f"{word} {' '.join(map(str, vectors[i]))} \n" for i, word in enumerate(words)]
        (tmp_path / name).write_text(
            f"{len(rows) + 1} 6\n" + "".join(rows) + f"unseenword {'1 ' * 6}\n", encoding="utf-8"
        )
    results = tmp_path / "results.jsonl"
    dictionary = lab / "dictionaries/qaa-qab.test.txt"
    files = [tmp_path / "a.vec", tmp_path / "b.vec"]
    command(
        "word_translation",
        *sides,
        "--vectors",
        *files,
        "--test",
        dictionary,
        "--train",
        dictionary,
        "--results",
        results,
    )
    (line,) = read_results(results)
    known = line.n
    command("word_translation", *sides, "--test", dictionary, "--results", results)
    assert known <= read_results(results)[1].n  # no word that is not a single subword
    assert "a.vec" in parse_signature(line.signature)["vectors"]


def test_extraction_of_sentences_and_occurrences(command, checkpoint, lab, tmp_path):
    text = lab / "text/wiki/qaa.valid.txt"
    command("extract", f"qaa={checkpoint}", text, tmp_path, "--sentences", "--limit", 12)
    command("extract", f"qaa={checkpoint}", text, tmp_path, "--occurrences", "--limit", 12)
    words = [line.split() for line in (tmp_path / "words.txt").read_text("utf-8").splitlines()]
    sentences = np.load(tmp_path / "sentences.npy", mmap_mode="r")
    occurrences = np.load(tmp_path / "occurrences.npy", mmap_mode="r")
    assert isinstance(sentences, np.memmap)
    assert sentences.dtype == occurrences.dtype == np.float32
    assert sentences.shape == (5, 12, 16)
    assert occurrences.shape == (5, sum(map(len, words)), 16)
    assert not list(tmp_path.glob(".*"))


def test_contextual_transfer_with_a_given_alignment(command, sides, lab, tmp_path):
    parallel = lab / "parallel/test.tsv"
    rows = [line.split("\t") for line in parallel.read_text("utf-8").splitlines()[1:]]
    links = [" ".join(f"{i}-{i}" for i in range(min(len(r[0].split()), len(r[1].split())))) for r in rows]
    (tmp_path / "links").write_text("".join(line + "\n" for line in links))
    results = tmp_path / "results.jsonl"
    small = ["--epochs", 1, "--head-layers", 1, "--layers", 0, 2, "--results", results]
    command(
        *("contextual", *sides, "--task", "ner", "--gold", lab / "ner", "--parallel", parallel),
        *("--pharaoh", tmp_path / "links", *small),
    )
    lines = read_results(results)
    assert [line.metric for line in lines] == ["f1", "f1_source", "f1_aligned", "f1_source_aligned"] * 2
    assert [line.layer for line in lines] == [0] * 4 + [2] * 4
    assert parse_signature(lines[2].signature)["map"] == "procrustes"
    assert parse_signature(lines[0].signature)["map"] == "none"


BAD = {
    "language": ("cka", ["--parallel", "{lab}/parallel/test.tsv"], "knows no language 'xx'"),
    "columns": ("sentence_retrieval", ["--test", "{tmp}/short.tsv"], r"short\.tsv:3: expected 2 columns"),
    "header": ("cka", ["--parallel", "{tmp}/other.tsv"], r"other\.tsv:1: no language 'qab'.* in the header"),
    "lengths": ("cka", ["--parallel", "{tmp}/a", "{tmp}/b"], "expected the same number of lines"),
    "overlap": ("word_translation", ["--test", "{tmp}/none.txt"], "none of the 1 source words of the test dictionary"),
    "means": (
        "word_translation",
        ["--test", "{lab}/dictionaries/qaa-qab.test.txt", "--means", "{tmp}", "{tmp}"],
        "no word means here",
    ),
    "layers": (
        "contextual",
        ["--task", "ner", "--gold", "{lab}/ner", "--layers", "9"],
        "--layers 9: the models have layers 0 to 4",
    ),
    "vectors": (
        "word_translation",
        ["--test", "{tmp}/none.txt", "--train", "{tmp}/none.txt", "--vectors", "{tmp}/bad.vec", "{tmp}/bad.vec"],
        r"bad\.vec:3: expected a word and 2 numbers, found 2 fields",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(command, checkpoint, lab, tmp_path, case):
    (tmp_path / "short.tsv").write_text("qaa\tqab\na\tb\nc\n")
    (tmp_path / "other.tsv").write_text("qaa\tqac\na\tb\n")
    (tmp_path / "a").write_text("x\ny\n")
    (tmp_path / "b").write_text("x\n")
    (tmp_path / "none.txt").write_text("zzzz yyyy\n")
    (tmp_path / "bad.vec").write_text("2 2\na 1 2\nb 1\n")
    name, options, message = BAD[case]
    target = "xx" if case == "language" else "qab"
    options = [option.format(lab=lab, tmp=tmp_path) for option in options]
    with pytest.raises(InputError, match=message):
        command(
            name, "--source", f"qaa={checkpoint}", "--target", f"{target}={checkpoint}", "--experiment", "x", *options
        )


def test_models_trained_apart_need_supervision(command, checkpoint, lab, tmp_path):
    (tmp_path / "copy.pt").write_bytes(checkpoint.read_bytes())
    apart = ["--source", f"qaa={checkpoint}", "--target", f"qab={tmp_path / 'copy.pt'}", "--experiment", "mono"]
    for name, options, wanted in (
        ("sentence_retrieval", ["--test", lab / "parallel/test.tsv"], "--supervision"),
        ("word_translation", ["--test", lab / "dictionaries/qaa-qab.test.txt"], "--train"),
        ("contextual", ["--task", "ner", "--gold", lab / "ner"], "--parallel"),
    ):
        with pytest.raises(InputError, match=wanted):
            command(name, *apart, *options)


@pytest.fixture(scope="module")
def wider(checkpoint, tmp_path_factory):
    """A model of the same text, of another width."""
    folder = tmp_path_factory.mktemp("wider")
    pretraining.train(checkpoint.parents[1] / "data", folder, "--max-update", "1", "--encoder-embed-dim", "32")
    return folder / "checkpoint_last.pt"


@pytest.fixture(scope="module")
def deeper(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("deeper")
    pretraining.train(checkpoint.parents[1] / "data", folder, "--max-update", "1", "--encoder-layers", "5")
    return folder / "checkpoint_last.pt"


def test_models_of_other_shapes_are_one_clear_line(command, checkpoint, lab, wider, deeper):
    source = ["--source", f"qaa={checkpoint}", "--experiment", "x", "--target"]
    parallel, words = lab / "parallel/test.tsv", lab / "dictionaries/qaa-qab.test.txt"
    retrieval = ["sentence_retrieval", "--test", parallel, "--supervision", parallel, *source]
    contextual = ["contextual", "--task", "ner", "--gold", lab / "ner", "--parallel", parallel, *source]
    for arguments in (retrieval, contextual):
        with pytest.raises(InputError, match="models of width 16 and 32: no orthogonal map"):
            command(*arguments, f"qab={wider}")
    for arguments in (retrieval, contextual, ["cka", "--parallel", parallel, *source]):
        with pytest.raises(InputError, match="models of 4 and 5 layers cannot be compared layer by layer"):
            command(*arguments, f"qab={deeper}")
    with pytest.raises(InputError, match="vectors of 16 and 32 numbers cannot be compared"):
        command("word_translation", "--test", words, "--train", words, *source, f"qab={wider}")
    command("cka", "--parallel", parallel, *source, f"qab={wider}")  # needs no map, so no common width


def test_too_little_to_measure_is_one_clear_line(command, sides, lab, tmp_path):
    (tmp_path / "one.tsv").write_text("".join((lab / "parallel/test.tsv").open(encoding="utf-8").readlines()[:2]))
    with pytest.raises(InputError, match=r"one\.tsv: CKA needs at least 2 samples, not 1"):
        command("cka", *sides, "--parallel", tmp_path / "one.tsv")
    with pytest.raises(InputError, match=r"one\.tsv: debiased CKA needs at least 4 samples, not 1"):
        command("cka", *sides, "--parallel", tmp_path / "one.tsv", "--debiased")
    with pytest.raises(InputError, match="0 neighbours for CSLS: expected at least 1"):
        command("word_translation", *sides, "--test", lab / "dictionaries/qaa-qab.test.txt", "--k", 0)
