"""Figure 3: Table 1 as bars."""

from __future__ import annotations

import os

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fairseq_xling.evaluation.figure_file import write_figure
from fairseq_xling.evaluation.table1 import TITLES, Cell, Table

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""Okabe and Ito's palette, told apart with every kind of colour vision and in grey."""

HATCHES = ("", "//", "..", "xx", "\\\\", "++")


def figure3(table: Table) -> Figure:
    """Bars of every experiment, a panel a task, a colour a pair; lines at chance; error bars over seeds."""
    figure = Figure(figsize=(max(4.0, 0.55 * len(table.rows) + 1.5), 2.6 * len(table.tasks)), layout="constrained")
    FigureCanvasAgg(figure)
    names = [row.name for row in table.rows]
    for number, task in enumerate(table.tasks, 1):
        axes = figure.add_subplot(len(table.tasks), 1, number)
        pairs = [pair for each, pair in table.columns if each == task]
        width = 0.8 / len(pairs)
        for place, pair in enumerate(pairs):
            cells = [row.cells.get((task, pair)) for row in table.rows]
            axes.bar(
                [index - 0.4 + width * (place + 0.5) for index in range(len(names))],
                [100 * cell.mean if cell else 0.0 for cell in cells],
                width,
                yerr=_deviations(cells),
                label=pair,
                color=COLOURS[place % len(COLOURS)],
                hatch=HATCHES[place % len(HATCHES)],
                edgecolor="white",
                linewidth=0.5,
                error_kw={"elinewidth": 1, "capsize": 2},
            )
            for row in table.baselines:
                if row.name == "chance" and (task, pair) in row.cells:
                    axes.axhline(100 * row.cells[task, pair].mean, color="black", linestyle="--", linewidth=0.8)
        axes.set_ylabel(TITLES[task])
        axes.set_ylim(bottom=0)
        axes.set_xticks(range(len(names)), names if number == len(table.tasks) else [], rotation=35, ha="right")
        axes.spines[["top", "right"]].set_visible(False)
        if number == 1:
            axes.legend(frameon=False, ncols=len(pairs), loc="upper right", bbox_to_anchor=(1, 1.2))
    return figure


def draw_figure3(table: Table, path: str | os.PathLike[str]) -> None:
    """Write Figure 3.

    Parameters
    ----------
    table : Table
    path : path-like
        The suffix chooses the format: ``.png``, ``.pdf``, ``.svg``.
    """
    write_figure(figure3(table), path)


def _deviations(cells: list[Cell | None]) -> list[float] | None:
    if all(cell is None or cell.sd is None for cell in cells):
        return None
    return [100 * cell.sd if cell and cell.sd is not None else 0.0 for cell in cells]
