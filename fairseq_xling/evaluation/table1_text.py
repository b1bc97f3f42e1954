"""Table 1 as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io

from fairseq_xling.evaluation.paper_table1 import SOURCE
from fairseq_xling.evaluation.table1 import TITLES, Cell, Row, Table


def to_markdown(table: Table) -> str:
    """A pipe table; per cent, ± standard deviation over seeds, the paper's numbers in brackets."""
    header, *rows = to_rows(table)
    lines = [_line(header), _line(["---", *["---:"] * _width(table)]), *map(_line, rows)]
    return "\n".join(lines) + "\n\n" + caption(table) + "\n"


def to_rows(table: Table) -> list[list[str]]:
    """The cells of the table as text, its header first; per cent, ± standard deviation, the paper's in brackets."""
    body = [[row.name, *_texts(row, table, " ± ", "[{}]")] for row in table.rows + table.baselines]
    return [["", *_headers(table)], *body]


def to_csv(table: Table) -> str:
    """One line a number: experiment, task, pair, mean, sd, seeds, paper; per cent; differences with pair ``delta``."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["experiment", "task", "pair", "mean", "sd", "seeds", "paper"])
    for row in table.rows + table.baselines:
        for (task, pair), cell in row.cells.items():
            values = [_plain(cell.mean), _plain(cell.sd), cell.seeds, _plain(cell.paper)]
            writer.writerow([row.name, task, pair, *values])
        for task, delta in row.deltas.items():
            writer.writerow([row.name, task, "delta", _plain(delta), "", "", ""])
    return out.getvalue()


def to_latex(table: Table) -> str:
    """A ``tabular`` for the package booktabs."""
    groups = [sum(task == each for each, _ in table.columns) + 1 for task in table.tasks]
    heads = [rf"\multicolumn{{{size}}}{{c}}{{{TITLES[task]}}}" for task, size in zip(table.tasks, groups, strict=True)]
    second = [text for task in table.tasks for text in [*(p for t, p in table.columns if t == task), r"$\Delta$"]]
    body = [[_tex(row.name), *_texts(row, table, r" $\pm$ ", r"({})")] for row in table.rows]
    baselines = [[_tex(row.name), *_texts(row, table, r" $\pm$ ", r"({})")] for row in table.baselines]
    lines = [
        f"% {caption(table)}",
        rf"\begin{{tabular}}{{l{'r' * _width(table)}}}",
        r"\toprule",
        " & ".join(["", *heads]) + r" \\",
        " & ".join(["", *second]) + r" \\",
        r"\midrule",
        *(" & ".join(cells) + r" \\" for cells in body),
        *([r"\midrule"] if baselines else []),
        *(" & ".join(cells) + r" \\" for cells in baselines),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines).replace("−", "$-$") + "\n"


def caption(table: Table) -> str:
    """What the numbers are."""
    seeds = sorted({cell.seeds for row in table.rows for cell in row.cells.values()})
    counted = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    many = "s, mean ± sample standard deviation" if seeds[-1] > 1 else ""
    text = (
        f"Zero-shot transfer at scale {table.scale}, per cent, {counted} seed{many}: the mean "
        "of the two settings that are best on the source language's dev set. Δ: mean difference to default."
    )
    if any(cell.paper is not None for row in table.rows for cell in row.cells.values()):
        text += f" In brackets: {SOURCE}."
    return text


def _headers(table: Table) -> list[str]:
    names = []
    for task in table.tasks:
        names += [f"{TITLES[task]} {pair}" for each, pair in table.columns if each == task] + ["Δ"]
    return names


def _width(table: Table) -> int:
    return len(table.columns) + len(table.tasks)


def _texts(row: Row, table: Table, plus_minus: str, paper: str) -> list[str]:
    texts = []
    for task in table.tasks:
        texts += [_cell(row.cells.get(column), plus_minus, paper) for column in table.columns if column[0] == task]
        texts.append(_signed(row.deltas[task]) if task in row.deltas else "")
    return texts


def _cell(cell: Cell | None, plus_minus: str, paper: str) -> str:
    if cell is None:
        return ""
    text = f"{100 * cell.mean:.1f}"
    if cell.sd is not None:
        text += f"{plus_minus}{100 * cell.sd:.1f}"
    return text if cell.paper is None else f"{text} {paper.format(f'{100 * cell.paper:.1f}')}"


def _signed(value: float) -> str:
    text = f"{100 * value:+.1f}".replace("-", "−")
    return "0.0" if text in ("+0.0", "−0.0") else text


def _plain(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _tex(name: str) -> str:
    escaped = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(escaped.get(char, "\\" + char if char in "_&%$#{}" else char) for char in name)
