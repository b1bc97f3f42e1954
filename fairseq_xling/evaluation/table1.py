"""Table 1 from the lines of ``results.jsonl`` alone: means over seeds, differences to default, chance and majority."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fairseq_xling.analysis import mean_and_sd
from fairseq_xling.evaluation.paper_table1 import experiments, paper_numbers
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.results import Result, latest, parse_signature, select

METRICS = {"nli": "accuracy", "ner": "f1", "parsing": "las"}
"""The metric of each task, in the order of the columns."""

TITLES = {"nli": "NLI (accuracy)", "ner": "NER (F1)", "parsing": "Parsing (LAS)"}

DEFAULT = "default"

MUST_AGREE = {"rule": "rules", "split": "splits", "casing": "casings", "data": "data"}
"""Parts of the signature, and their plural, that must be one within a column: other rules or another test set (that of
another world of the lab, say) give numbers that do not compare."""


@dataclass(frozen=True)
class Cell:
    """One number of the table, between 0 and 1.

    Attributes
    ----------
    mean : float
    sd : float, optional
        Sample standard deviation over seeds; None for a single seed.
    seeds : int
    paper : float, optional
        The paper's number, where the scale is the paper's.
    """

    mean: float
    sd: float | None
    seeds: int
    paper: float | None = None


@dataclass(frozen=True)
class Row:
    """One experiment, or a baseline.

    Attributes
    ----------
    name : str
    cells : dict
        By (task, pair).
    deltas : dict of str to float
        Mean difference to default over the pairs that both have, by task.
    """

    name: str
    cells: dict[tuple[str, str], Cell]
    deltas: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """Table 1.

    Attributes
    ----------
    scale : str
    columns : list of (task, pair)
    rows : list of Row
        Experiments in the order of the paper, others behind them.
    baselines : list of Row
        Chance and majority.
    """

    scale: str
    columns: list[tuple[str, str]]
    rows: list[Row]
    baselines: list[Row]

    @property
    def tasks(self) -> list[str]:
        """Tasks that have a column."""
        return list(dict.fromkeys(task for task, _ in self.columns))


def make_table(results: Iterable[Result], scale: str, pairs: Sequence[str] | None = None) -> Table:
    """Arrange results as in the paper.

    Parameters
    ----------
    results : iterable of Result
        Of those made again the last counts.
    scale : str
        Only results of this scale.
    pairs : sequence of str, optional
        Only these pairs, in this order; by default all, in the order of the results.

    Raises
    ------
    InputError
        No results of that kind, or results within one column that were scored by different rules or on different data.
    """
    wanted = latest(select(results, scale=scale, task=list(METRICS)))
    main = [result for result in wanted if result.metric == METRICS[result.task]]
    present = list(dict.fromkeys(result.pair for result in main))
    chosen = [pair for pair in (pairs or present) if pair in present]
    columns = [(task, pair) for task in METRICS for pair in chosen if select(main, task=task, pair=pair)]
    if not columns:
        others = ", ".join(sorted({r.scale for r in select(results, task=list(METRICS))} - {scale}))
        there = f"; there are some of scale {others} (--scale)" if others else ""
        raise InputError(
            f"no results of NLI, NER or parsing at scale {scale}{' for these pairs' if pairs else ''}{there}"
        )
    for task, pair in columns:
        _check_one_rule(select(main, task=task, pair=pair))
    found = dict.fromkeys(result.experiment for result in main if result.pair in chosen)
    known = experiments()
    names = [name for name in known if name in found] + [name for name in found if name not in known]
    rows = [Row(name, _cells(select(main, experiment=name), columns, name, scale)) for name in names]
    default = next((row for row in rows if row.name == DEFAULT), None)
    if default is not None:
        rows = [Row(row.name, row.cells, _deltas(row, default)) for row in rows]
    return Table(scale, columns, rows, _baselines(wanted, columns))


def _check_one_rule(results: list[Result]) -> None:
    for part, many in MUST_AGREE.items():
        values = {parse_signature(result.signature).get(part) for result in results}
        if len({_content(value) if part == "data" else value for value in values}) > 1:
            first = results[0]
            raise InputError(
                f"results of {first.task} for {first.pair} were scored with different {many}: "
                f"{', '.join(sorted(map(str, values)))}; they do not compare"
            )


def _content(data: str | None) -> str | None:
    """The hash of a file without its name: the same set may lie under another one."""
    return data and data.rpartition("@")[2]


def _cells(results: list[Result], columns: list[tuple[str, str]], name: str, scale: str) -> dict[tuple[str, str], Cell]:
    cells = {}
    for task, pair in columns:
        values = [result.value for result in select(results, task=task, pair=pair)]
        if values:
            paper = paper_numbers().get((name, task, pair)) if scale == "paper" else None
            cells[task, pair] = Cell(*mean_and_sd(values), len(values), paper)
    return cells


def _deltas(row: Row, default: Row) -> dict[str, float]:
    """As in the paper: the mean over the pairs of the difference to default."""
    differences: dict[str, list[float]] = {}
    for (task, pair), cell in row.cells.items():
        if (task, pair) in default.cells:
            differences.setdefault(task, []).append(cell.mean - default.cells[task, pair].mean)
    return {task: sum(values) / len(values) for task, values in differences.items()}


def _baselines(results: list[Result], columns: list[tuple[str, str]]) -> list[Row]:
    chance: dict[tuple[str, str], Cell] = {}
    majority: dict[tuple[str, str], Cell] = {}
    for task, pair in columns:
        metric = METRICS[task]
        guesses = [r.chance for r in select(results, task=task, pair=pair, metric=metric) if r.chance is not None]
        constants = [r.value for r in select(results, task=task, pair=pair, metric=f"{metric}_majority")]
        for values, cells in ((guesses, chance), (constants, majority)):
            if values:
                cells[task, pair] = Cell(sum(values) / len(values), None, 1)
    return [Row(name, cells) for name, cells in (("chance", chance), ("majority", majority)) if cells]
