"""SentencePiece BPE from counted words: the model that the whole text would give, in bounded memory.

BPE merges never cross whitespace, so SentencePiece itself reduces the text to words and their counts;
counting them here, block by block, spares it the text.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import sentencepiece

from fairseq_xling.corpus.parallel import ordered_map
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.text import read_blocks

LONGEST_WORD = 1000
"""Longer words (bytes) are left out of the training of BPE."""
MOST_WORDS = 2_000_000
"""Above this many different words, the rarest are forgotten while counting."""


def count_words(paths: Iterable[Path], workers: int = 1, most: int = MOST_WORDS) -> Counter[bytes]:
    """Count the space-separated words of text files.

    Parameters
    ----------
    paths : iterable of Path
        Text, one sentence a line.
    workers : int
        Processes that count.
    most : int
        Bound on memory: when twice as many different words are held, those seen once, then twice ... are dropped.
    """
    counts: Counter[bytes] = Counter()
    blocks = (block for path in paths for _, block in read_blocks(path))
    for part in ordered_map(_count_block, blocks, workers):
        counts.update(part)
        if len(counts) > 2 * most:
            counts = _without_rarest(counts, most)
    return counts


def _count_block(block: bytes) -> dict[bytes, int]:
    counts = Counter(block.replace(b"\n", b" ").replace(b"\t", b" ").split(b" "))
    return {word: count for word, count in counts.items() if 0 < len(word) <= LONGEST_WORD}


def _without_rarest(counts: Counter[bytes], most: int) -> Counter[bytes]:
    floor = 1
    while len(counts) > most:
        counts = Counter({word: count for word, count in counts.items() if count > floor})
        floor += 1
    return counts


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
    except RuntimeError as error:
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
            f"take --bpe-size {found[1]} or less, or --shrink to take what there is"
        )
    if found := re.search(r"smaller than required_chars\D+(\d+)\D+(\d+)", error):
        return (
            f"a BPE of {size} subwords cannot hold the characters of this text; "
            f"take --bpe-size above {max(int(found[1]), int(found[2]))} or a lower --character-coverage"
        )
    return f"SentencePiece cannot train on this text: {error.splitlines()[-1][:200]}"
