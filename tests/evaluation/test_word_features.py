"""Words in context, against encoding one sentence after the other; running means against plain ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fairseq_xling.evaluation.features import hidden_states, sentence_features
from fairseq_xling.evaluation.word_features import WindowedWords, pooled_words, word_features, word_means
from fairseq_xling.evaluation.word_means import WordMeans
from fairseq_xling.formats.errors import InputError

LANGUAGE = "qaa"


@pytest.fixture(scope="module")
def sentences(lab):
    lines = (lab / "text/wiki/qaa.valid.txt").read_text("utf-8").splitlines()[:40]
    return [line.split() for line in lines] + [[], ["unbekanntes", lines[0].split()[0]]]


def one_by_one(model, words, pooling):
    """States of each word of a short sentence, from the encoder itself."""
    segmenter = model.segmenter(LANGUAGE)
    ids, starts = segmenter.encode_words(words)
    states = model.model.encoder(torch.tensor([[2, *ids, 2]]), LANGUAGE)
    ends = [*starts[1:], len(ids)]
    pooled = []
    for start, end in zip(starts, ends, strict=True):
        span = torch.stack(states)[:, 0, 1 + start : 1 + (start + 1 if pooling == "first" else end)]
        pooled.append(span.mean(1))
    return torch.stack(pooled, 1).detach().numpy()


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_every_word_in_its_place_and_layer(model, sentences, pooling):
    found = word_features(model, sentences, LANGUAGE, pooling)
    assert found.shape == (5, sum(map(len, sentences)), 16)
    before = 0
    for words in sentences:
        if words and len(model.segmenter(LANGUAGE).encode_words(words)[0]) <= model.longest_row - 2:
            expected = one_by_one(model, words, pooling)
            np.testing.assert_allclose(found[:, before : before + len(words)], expected, atol=2e-5)
        before += len(words)


def test_some_words_have_several_subwords_so_that_both_poolings_differ(model, sentences):
    first, mean = (word_features(model, sentences, LANGUAGE, pooling) for pooling in ("first", "mean"))
    assert not np.allclose(first, mean)


def test_rows_are_as_long_as_in_training_though_the_model_has_more_positions(model):
    assert (model.longest_row, model.model.max_positions()) == (16, 24)
    assert model.random_twin(1).longest_row == 16


def test_long_sentences_are_cut_between_words(model):
    word = "unbekanntes"
    longest = model.longest_row - 2
    length = len(model.segmenter(LANGUAGE).encode_words([word])[0])
    windows = WindowedWords(model, [[word] * 20], LANGUAGE)
    assert 1 < length < longest
    assert windows.words == 20
    assert all(len(piece) <= longest + 2 for piece in windows.pieces)
    assert [n for lengths in windows.lengths for n in lengths] == [length] * 20
    assert windows.first_word == list(range(0, 20, longest // length))
    numbers = np.sort(np.concatenate([n for n, _ in pooled_words(model, [[word] * 20], LANGUAGE)]))
    assert numbers.tolist() == list(range(20))


def test_a_word_of_more_subwords_than_positions_is_cut(model):
    windows = WindowedWords(model, [["kt" * 40, "sa"]], LANGUAGE)
    assert len(windows.pieces[0]) == model.longest_row


def test_sentence_features_are_means_of_subwords_and_empty_ones_zero(model, sentences):
    texts = [" ".join(words) for words in sentences]
    found = sentence_features(model, texts, LANGUAGE)
    assert not found[:, sentences.index([])].any()
    ids = model.segmenter(LANGUAGE).encode(texts[3])
    states = torch.stack(model.model.encoder(torch.tensor([[2, *ids, 2]]), LANGUAGE))
    np.testing.assert_allclose(found[:, 3], states[:, 0, 1:-1].mean(1).detach().numpy(), atol=2e-5)


def test_running_means_are_the_means_of_all_occurrences(model, sentences):
    features = word_features(model, sentences, LANGUAGE)
    words = [word.lower() for sentence in sentences for word in sentence]
    means = word_means(model, [" ".join(sentence) for sentence in sentences], LANGUAGE)
    assert means.words() == list(dict.fromkeys(words))
    for word, row in means.index.items():
        where = [number for number, other in enumerate(words) if other == word]
        assert means.counts[row] == len(where)
        np.testing.assert_allclose(means.means[row], features[:, where].mean(1), atol=1e-5)


def test_case_is_ignored_and_only_kept_words_are_held(model, sentences):
    word = sentences[0][0]
    means = word_means(model, [f"{word} {word.upper()} {sentences[0][1]}"], LANGUAGE, keep={word})
    assert means.words() == [word]
    assert means.counts[0] == 2


def test_accents_are_ignored_where_the_training_text_has_none(model, monkeypatch):
    monkeypatch.setattr(model.segmenter("qaa"), "casing", "lower-no-accents")
    assert word_means(model, ["été Ete"], "qaa").words() == ["ete"]


def test_running_means_stay_exact_over_many_small_batches_and_grow():
    generator = np.random.default_rng(0)
    means = WordMeans.empty(2, 3)
    values = (generator.normal(size=(2, 6000, 3)) + 5).astype(np.float32)
    rows = np.array([means.row(f"w{number}") for number in generator.integers(0, 3000, 6000)])
    for start in range(0, 6000, 7):
        means.add(rows[start : start + 7], torch.from_numpy(values[:, start : start + 7]))
    for row in range(len(means.index)):
        np.testing.assert_allclose(means.means[row], values[:, rows == row].mean(1), rtol=1e-5)
    assert means.counts.sum() == 6000


def test_means_are_read_as_they_were_written(model, sentences, tmp_path):
    means = word_means(model, [" ".join(sentence) for sentence in sentences], LANGUAGE)
    means.save(tmp_path / "out")
    again = WordMeans.load(tmp_path / "out")
    assert again.words() == means.words()
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["means.npy", "words.tsv"]
    for layer in (0, 4):
        np.testing.assert_array_equal(again.layer(layer).vectors, means.layer(layer).vectors)
    assert set(again.words(least=5)) == {w for w, row in means.index.items() if means.counts[row] >= 5}
    (tmp_path / "out/words.tsv").write_text("a\t1\n")
    with pytest.raises(InputError, match="expected vectors of 1 words"):
        WordMeans.load(tmp_path / "out")
    with pytest.raises(InputError, match=r"extract\.py"):
        WordMeans.load(tmp_path)


def test_rows_longer_than_in_training_are_refused(model):
    """The model has 24 positions, of which 16 were trained: the states of the others are as of an untrained model."""
    rows = [np.full(model.longest_row + more, 7) for more in (0, 1)]
    assert len(list(hidden_states(model, rows[:1], "qaa"))) == 1
    with pytest.raises(InputError, match="a sentence of 17 tokens; the model was trained on 16 at most"):
        next(hidden_states(model, rows, "qaa"))


def test_a_string_is_no_list(model):
    """`sentence_features` takes strings and `word_features` lists of words; mixed up, characters were encoded."""
    with pytest.raises(ValueError, match=r"lists of words, such as text.split.., not a string: 'pa ka'"):
        word_features(model, ["pa ka", "ta"], "qaa")
    with pytest.raises(ValueError, match="several sentences, not one string: 'pa ka'"):
        sentence_features(model, "pa ka", "qaa")


@pytest.mark.parametrize("words", [1, 3])
def test_means_that_were_read_go_on(words, tmp_path):
    """The memory map is read-only, and a half of one row is none."""
    means = WordMeans.empty(1, 2)
    means.add(np.array([means.row(str(i)) for i in range(words)]), torch.ones(1, words, 2))
    means.save(tmp_path)
    read = WordMeans.load(tmp_path)
    read.add(np.array([read.row("0"), read.row("new")]), torch.full((1, 2, 2), 3.0))
    assert [read.means[read.index[word], 0, 0] for word in ("0", "new")] == [2.0, 3.0]
    assert WordMeans.load(tmp_path).means.max() == 1.0


def test_a_probe_may_be_trained_on_hidden_states(model):
    """Tensors made in inference mode cannot be saved for a backward pass."""
    probe = torch.nn.Linear(model.model.encoder.shape.dim, 2)
    _, states, _ = next(hidden_states(model, [np.array([2, 5, 6, 2])], "qaa"))
    probe(states[3]).sum().backward()
    assert probe.weight.grad.any()
    assert not states[3].requires_grad
