"""Anchor points: strings that are subwords of both languages (section 3.2 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping


def anchor_report(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, float]:
    """How much of the running text of two languages consists of identical strings.

    Parameters
    ----------
    first, second : mapping
        Symbols of each language to their number of occurrences.

    Returns
    -------
    dict
        `subwords`: number of symbols that occur in both; `share_first`, `share_second`: share of the running tokens
        of each language that are such a symbol; `share`: of the tokens of both together.
    """
    common = [symbol for symbol, count in first.items() if count and second.get(symbol)]
    in_first, in_second = sum(first[s] for s in common), sum(second[s] for s in common)
    all_first, all_second = sum(first.values()), sum(second.values())
    return {
        "subwords": len(common),
        "share_first": in_first / max(all_first, 1),
        "share_second": in_second / max(all_second, 1),
        "share": (in_first + in_second) / max(all_first + all_second, 1),
    }
