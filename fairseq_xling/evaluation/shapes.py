"""The findings of the paper's second half as statements that results can be held against, one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fairseq_xling.evaluation.figure_series import Names, Series, correlations, pairs_of, series
from fairseq_xling.evaluation.figures import TRANSFER
from fairseq_xling.evaluation.structure import CONTEXTUAL_TRANSLATION, RETRIEVAL, SIMILARITY, TRANSLATION
from fairseq_xling.formats.results import Result


@dataclass(frozen=True)
class Shape:
    """One statement, whether it holds, and the numbers that say so.

    Attributes
    ----------
    statement : str
    holds : bool
    numbers : str
    """

    statement: str
    holds: bool
    numbers: str


def shapes(results: Sequence[Result], names: Names, pairs: Sequence[str] | None = None) -> list[Shape]:
    """Hold results against the paper; statements without results are left out.

    Parameters
    ----------
    results : sequence of Result
    names : Names
    pairs : sequence of str, optional
        Pairs of languages from the closest to the most distant, for the statement that closer ones are more alike.
    """
    checks = (_word_level, _contextual_words, _transfer, _retrieval, _similarity, _correlation, _closeness)
    return [shape for check in checks for shape in check(results, names, list(pairs or []))]


def to_markdown(found: Sequence[Shape]) -> str:
    """The findings as a pipe table."""
    rows = [["finding", "holds", "numbers"], ["---"] * 3]
    rows += [[shape.statement, "yes" if shape.holds else "no", shape.numbers] for shape in found]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([*lines, "", summary(found)]) + "\n"


def summary(found: Sequence[Shape]) -> str:
    """How many of the findings hold."""
    return f"{sum(shape.holds for shape in found)} of {len(found)} findings hold."


def _word_level(results: Sequence[Result], names: Names, _: list[str]) -> Iterator[Shape]:
    for pair in pairs_of(results, TRANSLATION):
        trained = series(results, TRANSLATION, "precision@1", names.mono, pair)
        random = series(results, TRANSLATION, "precision@1", names.random, pair)
        if trained and trained.chance:
            ratio = trained.means[0] / trained.chance
            yield Shape(
                f"{pair}: embeddings of monolingual models, aligned, translate words far above chance (10 times)",
                ratio >= 10,
                f"{_at(trained, 0)}, chance {trained.chance:.3f}" + (f", untrained {_at(random, 0)}" if random else ""),
            )


def _contextual_words(results: Sequence[Result], names: Names, _: list[str]) -> Iterator[Shape]:
    for pair in pairs_of(results, CONTEXTUAL_TRANSLATION):
        curve = series(results, CONTEXTUAL_TRANSLATION, "precision@1", names.mono, pair)
        if curve and len(curve.layers) > 2:
            lower, upper = _halves(curve)
            yield Shape(
                f"{pair}: contextual word means align better in the upper layers",
                upper > lower,
                f"lower half {lower:.3f}, upper half {upper:.3f}, best {_best(curve)}",
            )


def _transfer(results: Sequence[Result], names: Names, _: list[str]) -> Iterator[Shape]:
    gaps: dict[str, list[float]] = {}
    for task, (metric, _title) in TRANSFER.items():
        for pair in pairs_of(results, task):
            mono = series(results, task, f"{metric}_aligned", names.mono, pair)
            bilingual = series(results, task, metric, names.bilingual, pair)
            if mono and len(mono.layers) > 2:
                best = mono.layers[mono.means.index(max(mono.means))]
                yield Shape(
                    f"{pair}, {task}: aligned monolingual models transfer best from a middle layer",
                    mono.layers[0] < best < mono.layers[-1],
                    f"best {_best(mono)}; first {_at(mono, 0)}, last {_at(mono, -1)}",
                )
            if mono and bilingual:
                gap = max(bilingual.means) - max(mono.means)
                gaps.setdefault(pair, []).append(gap)
                yield Shape(
                    f"{pair}, {task}: the bilingual model transfers better than aligned monolingual models",
                    gap > 0,
                    f"bilingual {_best(bilingual)}, monolingual {_best(mono)}",
                )
            aligned = series(results, task, f"{metric}_aligned", names.bilingual, pair)
            if bilingual and aligned:
                yield Shape(
                    f"{pair}, {task}: alignment helps the bilingual model as well",
                    max(aligned.means) > max(bilingual.means),
                    f"aligned {_best(aligned)}, as it is {_best(bilingual)}",
                )
    for pair, both in gaps.items():
        if len(both) == len(TRANSFER):
            yield Shape(
                f"{pair}: the gap to the bilingual model is larger for NER than for parsing",
                both[0] > max(both[1], 0),  # where the bilingual model is behind there is no gap to it
                f"NER {both[0]:+.3f}, parsing {both[1]:+.3f}",
            )


def _retrieval(results: Sequence[Result], names: Names, _: list[str]) -> Iterator[Shape]:
    for pair in pairs_of(results, RETRIEVAL):
        curve = series(results, RETRIEVAL, "precision@1", names.mono, pair)
        random = series(results, RETRIEVAL, "precision@1", names.random, pair)
        if not curve:
            continue
        if curve.chance:
            yield Shape(
                f"{pair}: aligned monolingual models find sentences far above chance (10 times)",
                max(curve.means) >= 10 * curve.chance,
                f"best {_best(curve)}, chance {curve.chance:.3f}",
            )
        if random:
            yield Shape(
                f"{pair}: and above untrained models aligned in the same way",
                max(curve.means) > max(random.means),
                f"best {_best(curve)}, untrained {_best(random)}",
            )
        if len(curve.layers) > 2:
            lower, upper = _halves(curve)
            yield Shape(
                f"{pair}: lower layers retrieve sentences best",
                lower > upper,
                f"lower half {lower:.3f}, upper half {upper:.3f}, best {_best(curve)}",
            )


def _similarity(results: Sequence[Result], names: Names, _: list[str]) -> Iterator[Shape]:
    for pair in pairs_of(results, SIMILARITY):
        found = [
            series(results, SIMILARITY, "linear_cka", experiment, pair)
            for experiment in (names.bilingual, names.mono, names.random)
        ]
        present = [(label, curve) for label, curve in zip(("bilingual", "mono", "random"), found, strict=True) if curve]
        if len(present) > 1:
            means = [_mean(curve) for _, curve in present]
            yield Shape(
                f"{pair}: CKA is ordered {' > '.join(label for label, _ in present)}",
                all(a > b for a, b in pairwise(means)),
                ", ".join(f"{label} {mean:.3f}" for (label, _), mean in zip(present, means, strict=True)),
            )
        for label, curve in present[:2]:
            if label != "random" and len(curve.layers) > 2:
                lower, upper = _halves(curve)
                yield Shape(
                    f"{pair}, {label}: the lower layers are the most similar",
                    lower > upper,
                    f"lower half {lower:.3f}, upper half {upper:.3f}",
                )


def _correlation(results: Sequence[Result], names: Names, _: list[str]) -> Iterator[Shape]:
    for pair, (r, layers) in correlations(results, names).items():
        yield Shape(
            f"{pair}: CKA and retrieval correlate over layers (r > 0.9)", r > 0.9, f"r {r:.3f}, {layers} layers"
        )


def _closeness(results: Sequence[Result], names: Names, pairs: list[str]) -> Iterator[Shape]:
    measures = [
        ("CKA, bilingual", SIMILARITY, "linear_cka", names.bilingual),
        ("CKA, monolingual", SIMILARITY, "linear_cka", names.mono),
        ("retrieval, monolingual", RETRIEVAL, "precision@1", names.mono),
        ("retrieval, bilingual", RETRIEVAL, "precision@1", names.bilingual),
        ("word translation, monolingual", TRANSLATION, "precision@1", names.mono),
    ]
    for label, task, metric, experiment in measures:
        curves = [(pair, series(results, task, metric, experiment, pair)) for pair in pairs]
        means = [(pair, _mean(curve)) for pair, curve in curves if curve]
        if len(means) > 1:
            yield Shape(
                f"{label}: closer languages are higher",
                all(a > b for (_, a), (_, b) in pairwise(means)),
                ", ".join(f"{pair} {mean:.3f}" for pair, mean in means),
            )


def _mean(curve: Series) -> float:
    return sum(curve.means) / len(curve.means)


def _halves(curve: Series) -> tuple[float, float]:
    """Mean of the lower and of the upper half of the layers; a middle layer counts in neither."""
    half = len(curve.means) // 2
    return sum(curve.means[:half]) / half, sum(curve.means[-half:]) / half


def _at(curve: Series, place: int) -> str:
    text = f"{curve.means[place]:.3f}"
    return text + (f" ± {curve.deviations[place]:.3f} ({curve.seeds} seeds)" if curve.seeds > 1 else "")


def _best(curve: Series) -> str:
    place = curve.means.index(max(curve.means))
    return f"{_at(curve, place)} at L{curve.layers[place]}"
