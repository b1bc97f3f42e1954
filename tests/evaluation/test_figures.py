"""Figures and findings from lines whose content is known."""

from __future__ import annotations

import numpy as np
import pytest

from fairseq_xling.evaluation.figure_series import Names, correlations, on_one_data_set, series
from fairseq_xling.evaluation.figures import FIGURES, figure7, save
from fairseq_xling.evaluation.shapes import shapes
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.results import Result, append_results, signature

NAMES = Names()
SIGNATURE = signature(rule="made_up")
LAYERS = range(9)


def line(experiment, pair, task, metric, layer, value, seed=1, chance=None):
    return Result(experiment, pair, "lab", seed, task, metric, layer, value, chance, 100, SIGNATURE)


@pytest.fixture
def results():
    """As in the paper: bilingual > monolingual > random, middle layers transfer best, closer pairs higher."""
    lines = []
    for far, pair in enumerate(("qaa-qab", "qaa-qac")):
        for seed in (1, 2):
            shift = 0.01 * seed - 0.1 * far
            for experiment, level in (("no_anchors", 0.9), ("mono", 0.7), ("random:mono", 0.2)):
                for layer in LAYERS:
                    falling = level + shift - 0.02 * layer
                    middle = level + shift - 0.03 * abs(layer - 5)
                    lines.append(line(experiment, pair, "similarity", "linear_cka", layer, falling, seed))
                    lines.append(
                        line(experiment, pair, "sentence_retrieval", "precision@1", layer, falling - 0.05, seed, 0.01)
                    )
                    lines.append(
                        line(
                            *(experiment, pair, "contextual_word_translation", "precision@1"),
                            *(layer, level + shift - 0.1 + 0.02 * layer, seed, 0.01),
                        )
                    )
                    for task, metric in (("contextual_ner", "f1"), ("contextual_parsing", "las")):
                        gap = 0.1 if task == "contextual_ner" and experiment == "mono" else 0.0
                        lines.append(line(experiment, pair, task, f"{metric}_aligned", layer, middle - gap, seed, 0.02))
                        lines.append(line(experiment, pair, task, metric, layer, middle - 0.05, seed, 0.02))
                lines.append(
                    line(experiment, pair, "word_translation", "precision@1", 0, level + shift - 0.1, seed, 0.01)
                )
    return lines


def test_a_series_is_the_mean_over_seeds_of_the_last_lines(results):
    again = line("mono", "qaa-qab", "similarity", "linear_cka", 0, 0.5, seed=2)
    found = series([*results, again], "similarity", "linear_cka", "mono", "qaa-qab")
    assert found.layers == list(LAYERS)
    assert found.means[0] == pytest.approx((0.71 + 0.5) / 2)
    assert found.deviations[0] == pytest.approx(np.std([0.71, 0.5], ddof=1))
    assert found.seeds == 2
    assert found.chance is None
    assert series(results, "similarity", "linear_cka", "unknown") is None
    third = line("mono", "qaa-qab", "similarity", "linear_cka", 0, 0.5, seed=3)  # at one layer only
    assert series([*results, third], "similarity", "linear_cka", "mono", "qaa-qab").seeds == 3
    assert series(results, "sentence_retrieval", "precision@1", "mono").chance == pytest.approx(0.01)


def test_numbers_on_two_test_sets_are_not_mixed():
    def on(data, experiment, seed, value):
        how = signature(data=data, rule="made_up")
        run = experiment, "en-fr", "pocket", seed
        return Result(*run, "sentence_retrieval", "precision@1", 0, value, None, 500, how)

    tatoeba = [on("tatoeba", experiment, seed, 0.2) for experiment in ("mono", "random:mono") for seed in (1, 2)]
    news = on("news", "mono", 1, 0.8)
    kept, left_out = on_one_data_set([*tatoeba, news])
    assert kept == [news]
    assert left_out == [
        "en-fr sentence_retrieval precision@1 was measured on several data sets; left out: tatoeba; shown: news"
    ]
    assert series(kept, "sentence_retrieval", "precision@1", "mono", "en-fr").means == [0.8]
    assert on_one_data_set([news, *tatoeba])[0] == tatoeba
    assert on_one_data_set(tatoeba) == (tatoeba, [])


@pytest.mark.parametrize("number", FIGURES)
def test_every_figure_is_drawn_as_png_and_pdf(results, number, tmp_path):
    png, pdf = save(FIGURES[number](results, NAMES), tmp_path / f"figure{number}")
    assert png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert pdf.read_bytes()[:5] == b"%PDF-"
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"figure{number}.pdf", f"figure{number}.png"]
    assert FIGURES[number]([], NAMES) is None


def test_lines_show_means_in_per_cent_with_error_bars(results):
    axes = FIGURES[6](results, NAMES).axes[0]
    assert axes.get_xlabel() == "layer"
    assert "precision@1" in axes.get_ylabel()
    first = axes.containers[0]
    np.testing.assert_allclose(
        np.asarray(first.lines[0].get_ydata(), dtype=float), [100 * (0.715 - 0.05 - 0.02 * layer) for layer in LAYERS]
    )
    assert first.has_yerr
    assert axes.get_legend_handles_labels()[1] == ["qaa-qab", "qaa-qac"]


