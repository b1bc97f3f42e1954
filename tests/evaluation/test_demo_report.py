"""The demo's table and the HTML report."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure

from fairseq_xling.evaluation import structure
from fairseq_xling.evaluation.demo_figures import layer_figure, loss_figure, translation_figure
from fairseq_xling.evaluation.demo_table import demo_table
from fairseq_xling.evaluation.features import sentence_features
from fairseq_xling.evaluation.report import Page, write_page
from fairseq_xling.evaluation.structure import RETRIEVAL, SIMILARITY, TRANSLATION, sentence_structure
from fairseq_xling.evaluation.word_translation import WordTranslation
from fairseq_xling.formats.results import Result, Run, select


def line(experiment, seed, task, metric, layer, value, chance=None):
    return Result(experiment, "qaa-qab", "lab", seed, task, metric, layer, value, chance, 10, "rule:test")


def results(seeds=(1,), experiments=("default", "random:default")):
    lines = []
    for seed in seeds:
        for number, experiment in enumerate(experiments):
            for layer in range(3):
                value = 0.1 * (layer + 1) + 0.01 * seed - 0.05 * number
                lines.append(line(experiment, seed, RETRIEVAL, "precision@1", layer, value, 0.01))
                lines.append(line(experiment, seed, SIMILARITY, "linear_cka", layer, 0.4 + 0.1 * seed))
            for metric in ("precision@1", "precision@1_spelt_differently"):
                lines.append(line(experiment, seed, TRANSLATION, metric, 0, 0.2, 0.002))
    return lines


def test_one_seed_shows_the_best_layer_and_times_chance():
    table = demo_table(results(), ["default"], "random:").splitlines()
    assert re.match(r"default +0\.310 +L2 +31 +0\.200 +100 +0\.200 +0\.500$", table[2])
    assert re.match(r"  untrained default +0\.260 ", table[3])
    assert re.match(r"chance +0\.010 +0\.002$", table[4])


def test_several_seeds_show_mean_and_sample_deviation():
    table = demo_table(results(seeds=(1, 2, 3)), ["default"], "random:")
    assert "0.320 ± 0.010" in table  # best layers 0.31, 0.32, 0.33
    assert "0.600 ± 0.100" in table  # CKA 0.5, 0.6, 0.7


def test_retrieval_and_similarity_of_the_demo_in_every_layer(model, lab):
    rows = [row.split("\t")[:2] for row in (lab / "parallel" / "test.tsv").read_text("utf-8").splitlines()[1:]]
    parallel = dict(zip(("qaa", "qab"), map(list, zip(*rows))))
    found = sentence_structure(model, Run("default", "qaa-qab", "lab", 1), parallel, "test.tsv")
    assert [result.layer for result in select(found, task=RETRIEVAL)] == list(range(5))
    for layer, (x, y) in enumerate(zip(*(sentence_features(model, parallel[lang], lang) for lang in parallel))):
        x, y = (side - side.mean(0, dtype=np.float64) for side in (x, y))
        cosines = (x @ y.T) / np.linalg.norm(x, axis=1)[:, None] / np.linalg.norm(y, axis=1)
        right = [np.mean(cosines.argmax(axis) == np.arange(len(x))) for axis in (0, 1)]
        retrieval, similarity = (select(found, task=task, layer=layer)[0] for task in (RETRIEVAL, SIMILARITY))
        assert retrieval.value == pytest.approx(np.mean(right), abs=1.5 / len(x))  # one may be a tie in float32
        assert (retrieval.chance, retrieval.n) == (1 / len(x), len(x))
        expected = np.sum((x.T @ y) ** 2) / np.linalg.norm(x.T @ x) / np.linalg.norm(y.T @ y)
        assert similarity.value == pytest.approx(expected, rel=1e-4)


def test_retrieval_of_the_demo_is_the_mean_of_both_directions(model, monkeypatch):
    monkeypatch.setattr(structure, "retrieval_by_layer", lambda *_: [(0.2, 0.6)] * 5)
    run, parallel = Run("default", "qaa-qab", "lab", 1), {"qaa": ["a", "b", "c"], "qab": ["d", "e", "f"]}
    found = select(sentence_structure(model, run, parallel, "d"), task=RETRIEVAL)
    assert [result.value for result in found] == pytest.approx([0.4] * 5)


def test_words_that_may_be_spelt_alike_are_left_out(model, monkeypatch):
    """All their translations: a word that finds itself would count by its other ones."""
    asked = []

    def translation(pretrained, source, target, pairs):
        asked.append(pairs)
        return WordTranslation(0.5, 1, 1.0, 0.1)

    monkeypatch.setattr(structure, "embedding_translation", translation)
    dictionary = [("Same", "same"), ("Same", "other"), ("cat", "chat")]
    found = structure.word_structure(model, Run("default", "qaa-qab", "lab", 1), dictionary, "d")
    assert asked == [dictionary, [("cat", "chat")]]
    assert [result.metric for result in found] == ["precision@1", "precision@1_spelt_differently"]


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs


EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)> \" ' & $\\frac{1}{2}$"


def test_everything_is_escaped_and_nothing_is_loaded(tmp_path):
    page = Page(EVIL)
    page.heading(EVIL)
    page.text(EVIL)
    page.preformatted(EVIL)
    figure = Figure()
    figure.subplots().set_title(EVIL)
    page.figure(EVIL, figure)
    page.figure("curves", loss_figure({EVIL: [{"phase": "valid", "update": 1, f"nats_{EVIL}": 2.0}]}))
    write_page(tmp_path / "report.html", page)
    reader = Reader()
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    reader.feed(text)
    assert "script" not in reader.tags
    assert "img" not in reader.tags
    assert reader.tags.count("svg") == 2
    assert not any(name.startswith("on") for name, _ in reader.attributes)
    loaded = [value for name, value in reader.attributes if name in ("src", "href", "xlink:href")]
    assert all(value.startswith("#") for value in loaded)
    assert "default-src 'none'" in text


def drawn(figure):
    """Points of each labelled line of a figure's first panel."""
    return {text: line.get_xydata() for line in figure.axes[0].lines if (text := line.get_label())[0] != "_"}


def test_figures_draw_the_numbers():
    lines = results(seeds=(1, 2))
    figure = layer_figure(lines, RETRIEVAL, "precision@1", ["default"], "random:")
    points = figure.axes[0].containers[0].lines[0].get_xydata()
    assert np.allclose(points, [[0, 0.115], [1, 0.215], [2, 0.315]])
    bars = translation_figure(lines, ["default"], "random:").axes[0].patches
    assert [bar.get_height() for bar in bars] == pytest.approx([0.2] * 4)
    curve = loss_figure({"a": [{"phase": "train_inner", "update": 5, "nats_en": 3.0}, {"phase": "valid", "update": 9}]})
    assert drawn(curve)["en training"].tolist() == [[5, 3.0]]
