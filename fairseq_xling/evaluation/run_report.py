"""The report of a run: its tables, figures and findings on one page, from the lines of ``results.jsonl``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fairseq_xling.evaluation.figure3 import figure3
from fairseq_xling.evaluation.figure_series import Names, correlations, on_one_data_set
from fairseq_xling.evaluation.figures import FIGURES, TRANSFER
from fairseq_xling.evaluation.layer_tables import LayerTable, layer_tables, single_numbers
from fairseq_xling.evaluation.report import Page
from fairseq_xling.evaluation.shapes import shapes, summary
from fairseq_xling.evaluation.structure import CONTEXTUAL_TRANSLATION, RETRIEVAL, SIMILARITY, TRANSLATION
from fairseq_xling.evaluation.table1 import METRICS, make_table
from fairseq_xling.evaluation.table1_text import caption, to_rows
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.results import Result, parse_signature, select

SCALES = {
    "lab": "an invented world whose meaning is known; 8 layers, 64 wide",
    "pocket": "small real text; 8 layers, 256 wide",
    "paper": "the paper's text and size; 8 layers, 768 wide",
}

PARTS: list[tuple[str, tuple[int, ...], list[str], str]] = [
    ("Word translation", (4,), [TRANSLATION, CONTEXTUAL_TRANSLATION], "eval/word_translation.py"),
    ("Transfer from frozen layers", (5, 8), list(TRANSFER), "eval/contextual.py"),
    ("Sentence retrieval", (6,), [RETRIEVAL], "eval/sentence_retrieval.py"),
    ("Similarity of the encoders", (7,), [SIMILARITY], "eval/cka.py"),
]
"""Heading, figures, tasks, and the command that makes the numbers, in the order of the paper."""

CAPTIONS = {
    3: "Figure 3. Zero-shot transfer of every model; dashed: chance.",
    4: "Figure 4. Word translation of monolingual models aligned by one orthogonal map; dotted: chance.",
    5: "Figure 5. A head trained on the frozen first layers of one language, applied to the other; dotted: chance.",
    6: "Figure 6. Sentence retrieval of monolingual models aligned in every layer; dotted: chance.",
    7: "Figure 7. Linear CKA of the two languages' encoders, without any map; AVER: mean of all layers.",
    8: "Figure 8. As Figure 5, with the bilingual model aligned too.",
}


@dataclass(frozen=True)
class Command:
    """What a stage of the run did.

    Attributes
    ----------
    words : tuple of str
    seconds : float
    """

    words: tuple[str, ...]
    seconds: float


def run_report(
    results: Sequence[Result],
    scale: str,
    names: Names,
    close_to_distant: Sequence[str] = (),
    commands: Iterable[Command] = (),
) -> Page:
    """Everything that results of one scale show; what they do not hold is named at the end.

    Parameters
    ----------
    results : sequence of Result
        Of `scale` only.
    scale : str
    names : Names
    close_to_distant : sequence of str
        Pairs from the closest to the most distant, for the findings about closeness.
    commands : iterable of Command
    """
    page = Page(f"Cross-lingual structure in masked language models: scale {scale}")
    _what_was_run(page, results, scale)
    results, left_out = on_one_data_set(results)
    for text in left_out:
        page.text(f"Note: {text}.")
    _findings(page, results, names, close_to_distant)
    missing = [] if _table1(page, results, scale) else ["Table 1 and Figure 3 (eval/grid.py)"]
    for heading, figures, tasks, command in PARTS:
        missing += _part(page, results, names, heading, figures, tasks, command)
    _other_numbers(page, results)
    if missing:
        page.heading("Not in these results")
        page.text("; ".join(missing) + ".")
    _how(page, results, list(commands))
    return page


def _what_was_run(page: Page, results: Sequence[Result], scale: str) -> None:
    page.text(
        f"Scale {scale}: {SCALES[scale]}. {len(results):,} numbers. Several seeds are shown as mean ± sample standard "
        "deviation; of a number that was made again the last counts."
    )
    rows = []
    for experiment in dict.fromkeys(result.experiment for result in results):
        mine = select(results, experiment=experiment)
        seeds, pairs, tasks = ({getattr(r, name) for r in mine} for name in ("seed", "pair", "task"))
        rows.append(
            [experiment, ", ".join(sorted(pairs)), ", ".join(map(str, sorted(seeds))), _listed(tasks), f"{len(mine):,}"]
        )
    page.table("What was run", ["experiment", "pairs", "seeds", "measures", "numbers"], rows, "tptp")


def _listed(tasks: set[str]) -> str:
    return ", ".join(sorted(task.replace("_", " ") for task in tasks))


def _findings(page: Page, results: Sequence[Result], names: Names, close_to_distant: Sequence[str]) -> None:
    found = shapes(results, names, close_to_distant)
    if not found:
        return
    page.heading("The findings of the paper, held against these numbers")
    rows = [["yes" if shape.holds else "no", shape.statement, shape.numbers] for shape in found]
    wrong = {(row, 0) for row, shape in enumerate(found) if not shape.holds}
    page.text(summary(found))
    page.table("In bold: what does not hold here", ["holds", "finding", "numbers"], rows, "tpp", wrong)


def _table1(page: Page, results: Sequence[Result], scale: str) -> bool:
    if not any(r.metric == METRICS[r.task] for r in select(results, task=list(METRICS))):
        return False
    page.heading("Zero-shot transfer (Table 1)")
    try:
        table = make_table(results, scale)
    except InputError as error:
        page.text(f"No table: {error}")
        return True
    header, *rows = to_rows(table)
    header, rows = [cell.replace(" ", "\n") for cell in header], [[_two_lines(cell) for cell in row] for row in rows]
    page.table(caption(table), header, rows, "t")
    page.figure(CAPTIONS[3], figure3(table))
    return True


def _two_lines(cell: str) -> str:
    """A mean, and below it what comes behind: the table would else be wider than the page."""
    return cell.replace(" ± ", "\n±").replace(" [", "\n[")


def _part(
    page: Page,
    results: Sequence[Result],
    names: Names,
    heading: str,
    figures: Sequence[int],
    tasks: Sequence[str],
    command: str,
) -> list[str]:
    """One part of the second half; the figures that could not be drawn."""
    drawn = {number: FIGURES[number](results, names) for number in figures}
    missing = [f"Figure {number} ({command})" for number, figure in drawn.items() if figure is None]
    tables = [table for task in tasks for table in layer_tables(results, task)]
    if len(missing) == len(figures) and not tables:
        return missing
    page.heading(heading)
    for number, figure in drawn.items():
        if figure is not None:
            page.figure(CAPTIONS[number], figure)
    found = correlations(results, names) if SIMILARITY in tasks else {}
    if found:
        rows = [[pair, f"{r:.3f}", str(layers)] for pair, (r, layers) in found.items()]
        page.table(
            f"Correlation of CKA with sentence retrieval over the layers of {names.mono}",
            ["pair", "Pearson r", "layers"],
            rows,
            "t",
        )
    for table in tables:
        with page.folded(f"Table: {table.title}"):
            _table(page, table)
    return missing


def _table(page: Page, table: LayerTable) -> None:
    page.table(table.caption, table.header, table.rows, "tt", table.best)


def _other_numbers(page: Page, results: Sequence[Result]) -> None:
    shown = {task for _, _, tasks, _ in PARTS for task in tasks}
    tables = [
        table
        for task in dict.fromkeys(r.task for r in results if r.task not in shown)
        for table in layer_tables(results, task)
    ]
    rows = single_numbers(results, leave_out=SIMILARITY)
    if not rows and not tables:
        return
    page.heading("All other numbers")
    for table in tables:
        with page.folded(f"Table: {table.title}"):
            _table(page, table)
    if rows:
        with page.folded(f"Table: numbers of no single layer ({len(rows):,})"):
            page.table(
                "As they are in the results, not in per cent",
                ["task", "experiment", "pair", "metric", "value", "chance", "n", "seeds"],
                rows,
                "tttt",
            )


def _how(page: Page, results: Sequence[Result], commands: Sequence[Command]) -> None:
    page.heading("How the numbers were made")
    versions = sorted({_versions(result) for result in results})
    page.text(f"Versions: {'; '.join(versions)}.")
    with page.folded("Signatures: data, rules, vocabularies, versions of each number"):
        page.preformatted("\n".join(sorted({f"{r.task} {r.metric}: {r.signature}" for r in results})))
    if commands:
        total = sum(command.seconds for command in commands)
        with page.folded(f"Commands of {len(commands):,} stages, {total / 60:.0f} minutes one after the other"):
            page.preformatted("\n".join(f"{command.seconds:7.0f} s  {' '.join(command.words)}" for command in commands))


def _versions(result: Result) -> str:
    parts = parse_signature(result.signature)
    return (
        ", ".join(
            f"{name} {parts[key]}" for key, name in (("xling", "fairseq_xling"), ("torch", "torch")) if key in parts
        )
        or "unknown"
    )
