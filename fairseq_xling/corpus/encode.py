"""Text to ids, word by word: SentencePiece's own ids at the speed of a dictionary look-up.

With BPE trained as here (words end at spaces, a dummy prefix, extra whitespace removed) a sentence's subwords are
those of its space-separated words in turn, so each different word needs SentencePiece only once.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import sentencepiece

EOS, UNK = 2, 3
"""fairseq's ids of `</s>` and `<unk>`."""
_CACHED_WORD = 200  # bytes; longer words hardly ever come back


def symbol_of(piece: str, lang: str, mode: str) -> str:
    """The dictionary symbol of a subword: `<lang>:<subword>` where the vocabulary mode is prefixed."""
    return f"{lang}:{piece}" if mode == "prefixed" else piece


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


class WordEncoder(dict[bytes, bytes]):
    """Words (UTF-8) to the bytes of their ids; what is missing is encoded, and kept while there is room.

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

    Notes
    -----
    Ids equal ``dictionary.index(piece)`` for each piece that SentencePiece prints: what BPE does not know may
    still be a symbol of a dictionary that another language shares.
    """

    def __init__(self, model: bytes, index: Mapping[str, int], lang: str, mode: str, room: int = 300_000):
        super().__init__()
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self._index, self._lang, self._mode, self._room = index, lang, mode, room
        pieces = (self._processor.id_to_piece(i) for i in range(self._processor.get_piece_size()))
        self._table = [index.get(symbol_of(piece, lang, mode), UNK) for piece in pieces]
        self._unknown = self._processor.unk_id()
        self._older: dict[bytes, bytes] = {}
        self.dtype = id_dtype(max(index.values(), default=0) + 2)

    def __missing__(self, word: bytes) -> bytes:
        ids = self._older.get(word)
        if ids is None:
            ids = np.array(self.ids(word), dtype=self.dtype).tobytes()
        if len(word) <= _CACHED_WORD:
            if len(self) >= self._room:
                self._older = dict(self)
                self.clear()
            self[word] = ids
        return ids

    def ids(self, word: bytes) -> list[int]:
        """Ids of one word or text, by SentencePiece itself."""
        found = self._processor.encode(word)
        if self._unknown not in found:
            return [self._table[i] for i in found]
        pieces: list[str] = self._processor.encode(word, out_type=str)
        return [self._index.get(symbol_of(piece, self._lang, self._mode), UNK) for piece in pieces]