@pytest.mark.parametrize("number", [5, 8])
def test_a_closer_pair_that_comes_second_is_not_cut_off(results, number):
    distant_first = sorted(results, key=lambda result: result.pair, reverse=True)
    for axes in FIGURES[number](distant_first, NAMES).axes:
        bottom, top = axes.get_ylim()
        shown = [value for container in axes.containers for value in container.lines[0].get_ydata()]
        assert bottom == 0
        assert max(shown) <= top


def test_figure_7_shows_every_layer_and_the_average(results):
    figure = figure7(results, NAMES)
    assert [axes.get_title() for axes in figure.axes] == ["Bilingual", "Monolingual", "Random"]
    grid = np.ma.getdata(figure.axes[1].images[0].get_array())
    assert grid.shape == (10, 2)
    assert grid[0, 0] == pytest.approx(0.715)
    assert grid[-1, 0] == pytest.approx(grid[:-1, 0].mean())
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [*(f"L{i}" for i in LAYERS), "AVER"]


@pytest.mark.parametrize("pairs", [["qaa-qab"], ["qaa-qab", "qaa-qac"]])
def test_the_correlation_below_a_narrow_figure_7_is_not_cut_off(results, pairs):
    figure = figure7([r for r in results if r.experiment == "mono" and r.pair in pairs], NAMES)
    figure.canvas.draw()
    assert figure.get_supxlabel().split()[-2 * len(pairs) :: 2] == pairs
    box = figure._supxlabel.get_window_extent()
    assert 0 <= box.x0 <= box.x1 <= figure.bbox.width


def test_correlations_are_over_layers(results):
    found = correlations(results, NAMES)
    assert found == {"qaa-qab": (pytest.approx(1), 9), "qaa-qac": (pytest.approx(1), 9)}
    constant = [r for r in results if r.task != "similarity"] + [
        line("mono", "qaa-qab", "similarity", "linear_cka", layer, 0.5) for layer in LAYERS
    ]
    assert correlations(constant, NAMES) == {}


def test_findings_hold_where_the_paper_is_made_up_and_fail_where_it_is_reversed(results):
    found = shapes(results, NAMES, ["qaa-qab", "qaa-qac"])
    failing = [shape.statement for shape in found if not shape.holds]
    assert failing == []
    assert len(found) > 30
    reverse = {"mono": "no_anchors", "no_anchors": "mono", "random:mono": "random:mono"}
    swapped = [Result(**{**vars(r), "experiment": reverse[r.experiment]}) for r in results]
    failing = [shape.statement for shape in shapes(swapped, NAMES, ["qaa-qac", "qaa-qab"]) if not shape.holds]
    assert "qaa-qab: CKA is ordered bilingual > mono > random" in failing
    assert "CKA, monolingual: closer languages are higher" in failing
    assert "qaa-qac, contextual_ner: the bilingual model transfers better than aligned monolingual models" in failing


def test_there_is_no_gap_to_a_bilingual_model_that_is_behind():
    def holds(ner, parsing):
        lines = [
            line(experiment, "qaa-qab", task, metric, 0, value)
            for task, kind, bilingual in (("contextual_ner", "f1", ner), ("contextual_parsing", "las", parsing))
            for experiment, metric, value in (("mono", f"{kind}_aligned", 0.5), ("no_anchors", kind, bilingual))
        ]
        (found,) = [shape.holds for shape in shapes(lines, NAMES) if "the gap to" in shape.statement]
        return found

    assert holds(0.7, 0.6)
    assert holds(0.6, 0.2)
    assert not holds(0.6, 0.7)
    assert not holds(0.4, 0.2)


def test_the_commands(command, results, tmp_path, capsys):
    append_results(tmp_path / "results.jsonl", results)
    options = [tmp_path / "results.jsonl", "--out", tmp_path / "figures"]
    command("figures", *options)
    printed = capsys.readouterr().out
    assert "figure 3: no results" in printed
    assert "qaa-qab: Pearson r of CKA with retrieval over 9 layers 1.000" in printed
    assert len(list((tmp_path / "figures").iterdir())) == 10
    command("shapes", tmp_path / "results.jsonl", "--close-to-distant", "qaa-qab", "qaa-qac")
    assert "yes  qaa-qab: CKA is ordered bilingual > mono > random" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"that a figure shows; there are results of .*mono.*: see --mono"):
        command("figures", *options, "--mono", "mine", "--bilingual", "mine")
    for name, rest in (("figures", options), ("shapes", options[:1])):
        with pytest.raises(InputError, match=r"results\.jsonl: no results of scale paper"):
            command(name, *rest, "--scale", "paper")


def test_findings_as_markdown(command, results, tmp_path, capsys):
    append_results(tmp_path / "results.jsonl", results)
    command("shapes", tmp_path / "results.jsonl", "--markdown", "--out", tmp_path / "findings.md")
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "findings.md").read_text(encoding="utf-8")
    lines = printed.splitlines()
    assert lines[:2] == ["| finding | holds | numbers |", "| --- | --- | --- |"]
    assert "| qaa-qab: CKA is ordered bilingual > mono > random | yes |" in printed
    assert all(line.count("|") == 4 for line in lines[2:-2])
    assert lines[-1] == f"{len(lines) - 4} of {len(lines) - 4} findings hold."
