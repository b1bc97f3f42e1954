"""The figures of the demo's page: loss over time, measures over layers, word translation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fairseq_xling.evaluation.figure_file import COLOURS, MARKERS
from fairseq_xling.evaluation.structure import TRANSLATION
from fairseq_xling.formats.results import Result, select


def loss_figure(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """Training loss (line) and validation loss (dots) of each language in nats, a panel a model."""
    figure = Figure(figsize=(3.6 * len(curves), 3))
    axes = figure.subplots(1, len(curves), sharey=True, squeeze=False)
    for axis, (name, lines) in zip(axes[0], curves.items()):
        languages = sorted({key.removeprefix("nats_") for line in lines for key in line if key.startswith("nats_")})
        for colour, language in zip(COLOURS, languages):
            for phase, style in (("train_inner", {"linewidth": 1.2}), ("valid", {"linestyle": "", "marker": "o"})):
                points = [
                    (x["update"], x[f"nats_{language}"])
                    for x in lines
                    if x["phase"] == phase and f"nats_{language}" in x
                ]
                label = f"{language} {'training' if phase == 'train_inner' else 'validation'}"
                if points:
                    axis.plot(*zip(*points), color=colour, label=label, **style)
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("update")
    axes[0][0].set_ylabel("loss (nats per predicted token)")
    axes[0][-1].legend(fontsize=7, frameon=False)
    return _finish(figure)


def layer_figure(results: Sequence[Result], task: str, metric: str, experiments: Sequence[str], random: str) -> Figure:
    """A measure over layers: trained models as lines, untrained twins dashed, chance dotted; bars are deviations."""
    figure = Figure(figsize=(6.4, 3.6))
    axis = figure.subplots()
    chosen = select(results, task=task, metric=metric)
    for colour, marker, experiment in zip(COLOURS, MARKERS, experiments):
        for name, style in ((experiment, "-"), (random + experiment, "--")):
            mine = select(chosen, experiment=name)
            layers = sorted({r.layer for r in mine if r.layer is not None})
            values = [[r.value for r in mine if r.layer == layer] for layer in layers]
            means = [float(np.mean(v)) for v in values]
            spread = [float(np.std(v, ddof=1)) if len(v) > 1 else 0.0 for v in values]
            label = experiment if style == "-" else f"{experiment}, untrained"
            axis.errorbar(
                layers,
                means,
                spread,
                color=colour,
                linestyle=style,
                marker=marker,
                markersize=4,
                label=label,
                capsize=2,
            )
    _chance(axis, [r.chance for r in chosen if r.chance is not None])
    axis.set_xlabel("layer (0: embeddings)")
    axis.set_ylabel(metric)
    axis.set_ylim(bottom=0)
    axis.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), handlelength=4)
    return _finish(figure)


def translation_figure(results: Sequence[Result], experiments: Sequence[str], random: str) -> Figure:
    """Word translation of each model and of its untrained twin, for all words and for those spelt differently."""
    figure = Figure(figsize=(6.4, 3.2))
    axis = figure.subplots()
    metrics = (("precision@1", "all words"), ("precision@1_spelt_differently", "words spelt differently"))
    places = np.arange(len(experiments))
    bars = [(name, prefix) for prefix in ("", random) for name in metrics]
    for number, ((metric, label), prefix) in enumerate(bars):
        values = [
            [r.value for r in select(results, task=TRANSLATION, metric=metric, experiment=prefix + experiment)]
            for experiment in experiments
        ]
        axis.bar(
            places + (number - 1.5) * 0.2,
            [float(np.mean(v)) if v else 0.0 for v in values],
            0.18,
            yerr=[float(np.std(v, ddof=1)) if len(v) > 1 else 0.0 for v in values],
            color=COLOURS[number % 2],
            alpha=0.35 if prefix else 1.0,
            label=label + (", untrained" if prefix else ""),
        )
    _chance(axis, [r.chance for r in select(results, task=TRANSLATION) if r.chance is not None])
    axis.set_xticks(places, experiments)
    axis.set_ylabel("precision@1")
    axis.legend(fontsize=7, frameon=False)
    return _finish(figure)


def _chance(axis: Axes, values: Sequence[float]) -> None:
    if values:
        axis.axhline(max(values), color="#555555", linestyle=":", linewidth=1, label=f"chance ({max(values):.4f})")


def _finish(figure: Figure) -> Figure:
    for axis in figure.axes:
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return figure
