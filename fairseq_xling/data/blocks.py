"""Blocks of tokens cut from a binarised corpus: a continuous stream as in XLM, or one sentence each.

The corpus stays on disk (memory-mapped): memory does not grow with it, but for eight bytes a sentence
where blocks are sentences.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fairseq_xling.formats.errors import InputError


class TokenFile:
    """A corpus in fairseq's mmap format (`PREFIX.bin`, `PREFIX.idx`), read without copying.

    Parameters
    ----------
    prefix : path-like
        Path without ``.bin`` and ``.idx``.

    Attributes
    ----------
    tokens : (n,) integer array
        All tokens in file order, memory-mapped.
    sizes : (sentences,) int32
        Tokens of each sentence, ``</s>`` included.

    Raises
    ------
    InputError
        A file is missing, empty, truncated or of another format.
    """

    def __init__(self, prefix: str | os.PathLike[str]):
        self.prefix = Path(prefix)
        index, data = (self.prefix.with_name(self.prefix.name + end) for end in (".idx", ".bin"))
        for path in (index, data):
            if not path.is_file():
                raise InputError("no such file; expected binarised text made by preprocess/build_databin.py", path)
        dtype, self.sizes = _read_index(index)
        total = int(self.sizes.sum(dtype=np.int64))
        if total == 0:
            raise InputError("the corpus is empty; expected at least one sentence", data)
        found = data.stat().st_size
        if found != total * dtype.itemsize:
            raise InputError(f"{found} bytes, but the index promises {total * dtype.itemsize}: truncated?", data)
        self.tokens = np.memmap(data, dtype=dtype, mode="r")

    def __getstate__(self) -> dict[str, Path]:
        return {"prefix": self.prefix}  # workers map the file anew instead of receiving a copy

    def __setstate__(self, state: dict[str, Path]) -> None:
        self.__init__(state["prefix"])  # type: ignore[misc]


def _read_index(path: Path) -> tuple[np.dtype, NDArray[np.int32]]:
    from fairseq.data.indexed_dataset import MMapIndexedDataset, _code_to_dtype

    magic = MMapIndexedDataset.Index._HDR_MAGIC
    header = len(magic) + 8 + 1 + 8
    raw = np.fromfile(path, dtype=np.uint8, count=header).tobytes()
    if len(raw) < header or not raw.startswith(magic):
        raise InputError("not an index of fairseq's mmap format", path)
    code = raw[len(magic) + 8]
    count = int.from_bytes(raw[-8:], "little")
    if code not in _code_to_dtype or not np.issubdtype(_code_to_dtype[code], np.integer):
        raise InputError(f"unknown or non-integer element type {code} in the index", path)
    if path.stat().st_size != header + count * 12:
        raise InputError(f"{path.stat().st_size} bytes, but {count} sentences need {header + count * 12}", path)
    sizes = np.memmap(path, dtype=np.int32, mode="r", offset=header, shape=(count,)) if count else np.zeros(0, np.int32)
    if count and int(sizes.min()) < 0:
        raise InputError("a sentence of negative length in the index", path)
    return np.dtype(_code_to_dtype[code]), sizes


class StreamBlocks:
    """A continuous stream cut into blocks of equal length (paper, section 2; XLM's ``StreamDataset``).

    Sentences follow each other, ``</s>`` after each; a block begins wherever the one before ended.

    Parameters
    ----------
    corpus : TokenFile
    length : int
        Tokens of a block.
    keep_last : bool
        Keep the shorter block at the end (for validation); training drops it, so that nothing is padded.

    Raises
    ------
    InputError
        Fewer tokens than one block.
    """

    lengths: None = None

    def __init__(self, corpus: TokenFile, length: int, keep_last: bool = False):
        self.corpus, self.length = corpus, length
        tokens = len(corpus.tokens)
        self.num_blocks = -(-tokens // length) if keep_last else tokens // length
        if self.num_blocks == 0:
            raise InputError(f"{tokens} tokens are fewer than one block of {length}", f"{corpus.prefix}.bin")

    def read(self, blocks: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Tokens of the given blocks, each (length,) int64."""
        tokens, length = self.corpus.tokens, self.length
        return [tokens[block * length : (block + 1) * length].astype(np.int64) for block in blocks.tolist()]


class SentenceBlocks:
    """One sentence a block, with the boundary symbol on both sides: ``</s> w1 ... wn </s>`` as in XLM.

    Parameters
    ----------
    corpus : TokenFile
        Every sentence ends with the boundary symbol.
    length : int
        Longest block, boundaries included; longer sentences are cut, and `num_cut` counts them.
    boundary : int
        Id of ``</s>``.
    """

    def __init__(self, corpus: TokenFile, length: int, boundary: int):
        self.corpus, self.length, self.boundary = corpus, length, boundary
        self.num_blocks = len(corpus.sizes)
        self.num_cut = int((corpus.sizes + 1 > length).sum())
        self.lengths = np.minimum(corpus.sizes + 1, length)
        self._starts = np.concatenate([[0], np.cumsum(corpus.sizes, dtype=np.int64)])

    def read(self, blocks: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Tokens of the given blocks, each (up to length,) int64."""
        return [self._sentence(block) for block in blocks.tolist()]

    def _sentence(self, block: int) -> NDArray[np.int64]:
        words = self.corpus.tokens[self._starts[block] : self._starts[block + 1] - 1][: self.length - 2]
        sentence = np.full(len(words) + 2, self.boundary, dtype=np.int64)
        sentence[1:-1] = words
        return sentence


def pad_blocks(blocks: list[NDArray[np.int64]], pad_index: int) -> NDArray[np.int64]:
    """Stack blocks of any length, padded on the right: (batch, longest) int64."""
    longest = max(len(block) for block in blocks)
    batch = np.full((len(blocks), longest), pad_index, dtype=np.int64)
    for row, block in zip(batch, blocks):
        row[: len(block)] = block
    return batch
