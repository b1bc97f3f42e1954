"""The demo's table and the HTML report."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure

from fairseq_xling.evaluation.demo_figures import layer_figure, loss_figure, translation_figure
from fairseq_xling.evaluation.demo_table import demo_table
from fairseq_xling.evaluation.report import Page, write_page
from fairseq_xling.evaluation.structure import RETRIEVAL, SIMILARITY, TRANSLATION
from fairseq_xling.formats.results import Result


def line(experiment, seed, task, metric, layer, value, chance=None):
    return Result(experiment, "qaa-qab", "lab", seed, task, metric, layer, value, chance, 10, "rule:test")


def results(seeds=(1,), experiments=("default", "random:default")):
    lines = []
    for seed in seeds:
        for number, experiment in enumerate(experiments):
            for layer in range(3):
                value = 0.1 * (layer + 1) + 0.01 * seed - 0.05 * number
                lines.append(line(experiment, seed, RETRIEVAL, "precision@1", layer, value, 0.01))
                lines.append(line(experiment, seed, SIMILARITY, "linear_cka", layer, 0.5))
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
