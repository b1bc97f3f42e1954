"""`results.jsonl`: every number of an evaluation as one line of JSON, and the signature that says how it was made.

Tables and figures are made from these lines alone. The fields are bound by docs/architecture.md.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.lines import numbered_lines

NAME = "results.jsonl"
_LARGEST = 1e300
_KEY = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Run:
    """Which model a number is of: the first fields of `Result`."""

    experiment: str
    pair: str
    scale: str
    seed: int


@dataclass(frozen=True)
class Result:
    """One number.

    Attributes
    ----------
    experiment : str
        Row of Table 1 or other name, such as ``no_anchors``.
    pair : str
        Languages joined by a dash, such as ``en-fr``; one language for a monolingual model.
    scale : str
        ``lab``, ``pocket`` or ``paper``.
    seed : int
    task, metric : str
        Such as ``retrieval`` and ``precision@1``.
    layer : int, optional
        0 for the embeddings; None where the number is of no single layer.
    value : float
        Finite.
    chance : float, optional
        What a guess would reach, where that is known.
    n : int
        Number of items that the value is a mean over, at least 1.
    signature : str
        ``key:value`` parts joined by ``|``, see `signature`.

    Raises
    ------
    ValueError
        A field of another type, a value that is not finite, n below 1, a signature of another form.
    """

    experiment: str
    pair: str
    scale: str
    seed: int
    task: str
    metric: str
    layer: int | None
    value: float
    chance: float | None
    n: int
    signature: str

    def __post_init__(self) -> None:
        for name in ("experiment", "pair", "scale", "task", "metric", "signature"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise ValueError(f"{name} must be text, not {getattr(self, name)!r}")
        for name, least in (("seed", 0), ("layer", 0), ("n", 1)):
            number = getattr(self, name)
            if not (name == "layer" and number is None) and not (_is(int, number) and number >= least):
                raise ValueError(f"{name} must be a whole number of at least {least}, not {number!r}")
        for name in ("value", "chance"):
            number = getattr(self, name)
            if not (name == "chance" and number is None) and not (_is((int, float), number) and abs(number) < _LARGEST):
                raise ValueError(f"{name} must be a finite number, not {str(number)[:40]}")
        parse_signature(self.signature)


def _is(kind: type | tuple[type, ...], value: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


FIELDS = tuple(field.name for field in fields(Result))


def append_results(path: str | os.PathLike[str], results: Iterable[Result]) -> None:
    """Add lines to a results file in one write, so that processes that share it do not cut into each other's lines.

    The file and its folder are made where they are missing. If a crash left the last line without its end, the new
    lines begin on a line of their own.
    """
    text = "".join(json.dumps(asdict(result), ensure_ascii=False, allow_nan=False) + "\n" for result in results)
    if not text:
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            text = "\n" + text
        data = text.encode("utf-8")
        if os.write(handle, data) != len(data):
            raise OSError(f"{os.fspath(path)}: the disk is full; the last line is cut short")
    finally:
        os.close(handle)


def read_results(path: str | os.PathLike[str]) -> list[Result]:
    """All lines of a results file, plain or compressed; empty lines are passed over.

    Raises
    ------
    InputError
        A line that is not JSON (such as one cut short by a crash), or with other fields than the contract's; file and
        line are named.
    """
    results = []
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            raise InputError(f"expected one JSON object a line, found {line[:60]!r}", path, number) from None
        if not isinstance(entry, dict):
            raise InputError(f"expected a JSON object, found {line[:60]!r}", path, number)
        if missing := [name for name in FIELDS if name not in entry]:
            raise InputError(f"the field {missing[0]!r} is missing", path, number)
        if unknown := [name for name in entry if name not in FIELDS]:
            raise InputError(f"unknown field {unknown[0]!r}: expected {', '.join(FIELDS)}", path, number)
        try:
            results.append(Result(**entry))
        except ValueError as error:
            raise InputError(str(error), path, number) from None
    return results


def select(results: Iterable[Result], **wanted: Any) -> list[Result]:
    """The results whose fields have the wanted values.

    Parameters
    ----------
    **wanted
        Field name to a value, or to a list, tuple or set of values: ``select(results, task="nli", seed=[1, 2])``.

    Raises
    ------
    ValueError
        A name that is not a field.
    """
    for name in wanted:
        if name not in FIELDS:
            raise ValueError(f"unknown field {name!r}: expected {', '.join(FIELDS)}")
    many = {
        name: values if isinstance(values, (list, tuple, set, frozenset)) else [values]
        for name, values in wanted.items()
    }
    return [result for result in results if all(getattr(result, name) in values for name, values in many.items())]


def latest(results: Iterable[Result]) -> list[Result]:
    """The last result of each measurement, in the order in which measurements first occur.

    Two results are the same measurement, made again, if all fields from `experiment` to `layer` are the same.
    """
    return list({tuple(getattr(result, name) for name in FIELDS[:7]): result for result in results}.values())


def signature(**parts: str | float | bool | None) -> str:
    """Say how a number was made: ``data:xnli-dev|rule:accuracy|...``, and in the end with which versions.

    Parameters
    ----------
    **parts
        In the order to be shown; None leaves a part out. Usual: data, split, rule, casing, vocabulary (its hash).

    Raises
    ------
    ValueError
        A key or value that could not be read back by `parse_signature`.
    """
    shown = {key: _shown(value) for key, value in (parts | _versions()).items() if value is not None}
    text = "|".join(f"{key}:{value}" for key, value in shown.items())
    if parse_signature(text) != shown:
        raise ValueError(f"a part of the signature holds '|' or a line end: {text!r}")
    return text


def parse_signature(text: str) -> dict[str, str]:
    """The parts of a signature by key; ValueError where it is none."""
    parts: dict[str, str] = {}
    for part in text.split("|"):
        key, colon, value = part.partition(":")
        if not colon or not _KEY.fullmatch(key) or not value or not value.isprintable() or key in parts:
            raise ValueError(f"a signature is made of key:value parts joined by '|', not {text[:80]!r}")
        parts[key] = value
    return parts


def _shown(value: str | float | bool) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


@cache
def _versions() -> dict[str, str]:
    """Versions of this project and of torch, without importing torch."""
    from fairseq_xling import __version__

    try:
        return {"xling": __version__, "torch": metadata.version("torch")}
    except metadata.PackageNotFoundError:
        return {"xling": __version__}
