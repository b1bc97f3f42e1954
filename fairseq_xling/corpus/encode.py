"""Text to ids, word by word: SentencePiece's own ids at the speed of a dictionary look-up.

With BPE trained as here (words end at spaces, a dummy prefix, extra whitespace removed) a sentence's subwords are
those of its space-separated words in turn, so each different word needs SentencePiece only once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain, pairwise

import numpy as np
import sentencepiece

EOS, UNK = 2, 3
"""fairseq's ids of `</s>` and `<unk>`."""
_CACHED_WORD = 200  # bytes; longer words hardly ever come back


def symbol_of(piece: str, lang: str, mode: str) -> str:
    """The dictionary symbol of a subword: `<lang>:<subword>` where the vocabulary mode is prefixed."""
    return f"{lang}:{piece}" if mode == "prefixed" else piece


def symbols_of(pieces: Iterable[str], lang: str, mode: str) -> list[str]:
    """The dictionary symbols of the subwords of a text, as fairseq reads them from a line.

    (What BPE does not know stands as it is and may hold U+0085, which counts as a space there.)
    """
    return " ".join(symbol_of(piece, lang, mode) for piece in pieces).split()


def plain_pieces(processor: sentencepiece.SentencePieceProcessor) -> list[str]:
    """The subwords of a model that can stand in a `dict.txt`, in order, without control symbols."""
    special = {"<s>", "<pad>", "</s>", "<unk>", "<mask>"}
    pieces = (processor.id_to_piece(i) for i in range(processor.get_piece_size()) if not _is_control(processor, i))
    return [piece for piece in pieces if piece not in special and not any(char.isspace() for char in piece)]


def _is_control(processor: sentencepiece.SentencePieceProcessor, index: int) -> bool:
    return bool(processor.is_unknown(index) or processor.is_control(index) or processor.is_unused(index))


def id_dtype(symbols: int) -> type[np.uint16] | type[np.uint32]:
    """The type in which fairseq stores ids below `symbols` (special ones and `<mask>` included)."""
    return np.uint16 if symbols < 65500 else np.uint32


def _where_none(items: list[bytes | None]) -> Iterator[int]:
    position = -1
    with suppress(ValueError):
        while True:
            position = items.index(None, position + 1)
            yield position


class WordEncoder:
    """Words (UTF-8) to the bytes of their ids; each different word is encoded once, as long as there is room.

    Parameters
    ----------
    model : bytes
        SentencePiece model.
    index : mapping
        Symbols of `dict.txt` to ids (no special symbols: text never turns into one).
    lang, mode : str
        Language and vocabulary mode, which give the prefix.
    room : int
        Words held in the newer of two generations; the older one is as large.

    Attributes
    ----------
    dtype : numpy type
        Of the ids in the bytes.

    Notes
    -----
    Ids equal ``dictionary.index(piece)`` for each piece that SentencePiece prints: what BPE does not know may
    still be a symbol of a dictionary that another language shares.
    """

    def __init__(self, model: bytes, index: Mapping[str, int], lang: str, mode: str, room: int = 200_000):
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self._index, self._lang, self._mode, self._room = index, lang, mode, room
        self.dtype = id_dtype(max(index.values(), default=0) + 2)
        names = [self._processor.id_to_piece(i) for i in range(self._processor.get_piece_size())]
        self._table = np.array([index.get(symbol_of(name, lang, mode), UNK) for name in names], dtype=self.dtype)
        self._odd = [i for i, name in enumerate(names) if i == self._processor.unk_id() or name.split() != [name]]
        self._end = {b"\n": np.array([EOS], dtype=self.dtype).tobytes()}
        self._newer: dict[bytes, bytes] = dict(self._end)
        self._older: dict[bytes, bytes] = {}

    def encode(self, words: list[bytes]) -> list[bytes]:
        """The bytes of the ids of each word; a newline is a word too, and becomes `</s>`."""
        found = list(map(self._newer.get, words))
        gaps = list(_where_none(found))
        if gaps:
            fresh = self._look_up({words[gap] for gap in gaps})
            for gap in gaps:
                found[gap] = fresh[words[gap]]
        return found  # type: ignore[return-value]

    def _look_up(self, missing: set[bytes]) -> dict[bytes, bytes]:
        """Ids of words that the newer generation lacks; they are kept in it."""
        if len(self._newer) + len(missing) > self._room:
            self._older, self._newer = self._newer, dict(self._end)
        fresh = {word: ids for word in missing if (ids := self._older.get(word)) is not None}
        unknown = [word for word in missing if word not in fresh]
        fresh.update(zip(unknown, self._encode_new(unknown)))
        self._newer.update((word, ids) for word, ids in fresh.items() if len(word) <= _CACHED_WORD)
        return fresh

    def _encode_new(self, words: list[bytes]) -> list[bytes]:
        rows = self._processor.encode(words, num_threads=1)
        ends = np.cumsum([len(row) for row in rows], dtype=np.int64) * np.dtype(self.dtype).itemsize
        flat = np.fromiter(chain.from_iterable(rows), dtype=np.int64)
        ids = self._table[flat].tobytes()
        result = [ids[start:end] for start, end in pairwise([0, *ends.tolist()])]
        odd = np.flatnonzero(np.isin(flat, self._odd))
        for number in np.unique(np.searchsorted(ends, odd * np.dtype(self.dtype).itemsize, side="right")).tolist():
            result[number] = self._by_pieces(words[number])
        return result

    def _by_pieces(self, word: bytes) -> bytes:
        pieces: list[str] = self._processor.encode(word, out_type=str)
        ids = [self._index.get(symbol, UNK) for symbol in symbols_of(pieces, self._lang, self._mode)]
        return np.array(ids, dtype=self.dtype).tobytes()
