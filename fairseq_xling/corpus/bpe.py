"""SentencePiece BPE from counted words: the model that the whole text would give, in bounded memory.

BPE merges never cross whitespace, so SentencePiece itself reduces the text to words and their counts;
counting them here, block by block, spares it the text.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import compress
from pathlib import Path

import numpy as np
import sentencepiece

from fairseq_xling.corpus.process_pool import ordered_map
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.text import read_blocks

SIZES = "--bpe-size of build_databin.py, --bpe-joint or --bpe-each of condition.py"
LONGEST_WORD = 1000
"""Longer words (bytes) are left out of the training of BPE."""
MOST_WORDS, MOST_BYTES = 500_000, 12 << 20
"""Different words that BPE is trained on, and their bytes (text without spaces has long ones): the most frequent."""


def count_words(
    paths: Iterable[Path], workers: int = 1, most: int = MOST_WORDS, most_bytes: int = MOST_BYTES
) -> Counter[bytes]:
    """Count the space-separated words of text files.

    Parameters
    ----------
    paths : iterable of Path
        Text, one sentence a line.
    workers : int
        Processes that count; the result does not depend on their number.
    most, most_bytes : int
        Most different words, and most bytes of words, that are returned. Memory is bounded as well: whenever twice as
        many are held while counting, the rarest are dropped (of equally rare words those found last).
    """
    counts: Counter[bytes] = Counter()
    held = 0
    blocks = (block for path in paths for _, block in read_blocks(path))
    for part in ordered_map(_count_block, blocks, workers):
        held += sum(len(word) for word in part if word not in counts)
        counts.update(part)
        if len(counts) > 2 * most or held > 2 * most_bytes:
            counts = _most_frequent(counts, most, most_bytes)
            held = sum(map(len, counts))
    return _most_frequent(counts, most, most_bytes)


def _count_block(block: bytes) -> dict[bytes, int]:
    counts = Counter(block.replace(b"\n", b" ").replace(b"\t", b" ").split(b" "))
    return {word: count for word, count in counts.items() if 0 < len(word) <= LONGEST_WORD}


def _most_frequent(counts: Counter[bytes], most: int, most_bytes: int) -> Counter[bytes]:
    numbers = np.fromiter(counts.values(), dtype=np.int64, count=len(counts))
    lengths = np.fromiter(map(len, counts), dtype=np.int64, count=len(counts))
    ranked = np.argsort(-numbers, kind="stable")
    fitting = int(np.searchsorted(np.cumsum(lengths[ranked]), most_bytes, side="right"))
    keep = np.zeros(len(counts), dtype=bool)
    keep[ranked[: min(most, fitting)]] = True
    return counts if keep.all() else Counter(dict(compress(counts.items(), keep.tolist())))


def train_bpe(
    words: Mapping[bytes, int], size: int, coverage: float = 0.9999, shrink: bool = False, source: Path | None = None
) -> bytes:
    """Train SentencePiece BPE; the same words give the same model.

    Parameters
    ----------
    words : mapping
        Words (UTF-8) and their counts.
    size : int
        Subwords of the model, its three control symbols included.
    coverage : float
        Share of running characters that must be in the vocabulary; rarer characters are unknown.
    shrink : bool
        Take the largest size that the text can give, where that is less than `size`; else it is an error.
    source : Path, optional
        The text, to be named in errors.

    Returns
    -------
    bytes
        The model, to be written as `spm.model`.
    """
    if not words:
        raise InputError("no words to train BPE on; expected text, one sentence a line", source)
    ranked = sorted(words.items(), key=lambda item: (-item[1], item[0]))
    lines = (f"{word}\t{count}" for raw, count in ranked if (word := _decoded(raw)))
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines,
            input_format="tsv",
            model_writer=model,
            model_type="bpe",
            vocab_size=size,
            character_coverage=coverage,
            hard_vocab_limit=not shrink,
            max_sentence_length=2 * LONGEST_WORD,
            minloglevel=2,
        )
    except (RuntimeError, ValueError, OverflowError) as error:
        raise InputError(_explain(str(error), size), source) from error
    return model.getvalue()


def _decoded(raw: bytes) -> str | None:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _explain(error: str, size: int) -> str:
    """SentencePiece's message as one line that says what to do."""
    if found := re.search(r"set it to a value <= (\d+)", error):
        return (
            f"a BPE of {size} subwords was asked for, but this text gives at most {found[1]}; "
            f"take {found[1]} or less ({SIZES}), or --shrink to take what there is"
        )
    if found := re.search(r"smaller than required_chars\D+(\d+)\D+(\d+)", error):
        return (
            f"a BPE of {size} subwords cannot hold the characters of this text; "
            f"take more than {max(int(found[1]), int(found[2]))} ({SIZES}), or a lower --character-coverage there"
        )
    return f"SentencePiece cannot train on this text: {error.splitlines()[-1][:200]}"
