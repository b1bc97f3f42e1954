"""Whole steps from text to text: sample, shuffle and split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import filterfalse
from pathlib import Path
from typing import IO

from fairseq_xling.corpus.draw import Drawing
from fairseq_xling.corpus.lines import LineCounts, LineStep, run_lines
from fairseq_xling.corpus.notes import write_notes
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.files import atomic_write
from fairseq_xling.formats.text import read_blocks, text_size

_BUCKET_BYTES = 32 << 20


def count_sentences(path: Path) -> int:
    """Lines of a text that are not blank."""
    return sum(sum(1 for line in block.split(b"\n") if line.strip()) for _, block in read_blocks(path))


def _joined(lines: list[bytes]) -> bytes:
    return b"\n".join((*lines, b""))


def _drawing(out: Path, seed: int, sources: Sequence[Path], count: int | None = None) -> Drawing:
    folder = out.with_name(f".{out.name}.buckets")
    buckets = min(max(sum(text_size(path) for path in sources) // _BUCKET_BYTES, 16), 4096)
    out.parent.mkdir(parents=True, exist_ok=True)
    return Drawing(folder, seed, count, buckets)


def sample(
    corpus: Path,
    out: Path,
    step: LineStep,
    count: int,
    seed: int,
    workers: int = 1,
    progress: Callable[[int], object] | None = None,
) -> tuple[int, LineCounts]:
    """Write `count` sentences drawn uniformly without replacement, in random order; how many, and what was read."""
    drawing = _drawing(out, seed, [corpus], count)
    batches, found = run_lines(corpus, step, workers, progress)
    for lines in batches:
        drawing.add(lines)
    with atomic_write(out, "wb", sync=False) as handle:
        for lines in drawing.lines():
            handle.write(_joined(lines))
    return min(count, drawing.seen), found


def shuffle_split(
    sources: Sequence[Path],
    prefix: Path,
    valid: int,
    test: int,
    seed: int,
    progress: Callable[[int], object] | None = None,
) -> dict[str, int]:
    """Write `PREFIX.{valid,test,train}.txt` from shuffled text; the training text, written last, is the sign of done.

    Returns
    -------
    dict
        Sentences of each split (`train`, `valid`, `test`), and `repeats`: left out of training, since held out.

    Raises
    ------
    InputError
        Fewer sentences than are to be held out, and one.
    """
    drawing = _drawing(prefix, seed, sources)
    for source in sources:
        for _, block in read_blocks(source, 1 << 20):
            drawing.add(list(filterfalse(bytes.isspace, filter(None, block.split(b"\n")))))
            if progress:
                progress(len(block))
    return _split(drawing, prefix, valid, test, sources[0])


def prepare_text(
    sources: Sequence[Path],
    prefix: Path,
    step: LineStep,
    valid: int,
    test: int,
    seed: int,
    workers: int = 1,
    progress: Callable[[int], object] | None = None,
) -> tuple[dict[str, int], list[LineCounts]]:
    """Clean, tokenise, shuffle and split text on one way, with no text in between; the notes beside it say how.

    Parameters
    ----------
    sources : sequence of Path
        Raw text; put together.
    prefix : Path
        `FOLDER/LANG` of the files `FOLDER/LANG.{train,valid,test}.txt`.
    step : LineStep
        Language, tokenisation, casing.
    valid, test, seed : int
        As `shuffle_split`.

    Returns
    -------
    counts, found
        As `shuffle_split`, and what was read from each source.
    """
    drawing = _drawing(prefix, seed, sources)
    found = []
    for source in sources:
        batches, counts = run_lines(source, step, workers, progress)
        for lines in batches:
            drawing.add(lines)
        found.append(counts)
    write_notes(prefix.parent, step.casing, {step.lang: step.tokenisation})
    return _split(drawing, prefix, valid, test, sources[0]), found


def join_splits(prefixes: Sequence[Path], out: Path, seed: int) -> None:
    """Put texts of several domains together: held-out sets behind each other, training texts shuffled."""
    held_out: set[bytes] = set()
    for split in ("valid", "test"):
        with atomic_write(f"{out}.{split}.txt", "wb") as handle:
            for prefix in prefixes:
                for _, block in read_blocks(f"{prefix}.{split}.txt"):
                    handle.write(block)
                    held_out.update(block.split(b"\n"))
    sources = [Path(f"{prefix}.train.txt") for prefix in prefixes]
    drawing = _drawing(out, seed, sources)
    for source in sources:
        for _, block in read_blocks(source, 1 << 20):
            drawing.add([line for line in block.split(b"\n") if line and line not in held_out])
    with atomic_write(f"{out}.train.txt", "wb", sync=False) as handle:
        for lines in drawing.lines():
            handle.write(_joined(lines))


def _split(drawing: Drawing, prefix: Path, valid: int, test: int, source: Path) -> dict[str, int]:
    if drawing.seen <= valid + test:
        raise InputError(f"{drawing.seen:,} sentences; expected more than the {valid + test:,} to hold out", source)
    with ExitStack() as stack:
        handles: dict[str, IO[bytes]] = {}
        for split in ("train", "test", "valid"):  # closed, and so renamed, in the opposite order
            if split != "test" or test:
                handles[split] = stack.enter_context(atomic_write(f"{prefix}.{split}.txt", "wb", sync=False))
        return _write_splits(drawing, handles, valid, test)


def _write_splits(drawing: Drawing, out: dict[str, IO[bytes]], valid: int, test: int) -> dict[str, int]:
    counts = {"train": 0, "valid": 0, "test": 0}
    held_out: list[bytes] = []
    unwanted: set[bytes] = set()  # the held-out sentences, when all are taken
    for lines in drawing.lines(unwanted):
        for split, size in (("valid", valid), ("test", test)):
            taken = lines[: size - counts[split]]
            lines = lines[len(taken) :]
            held_out += taken
            counts[split] += len(taken)
            if taken:
                out[split].write(_joined(taken))
        if lines and held_out and not unwanted:
            unwanted.update(held_out)
            lines = list(filterfalse(unwanted.__contains__, lines))
        counts["train"] += len(lines)
        out["train"].write(_joined(lines))
    return {**counts, "repeats": drawing.seen - sum(counts.values())}
