"""Text straight to fairseq's mmap format: many workers, one pass, memory that does not depend on the corpus."""

from __future__ import annotations

import struct
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from fairseq_xling.corpus.encode import WordEncoder
from fairseq_xling.corpus.lines import LONGEST_SENTENCE
from fairseq_xling.corpus.process_pool import ordered_map
from fairseq_xling.formats.dict_txt import EOS, UNK
from fairseq_xling.formats.files import atomic_write, temporary_beside
from fairseq_xling.formats.text import read_blocks

_MAGIC = b"MMIDIDX\x00\x00"
_TYPE_CODE: dict[type, int] = {np.uint16: 8, np.uint32: 9}  # of fairseq.data.indexed_dataset
_encoder: tuple[WordEncoder, int] | None = None  # of this worker, with the number of ids


@dataclass
class Counts:
    """What binarising one file found.

    Attributes
    ----------
    sentences, tokens : int
        Items written, and their ids without `</s>`.
    unknown : int
        Ids that are `<unk>`.
    skipped : dict
        Reason (`empty`, `not_utf8`, `too_long`) to number of lines left out.
    first_skipped : dict
        Reason to the first such line, counted from 1.
    """

    sentences: int = 0
    tokens: int = 0
    unknown: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    first_skipped: dict[str, int] = field(default_factory=dict)

    @property
    def unknown_rate(self) -> float:
        """Share of tokens that are unknown."""
        return self.unknown / max(self.tokens, 1)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "unknown_rate": self.unknown_rate}


@dataclass
class _Block:
    ids: bytes
    sizes: np.ndarray
    usage: np.ndarray
    skipped: dict[str, tuple[int, int]]  # reason to (number, first line, counted from 0)


def binarise(
    source: Path,
    target: Path,
    model: bytes,
    index: Mapping[str, int],
    lang: str,
    mode: str,
    workers: int = 1,
    progress: Callable[[int], object] | None = None,
) -> tuple[Counts, np.ndarray]:
    """Write `target`.bin and `target`.idx from a text file.

    Parameters
    ----------
    source : Path
        Text, one sentence a line, plain or compressed.
    target : Path
        Path without suffix; both files are atomic, `.idx` comes last.
    model : bytes
        SentencePiece model.
    index : mapping
        Symbols of `dict.txt` to ids (from 4 on).
    lang, mode : str
        Language and vocabulary mode.
    workers : int
        Processes; the files do not depend on their number.
    progress : callable, optional
        Called with the number of bytes of text done since the last call.

    Returns
    -------
    counts, usage
        What was found, and how often each id occurs, array (ids,).
    """
    counts, usage = Counts(), np.zeros(len(index) + 5, dtype=np.int64)
    dtype = WordEncoder(model, index, lang, mode).dtype
    starts: deque[tuple[int, int]] = deque()

    def blocks() -> Iterator[bytes]:
        for line, block in read_blocks(source):
            starts.append((line, len(block)))
            yield block

    with temporary_beside(target.with_name(f"{target.name}.sizes")) as spool, open(spool, "w+b") as sizes:
        with atomic_write(_with(target, ".bin"), "wb", sync=False) as out:
            args = (model, index, lang, mode, len(usage))
            for block in ordered_map(_encode_block, blocks(), workers, _set_encoder, args):
                line, length = starts.popleft()
                out.write(block.ids)
                sizes.write(block.sizes.tobytes())
                usage += block.usage
                _add(counts, block, line)
                if progress:
                    progress(length)
        with atomic_write(_with(target, ".idx"), "wb", sync=False) as idx:
            _write_index(idx, sizes, counts.sentences, dtype)
    counts.unknown = int(usage[UNK])
    counts.tokens = int(usage.sum() - usage[EOS])
    return counts, usage


def _with(target: Path, suffix: str) -> Path:
    return target.with_name(target.name + suffix)


def _set_encoder(model: bytes, index: Mapping[str, int], lang: str, mode: str, ids: int) -> None:
    global _encoder
    _encoder = WordEncoder(model, index, lang, mode), ids


def _encode_block(block: bytes) -> _Block:
    encoder, id_count = _encoder  # type: ignore[misc]
    bad: dict[int, str] = {}
    numbers: np.ndarray | None = None  # of the lines that are left
    if not _clean(block):
        lines = block[:-1].split(b"\n")
        bad = _bad_lines(lines)
        numbers = np.delete(np.arange(len(lines)), list(bad))
        block = b"".join(lines[n] + b"\n" for n in numbers.tolist())
    ids, sizes = encoder.encode(block) if block else (np.zeros(0, encoder.dtype), np.zeros(0, np.int32))
    empty = np.flatnonzero(sizes == 1)
    if len(empty):
        bad.update(dict.fromkeys((empty if numbers is None else numbers[empty]).tolist(), "empty"))
        ids, sizes = np.delete(ids, np.cumsum(sizes)[empty] - 1), np.delete(sizes, empty)
    return _Block(ids.tobytes(), sizes, np.bincount(ids, minlength=id_count), _summary(bad))


def _clean(block: bytes) -> bool:
    try:
        block.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return len(block) <= LONGEST_SENTENCE or max(map(len, block.split(b"\n"))) <= LONGEST_SENTENCE


def _bad_lines(lines: list[bytes]) -> dict[int, str]:
    """Lines (counted from 0) that cannot be sentences, with the reason."""
    bad = {number: "too_long" for number, line in enumerate(lines) if len(line) > LONGEST_SENTENCE}
    bad.update({number: "not_utf8" for number, line in enumerate(lines) if not _is_utf8(line)})
    return bad


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _summary(bad: Mapping[int, str]) -> dict[str, tuple[int, int]]:
    numbers = Counter(bad.values())
    return {reason: (count, min(n for n in bad if bad[n] == reason)) for reason, count in numbers.items()}


def _add(counts: Counts, block: _Block, line: int) -> None:
    counts.sentences += len(block.sizes)
    for reason, (number, first) in block.skipped.items():
        counts.skipped[reason] = counts.skipped.get(reason, 0) + number
        counts.first_skipped.setdefault(reason, line + first)


def _write_index(out: IO[bytes], sizes: IO[bytes], items: int, dtype: type) -> None:
    """fairseq's `.idx`: magic, version, type of the ids, number of items; sizes (int32); byte offsets (int64)."""
    out.write(_MAGIC + struct.pack("<QBQ", 1, _TYPE_CODE[dtype], items))
    sizes.seek(0)
    while data := sizes.read(4 << 20):
        out.write(data)
    sizes.seek(0)
    offset = 0
    while data := sizes.read(4 << 20):
        ends = np.cumsum(np.frombuffer(data, dtype=np.int32), dtype=np.int64) * np.dtype(dtype).itemsize + offset
        out.write(np.concatenate(([offset], ends[:-1])).astype(np.int64).tobytes())
        offset = int(ends[-1])
