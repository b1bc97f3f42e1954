"""The demo's table: each measure beside chance and beside the same architecture untrained."""

from __future__ import annotations

from collections.abc import Sequence

from fairseq_xling.analysis import mean_and_sd
from fairseq_xling.evaluation.structure import RETRIEVAL, SIMILARITY, TRANSLATION
from fairseq_xling.formats.results import Result, select

COLUMNS = (
    "model",
    "sentence retrieval",
    "layer",
    "x chance",
    "word translation",
    "x chance",
    "spelt differently",
    "CKA",
)


def demo_table(results: Sequence[Result], experiments: Sequence[str], random: str) -> str:
    """Fixed-width table; mean and, with several seeds, sample standard deviation.

    Parameters
    ----------
    results : sequence of Result
    experiments : sequence of str
    random : str
        In front of an experiment's name: its untrained twin.
    """
    rows: list[tuple[str, ...]] = [COLUMNS]
    for experiment in experiments:
        for name in (experiment, random + experiment):
            rows.append(_row(select(results, experiment=name), name.replace(random, "  untrained ")))
    retrieval, words = (select(results, experiment=experiments[0], task=task)[0] for task in (RETRIEVAL, TRANSLATION))
    rows.append(("chance", _number([retrieval.chance]), "", "", _number([words.chance]), "", "", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)


def _row(results: Sequence[Result], name: str) -> tuple[str, ...]:
    best = [
        max(select(results, task=RETRIEVAL, seed=seed), key=lambda r: r.value)
        for seed in sorted({r.seed for r in results})
    ]
    words = select(results, task=TRANSLATION, metric="precision@1")
    different = select(results, task=TRANSLATION, metric="precision@1_spelt_differently")
    similarity = [
        sum(r.value for r in layers) / len(layers)
        for layers in (select(results, task=SIMILARITY, seed=b.seed) for b in best)
    ]
    layers = sorted({b.layer for b in best if b.layer is not None})
    return (
        name,
        _number([b.value for b in best]),
        "L" + "/".join(map(str, layers)),
        _times(best),
        _number([w.value for w in words]),
        _times(words),
        _number([d.value for d in different]),
        _number(similarity),
    )


def _number(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if len(known) == 1:
        return f"{known[0]:.3f}"
    mean, deviation = mean_and_sd(known)
    return f"{mean:.3f} ± {deviation:.3f}"


def _times(results: Sequence[Result]) -> str:
    ratios = [r.value / r.chance for r in results if r.chance]
    return f"{sum(ratios) / len(ratios):.0f}" if ratios else ""
