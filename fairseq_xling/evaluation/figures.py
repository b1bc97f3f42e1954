"""Figures 4 to 8 of the paper, from the lines of ``results.jsonl`` alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fairseq_xling.evaluation.figure_file import COLOURS, MARKERS, write_figure
from fairseq_xling.evaluation.figure_series import Names, Series, correlations, pairs_of, series
from fairseq_xling.evaluation.structure import CONTEXTUAL_TRANSLATION, RETRIEVAL, SIMILARITY, TRANSLATION
from fairseq_xling.formats.results import Result

TRANSFER = {"contextual_ner": ("f1", "NER (F1)"), "contextual_parsing": ("las", "Parsing (LAS)")}

Draw = Callable[[Sequence[Result], Names], Figure | None]


def figure4(results: Sequence[Result], names: Names) -> Figure | None:
    """Word translation: embedding matrices (bars), contextual means of each layer (lines)."""
    pairs = pairs_of(results, [TRANSLATION, CONTEXTUAL_TRANSLATION])
    kinds = [(names.mono, "embeddings of monolingual models"), (names.vectors, "fastText"), (names.random, "untrained")]
    bars = [
        (label, [series(results, TRANSLATION, "precision@1", experiment, pair) for pair in pairs])
        for experiment, label in kinds
    ]
    bars = [(label, values) for label, values in bars if any(values)]
    curves = [(pair, series(results, CONTEXTUAL_TRANSLATION, "precision@1", names.mono, pair)) for pair in pairs]
    if not bars and not any(curve for _, curve in curves):
        return None
    figure = _canvas(9, 3.4)
    left, right = figure.subplots(1, 2)
    for number, (label, values) in enumerate(bars):
        width = 0.8 / len(bars)
        left.bar(
            np.arange(len(pairs)) + width * (number + 0.5) - 0.4,
            [100 * value.means[0] if value else 0.0 for value in values],
            width * 0.92,
            yerr=[100 * value.deviations[0] if value else 0.0 for value in values],
            color=COLOURS[number],
            hatch=("", "//", "..")[number],
            edgecolor="white",
            label=label,
            error_kw={"elinewidth": 1, "capsize": 2},
        )
    for place, pair in enumerate(pairs):
        mono = series(results, TRANSLATION, "precision@1", names.mono, pair)
        if mono and mono.chance is not None:
            left.hlines(100 * mono.chance, place - 0.45, place + 0.45, color="#777777", linestyle=":", linewidth=0.8)
    left.set_ylim(bottom=0)
    left.set_xticks(range(len(pairs)), pairs)
    left.set_ylabel("precision@1 (%)")
    left.set_title("a. word embeddings", fontsize=10, loc="left")
    left.legend(fontsize=7, frameon=False)
    for number, (pair, curve) in enumerate(curves):
        _line(right, curve, pair, number)
        _line(right, series(results, CONTEXTUAL_TRANSLATION, "precision@1", names.random, pair), None, number, "--")
    _layer_axis(right, "precision@1 (%)", "b. contextual means of words (dashed: untrained)")
    return _finished(figure)


def figure5(results: Sequence[Result], names: Names) -> Figure | None:
    """Transfer from frozen layers: monolingual models aligned, and the bilingual model as it is."""
    return _transfer(results, [(names.mono, "_aligned", "Mono, aligned"), (names.bilingual, "", "Bi-MLM")])


def figure6(results: Sequence[Result], names: Names) -> Figure | None:
    """Sentence retrieval of aligned monolingual models, untrained ones dashed."""
    pairs = [
        pair for pair in pairs_of(results, RETRIEVAL) if series(results, RETRIEVAL, "precision@1", names.mono, pair)
    ]
    if not pairs:
        return None
    figure = _canvas(5.4, 3.6)
    axes = figure.subplots()
    for number, pair in enumerate(pairs):
        _line(axes, series(results, RETRIEVAL, "precision@1", names.mono, pair), pair, number)
        _line(axes, series(results, RETRIEVAL, "precision@1", names.random, pair), None, number, "--")
    _layer_axis(axes, "precision@1 (%), mean of both directions", "aligned monolingual models (dashed: untrained)")
    axes.set_ylim(0, 100)
    return _finished(figure)


def figure7(results: Sequence[Result], names: Names) -> Figure | None:
    """CKA of every layer and on average: a panel each of bilingual, monolingual and random encoders."""
    pairs = pairs_of(results, SIMILARITY)
    kinds = [(names.bilingual, "Bilingual"), (names.mono, "Monolingual"), (names.random, "Random")]
    shown = [(e, label) for e, label in kinds if any(series(results, SIMILARITY, "linear_cka", e, p) for p in pairs)]
    if not shown:
        return None
    layers = sorted({r.layer for r in results if r.task == SIMILARITY and r.layer is not None})
    figure = _canvas(1.4 + 0.75 * len(pairs) * len(shown), 0.9 + 0.33 * (len(layers) + 1))
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, (experiment, label) in zip(panels, shown, strict=True):
        grid = np.full((len(layers) + 1, len(pairs)), np.nan)
        for column, pair in enumerate(pairs):
            curve = series(results, SIMILARITY, "linear_cka", experiment, pair)
            if curve is not None:
                for layer, mean in zip(curve.layers, curve.means, strict=True):
                    grid[layers.index(layer), column] = mean
                grid[-1, column] = np.mean(curve.means)
        _heat(axes, grid)
        axes.set_title(label, fontsize=10)
        axes.set_xticks(range(len(pairs)), pairs, rotation=45, ha="right", fontsize=8)
    panels[0].set_yticks(range(len(layers) + 1), [*(f"L{layer}" for layer in layers), "AVER"], fontsize=8)
    found = correlations(results, names)
    if found:
        text = ", ".join(f"{pair} {r:.2f}" for pair, (r, _) in found.items())
        # constrained layout makes no room for a line that is wider than the figure: 13 characters go into an inch
        text = fill(
            f"Pearson r of CKA with retrieval over layers: {text}",
            int(13 * figure.get_figwidth()),
            break_on_hyphens=False,
        )
        figure.supxlabel(text, fontsize=8)
    return _finished(figure, spines=True)


def figure8(results: Sequence[Result], names: Names) -> Figure | None:
    """As figure 5, with the bilingual model aligned too."""
    kinds = [
        (names.mono, "_aligned", "Mono, aligned"),
        (names.bilingual, "", "Bi-MLM"),
        (names.bilingual, "_aligned", "Bi-MLM, aligned"),
    ]
    return _transfer(results, kinds, needed=2)


FIGURES: dict[int, Draw] = {4: figure4, 5: figure5, 6: figure6, 7: figure7, 8: figure8}


def save(figure: Figure, stem: str | os.PathLike[str]) -> list[Path]:
    """Write ``STEM.png`` and ``STEM.pdf``, whole or not at all; the paths."""
    paths = []
    for suffix in ("png", "pdf"):
        paths.append(Path(f"{os.fspath(stem)}.{suffix}"))
        write_figure(figure, paths[-1])
    return paths


def _transfer(results: Sequence[Result], kinds: list[tuple[str, str, str]], needed: int = 0) -> Figure | None:
    """A row a task, a column a pair, a line a kind of model (experiment, ending of the metric, label)."""
    tasks = [task for task in TRANSFER if pairs_of(results, task)]
    pairs = pairs_of(results, tasks)
    curves = {
        (task, pair, number): series(results, task, TRANSFER[task][0] + ending, experiment, pair)
        for task in tasks
        for pair in pairs
        for number, (experiment, ending, _) in enumerate(kinds)
    }
    if not any(curve for (_, _, number), curve in curves.items() if number >= needed):
        return None
    figure = _canvas(1 + 2.6 * len(pairs), 0.6 + 2.4 * len(tasks))
    grid = figure.subplots(len(tasks), len(pairs), sharex=True, sharey="row", squeeze=False)
    for row, task in enumerate(tasks):
        for column, pair in enumerate(pairs):
            axes = grid[row][column]
            for number, (_, _, label) in enumerate(kinds):
                _line(axes, curves[task, pair, number], label, number)
            _layer_axis(axes, TRANSFER[task][1] if column == 0 else "", pair if row == 0 else "")
            axes.set_xlabel("layer" if row == len(tasks) - 1 else "")
            if (row, column) != (0, 0) and axes.get_legend():
                axes.get_legend().remove()
    return _finished(figure)


def _line(axes: Axes, curve: Series | None, label: str | None, number: int, style: str = "-") -> None:
    if curve is None:
        return
    axes.errorbar(
        curve.layers,
        [100 * value for value in curve.means],
        [100 * value for value in curve.deviations] if curve.seeds > 1 else None,
        color=COLOURS[number % len(COLOURS)],
        marker=MARKERS[number % len(MARKERS)],
        markersize=4,
        linestyle=style,
        alpha=1.0 if style == "-" else 0.6,
        label=label,
        capsize=2,
    )
    if curve.chance is not None and style == "-":
        axes.axhline(100 * curve.chance, color="#777777", linestyle=":", linewidth=0.8)


def _layer_axis(axes: Axes, label: str, title: str) -> None:
    axes.set_xlabel("layer")
    axes.set_ylabel(label)
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_ylim(bottom=0, auto=True)  # panels that share this axis and are drawn later may reach higher
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7, frameon=False)


def _heat(axes: Axes, grid: np.ndarray) -> None:
    axes.imshow(np.ma.masked_invalid(grid), cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(grid.shape):
        value = grid[row, column]
        if np.isfinite(value):
            colour = "white" if value < 0.5 else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
    axes.axhline(len(grid) - 1.5, color="white", linewidth=2)
    axes.tick_params(length=0)


def _canvas(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _finished(figure: Figure, spines: bool = False) -> Figure:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(spines)
    return figure
