"""`results.jsonl`: the contract's fields, appending from several processes, crashes."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.results import (
    FIELDS,
    Result,
    append_results,
    latest,
    parse_signature,
    read_results,
    select,
    signature,
)

ROOT = Path(__file__).resolve().parents[2]
RESULT = Result(
    "no_anchors", "qaa-qab", "lab", 1, "retrieval", "precision@1", 4, 0.75, 0.001, 1000, "data:lab-test|k:10"
)


def test_fields_are_those_of_the_contract() -> None:
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    (line,) = re.findall(r"^`(experiment, [^`]*)`", text, re.M)
    assert tuple(name.split(" ")[0] for name in line.split(", ")) == FIELDS


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "results.jsonl"
    other = replace(RESULT, layer=None, chance=None, value=1, pair="qaa–qab")
    append_results(path, [RESULT, other])
    append_results(path, [])
    append_results(path, [RESULT])
    assert read_results(path) == [RESULT, other, RESULT]
    assert [tuple(json.loads(line)) for line in path.read_text("utf-8").splitlines()] == [FIELDS] * 3
    packed = tmp_path / "results.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_results(packed) == read_results(path)


def test_a_line_cut_short_stays_alone_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    append_results(path, [RESULT])
    with open(path, "a", encoding="utf-8") as handle:
        handle.write('{"experiment": "no_an')
    append_results(path, [RESULT])
    with pytest.raises(InputError, match="one JSON object a line") as caught:
        read_results(path)
    assert caught.value.line == 2
    path.write_text("".join(line for line in path.read_text().splitlines(True) if line.endswith("}\n")))
    assert read_results(path) == [RESULT, RESULT]


def _append(path: Path, seed: int) -> None:
    for layer in range(50):
        append_results(path, [replace(RESULT, seed=seed, layer=layer, experiment="x" * 5000)] * 2)


def test_several_processes_do_not_cut_into_each_other(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_append, args=(path, seed)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    found = read_results(path)
    assert len(found) == 400
    for seed in range(4):
        assert [result.layer for result in select(found, seed=seed)] == [layer for layer in range(50) for _ in (0, 1)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"seed": None}, "seed must be a whole number"),
        ({"seed": True}, "seed must be a whole number"),
        ({"layer": 1.0}, "layer must be a whole number"),
        ({"layer": -1}, "layer must be a whole number of at least 0"),
        ({"n": 0}, "n must be a whole number of at least 1"),
        ({"value": None}, "value must be a finite number"),
        ({"value": "0.5"}, "value must be a finite number"),
        ({"value": float("nan")}, "value must be a finite number"),
        ({"chance": float("inf")}, "chance must be a finite number"),
        ({"task": ""}, "task must be text"),
        ({"pair": ["en", "fr"]}, "pair must be text"),
        ({"signature": "xnli dev"}, "key:value parts"),
        ({"extra": 1}, "unknown field 'extra'"),
        ({"metric": ...}, "the field 'metric' is missing"),
    ],
)
def test_lines_outside_the_contract_are_refused(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    path = tmp_path / "results.jsonl"
    entry = {key: value for key, value in (asdict(RESULT) | change).items() if value is not ...}
    path.write_text(json.dumps(asdict(RESULT)) + "\n\n" + json.dumps(entry) + "\n")
    with pytest.raises(InputError) as caught:
        read_results(path)
    assert expected in caught.value.message
    assert caught.value.line == 3


def test_a_list_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text("[1]\n")
    with pytest.raises(InputError, match="expected a JSON object"):
        read_results(tmp_path / "results.jsonl")


def test_select_and_latest() -> None:
    results = [replace(RESULT, seed=seed, layer=layer) for seed in (1, 2, 3) for layer in (None, 0, 1)]
    assert select(results, seed=[1, 3], layer=None) == [results[0], results[6]]
    assert select(results, task="nli") == []
    assert select(results) == results
    with pytest.raises(ValueError, match="unknown field 'lang'"):
        select(results, lang="fr")
    again = replace(results[4], value=0.9, n=10)
    assert latest([*results, again]) == [*results[:4], again, *results[5:]]


def test_signature_carries_versions() -> None:
    text = signature(data="xnli-dev", rule="mean of best 2", threshold=0.5, cased=True, vocabulary=None, url="a:b")
    assert text.startswith("data:xnli-dev|rule:mean of best 2|threshold:0.5|cased:True|url:a:b|xling:")
    parts = parse_signature(text)
    assert list(parts) == ["data", "rule", "threshold", "cased", "url", "xling", "torch"]
    assert parts["torch"].startswith("2.")


@pytest.mark.parametrize("parts", [{"data": "a|b"}, {"data": "a|b:c"}, {"data": "a\n"}, {"data": ""}, {"Data": "x"}])
def test_signatures_that_cannot_be_read_back(parts: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="signature"):
        signature(**parts)


@given(st.dictionaries(st.sampled_from(["data", "split", "rule", "k10"]), st.text(min_size=1)))
def test_signature_is_read_back_or_refused(parts: dict[str, str]) -> None:
    try:
        text = signature(**parts)
    except ValueError:
        assert any("|" in value or not value.isprintable() for value in parts.values())
    else:
        read = parse_signature(text)
        assert {key: read[key] for key in parts} == parts
