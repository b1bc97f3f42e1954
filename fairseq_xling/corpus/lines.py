"""Steps that work line by line: cleaning, sentence splitting, tokenisation, casing, over many processes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fairseq_xling.corpus.process_pool import ordered_map
from fairseq_xling.corpus.sentences import split_sentences
from fairseq_xling.corpus.words import change_case, clean, tokeniser
from fairseq_xling.formats.files import atomic_write
from fairseq_xling.formats.text import read_blocks

LONGEST_SENTENCE = 1 << 20
"""Bytes; a longer line is no sentence: it is left out and counted."""
_NOTED = ("not_utf8", "too_long", "not_json")


@dataclass(frozen=True)
class LineStep:
    """What is done to each line.

    Attributes
    ----------
    lang : str
        Language.
    tokenisation : {"none", "moses", "jieba"}
    casing : {"cased", "lower", "lower-no-accents"}
    split : bool
        Cut paragraphs into sentences.
    json_field : str, optional
        Lines are JSON objects, and this field of theirs is the text (its line ends separate paragraphs).
    keep_blank : bool
        Keep blank lines, which separate documents; else they are left out.
    """

    lang: str
    tokenisation: str = "none"
    casing: str = "cased"
    split: bool = False
    json_field: str | None = None
    keep_blank: bool = False


@dataclass
class LineCounts:
    """Lines read and written, and what was wrong with others.

    Attributes
    ----------
    counts : Counter
        `read`, `written`, `blank`, `cleaned` (control characters taken out), and reasons for leaving a line out:
        `not_utf8`, `too_long`, `not_json`.
    first : dict
        Such a reason to the first line it befell, counted from 1.
    """

    counts: Counter[str]
    first: dict[str, int]

    def __str__(self) -> str:
        parts = [f"{self.counts['read']:,} lines read, {self.counts['written']:,} written"]
        parts += [f"{self.counts[key]:,} {key}" for key in ("blank", "cleaned") if self.counts[key]]
        parts += [f"{self.counts[key]:,} {key} left out (first: line {line})" for key, line in self.first.items()]
        return "; ".join(parts)


_step = LineStep("")


def run_lines(
    source: Path, step: LineStep, workers: int, progress: Callable[[int], object] | None = None
) -> tuple[Iterator[list[bytes]], LineCounts]:
    """Apply `step` to a text file.

    Returns
    -------
    batches, found
        Iterator over lists of lines (UTF-8, without line ends), and the counts, complete when it is exhausted.
    """
    found = LineCounts(Counter(), {})

    def batches() -> Iterator[list[bytes]]:
        starts: list[tuple[int, int]] = []

        def blocks() -> Iterator[bytes]:
            for line, block in read_blocks(source, 1 << 20):
                starts.append((line, len(block)))
                yield block

        for lines, counts, first in ordered_map(_run_block, blocks(), workers, _set_step, (step,)):
            start, size = starts.pop(0)
            found.counts.update(counts)
            for reason, number in first.items():
                found.first.setdefault(reason, start + number)
            if progress:
                progress(size)
            yield lines

    return batches(), found


def write_lines(
    source: Path, out: Path, step: LineStep, workers: int, progress: Callable[[int], object] | None = None
) -> LineCounts:
    """Apply `step` to a text file and write the lines to `out`."""
    batches, found = run_lines(source, step, workers, progress)
    with atomic_write(out, "wb", sync=False) as handle:
        for lines in batches:
            handle.writelines(line + b"\n" for line in lines)
    return found


def _set_step(step: LineStep) -> None:
    global _step
    _step = step


def _run_block(block: bytes) -> tuple[list[bytes], Counter[str], dict[str, int]]:
    counts: Counter[str] = Counter()
    first: dict[str, int] = {}
    out: list[bytes] = []
    raw_lines = block[:-1].split(b"\n")
    for number, raw in enumerate(raw_lines):
        reason, results = _run_line(raw, counts)
        if reason in _NOTED:
            counts[reason] += 1
            first.setdefault(reason, number)
        out += results
    counts["read"] += len(raw_lines)
    counts["written"] += len(out)
    return out, counts, first


def _run_line(raw: bytes, counts: Counter[str]) -> tuple[str, list[bytes]]:
    step = _step
    if len(raw) > LONGEST_SENTENCE:
        return "too_long", []
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return "not_utf8", []
    paragraphs = [text]
    if step.json_field is not None:
        content = _json_text(text, step.json_field)
        if content is None:
            return "not_json", []
        paragraphs = content.split("\n")
    results = [line for paragraph in paragraphs for line in _run_text(paragraph, counts)]
    if not results:
        counts["blank"] += 1
        return "", [b""] if step.keep_blank else []
    if step.keep_blank and step.json_field is not None:
        results.append(b"")  # one JSON object is one document
    return "", results


def _json_text(line: str, field: str) -> str | None:
    try:
        content = json.loads(line)[field]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return content.encode("utf-8", "replace").decode() if isinstance(content, str) else None  # \ud800 is no text


def _run_text(text: str, counts: Counter[str]) -> list[bytes]:
    step = _step
    cleaned = clean(text)
    counts["cleaned"] += len(cleaned) < len(text.strip())
    if not cleaned:
        return []
    tokenise = tokeniser(step.tokenisation, step.lang)
    sentences = split_sentences(cleaned, step.lang) if step.split else [cleaned]
    done = (change_case(tokenise(sentence), step.casing) for sentence in sentences)
    return [sentence.encode() for sentence in done if sentence]
