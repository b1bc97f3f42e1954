"""What figures show, taken from the lines of ``results.jsonl``: means over seeds, by layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fairseq_xling.analysis import mean_and_sd, pearson
from fairseq_xling.evaluation.structure import RETRIEVAL, SIMILARITY
from fairseq_xling.formats.results import Result, latest, parse_signature, select

RANDOM = "random:"
"""In front of an experiment's name: the same architecture with random weights, untrained."""


@dataclass(frozen=True)
class Names:
    """Which experiments take which part in the figures.

    Attributes
    ----------
    mono, bilingual : str
    vectors : str
        Of fastText vectors.
    """

    mono: str = "mono"
    bilingual: str = "no_anchors"
    vectors: str = "fasttext"

    @property
    def random(self) -> str:
        """Untrained twins of the monolingual models."""
        return RANDOM + self.mono


@dataclass(frozen=True)
class Series:
    """Means over seeds of one measure.

    Attributes
    ----------
    layers : list of int
    means, deviations : list of float
        Sample standard deviations; 0 for a single seed.
    seeds : int
        Most seeds of a layer.
    chance : float, optional
    """

    layers: list[int]
    means: list[float]
    deviations: list[float]
    seeds: int
    chance: float | None


def on_one_data_set(results: Sequence[Result]) -> tuple[list[Result], list[str]]:
    """The results without those of layers that were measured on other data than the last of their kind.

    One experiment may have been measured on two test sets, or some seeds of it on one only. A curve of both, or two
    curves that are compared, would say nothing; so of each pair, task and metric one data set counts, for all
    experiments.

    Returns
    -------
    list of Result
    list of str
        What was left out, in words.
    """
    sets: dict[tuple[str, str, str], list[str]] = {}
    for result in results:
        if result.layer is not None:
            found, data = sets.setdefault((result.pair, result.task, result.metric), []), _data(result)
            sets[result.pair, result.task, result.metric] = [*(name for name in found if name != data), data]
    kept = [r for r in results if r.layer is None or _data(r) == sets[r.pair, r.task, r.metric][-1]]
    left_out = [
        f"{pair} {task} {metric} was measured on several data sets; left out: {', '.join(others)}; shown: {shown}"
        for (pair, task, metric), (*others, shown) in sets.items()
        if others
    ]
    return kept, left_out


def _data(result: Result) -> str:
    return parse_signature(result.signature).get("data", "")


def series(
    results: Iterable[Result], task: str, metric: str, experiment: str, pair: str | None = None
) -> Series | None:
    """One curve over layers, or None where there are no such results; over all pairs where none is given."""
    found = latest(select(results, task=task, metric=metric, experiment=experiment))
    if pair is not None:
        found = select(found, pair=pair)
    layers = sorted({result.layer for result in found if result.layer is not None})
    if not layers:
        return None
    groups = [[result.value for result in found if result.layer == layer] for layer in layers]
    stats = [mean_and_sd(values) for values in groups]
    chances = [result.chance for result in found if result.chance is not None]
    return Series(
        layers,
        [mean for mean, _ in stats],
        [sd or 0.0 for _, sd in stats],
        max(map(len, groups)),
        sum(chances) / len(chances) if chances else None,
    )


def pairs_of(results: Iterable[Result], task: str | Sequence[str]) -> list[str]:
    """Pairs that have results of a task, in the order in which they first occur."""
    return list(dict.fromkeys(result.pair for result in select(results, task=task)))


def correlations(results: Sequence[Result], names: Names) -> dict[str, tuple[float, int]]:
    """Pearson's r of CKA with sentence retrieval over the layers of the monolingual models, by pair (section 5.4).

    Returns
    -------
    dict
        Pair to (r, layers); of means over seeds. Pairs with fewer than three layers, or a constant side, are left out.
    """
    found = {}
    for pair in pairs_of(results, SIMILARITY):
        similarity = series(results, SIMILARITY, "linear_cka", names.mono, pair)
        retrieval = series(results, RETRIEVAL, "precision@1", names.mono, pair)
        if similarity is None or retrieval is None or similarity.layers != retrieval.layers:
            continue
        if len(similarity.layers) < 3 or min(len(set(s.means)) for s in (similarity, retrieval)) < 2:
            continue
        found[pair] = (pearson(similarity.means, retrieval.means), len(similarity.layers))
    return found
