"""Numbers of every layer as tables of text: a row an experiment and pair, a column a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fairseq_xling.analysis import mean_and_sd
from fairseq_xling.evaluation.figure_series import series
from fairseq_xling.evaluation.structure import SIMILARITY
from fairseq_xling.formats.results import Result, latest, select


@dataclass(frozen=True)
class LayerTable:
    """One table.

    Attributes
    ----------
    title, caption : str
    header : list of str
        Experiment, pair, the layers, and chance where it is known.
    rows : list of list of str
        Mean, and below it ± sample standard deviation where there are several seeds.
    best : set of (row, column)
        The highest number of each row that has several.
    """

    title: str
    caption: str
    header: list[str]
    rows: list[list[str]]
    best: set[tuple[int, int]]


def layer_tables(results: Sequence[Result], task: str) -> list[LayerTable]:
    """The tables of a task, one for each metric that has layers."""
    mine = [result for result in select(results, task=task) if result.layer is not None]
    return [_table(mine, task, metric) for metric in dict.fromkeys(result.metric for result in mine)]


def _table(results: Sequence[Result], task: str, metric: str) -> LayerTable:
    found = latest(select(results, metric=metric))
    layers = sorted({result.layer for result in found if result.layer is not None})
    chance = any(result.chance is not None for result in found)
    times, digits = (1, 3) if task == SIMILARITY else (100, 1)
    rows: list[list[str]] = []
    best: set[tuple[int, int]] = set()
    for pair, experiment in dict.fromkeys((result.pair, result.experiment) for result in found):
        curve = series(found, task, metric, experiment, pair)
        if curve is None:
            continue
        cells = {}
        for layer, mean, deviation in zip(curve.layers, curve.means, curve.deviations, strict=True):
            spread = f"\n±{times * deviation:.{digits}f}" if curve.seeds > 1 else ""
            cells[layer] = f"{times * mean:.{digits}f}{spread}"
        if len(curve.layers) > 1:
            top = curve.layers[curve.means.index(max(curve.means))]
            best.add((len(rows), 2 + layers.index(top)))
        row = [experiment, pair, *(cells.get(layer, "") for layer in layers)]
        if chance:
            row.append("" if curve.chance is None else f"{times * curve.chance:.{max(digits, 2)}f}")
        rows.append(row)
    title = f"{task.replace('_', ' ')}, {metric.replace('_', ' ')}"
    n = sorted({result.n for result in found})
    counted = f"n {n[0]:,}" if len(n) == 1 else f"n {n[0]:,} to {n[-1]:,}"
    caption = "; ".join(["per cent"] * (times == 100) + [counted] + ["bold: best layer"] * bool(best))
    header = ["experiment", "pair", *(f"L{layer}" for layer in layers), *(["chance"] if chance else [])]
    return LayerTable(title, caption, header, rows, best)


def single_numbers(results: Sequence[Result], leave_out: str = "") -> list[list[str]]:
    """Numbers of no single layer: task, experiment, pair, metric, value, chance, n, seeds; of all tasks but one."""
    groups: dict[tuple[str, str, str, str], list[Result]] = {}
    for result in latest(r for r in results if r.layer is None and r.task != leave_out):
        groups.setdefault((result.task, result.experiment, result.pair, result.metric), []).append(result)
    rows = []
    for key, found in groups.items():
        mean, deviation = mean_and_sd([result.value for result in found])
        chances = [result.chance for result in found if result.chance is not None]
        value = f"{mean:.3f}" + ("" if deviation is None else f" ± {deviation:.3f}")
        chance = f"{sum(chances) / len(chances):.3f}" if chances else ""
        rows.append([*key, value, chance, f"{found[0].n:,}", str(len(found))])
    return rows
