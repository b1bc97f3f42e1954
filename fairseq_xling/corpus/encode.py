"""Text to ids, word by word: SentencePiece's own ids at the speed of a dictionary look-up.

With BPE trained as here (words end at spaces, a dummy prefix, extra whitespace removed) a sentence's subwords are
those of its space-separated words in turn, so each different word needs SentencePiece only once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

import numpy as np
import sentencepiece

from fairseq_xling.corpus.word_memory import WordMemory, Words
from fairseq_xling.formats.dict_txt import EOS, MASK, SPECIAL, UNK


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
    special = {*SPECIAL, MASK}
    pieces = (processor.id_to_piece(i) for i in range(processor.get_piece_size()) if not _is_control(processor, i))
    return [piece for piece in pieces if piece not in special and not any(char.isspace() for char in piece)]


def _is_control(processor: sentencepiece.SentencePieceProcessor, index: int) -> bool:
    return bool(processor.is_unknown(index) or processor.is_control(index) or processor.is_unused(index))


def id_dtype(symbols: int) -> type[np.uint16] | type[np.uint32]:
    """The type in which fairseq stores ids below `symbols` (special ones and `<mask>` included)."""
    return np.uint16 if symbols < 65500 else np.uint32


class WordEncoder:
    """Blocks of text to ids; each different word goes through SentencePiece once, as long as there is room.

    Parameters
    ----------
    model : bytes
        SentencePiece model.
    index : mapping
        Symbols of `dict.txt` to ids (no special symbols: text never turns into one).
    lang, mode : str
        Language and vocabulary mode, which give the prefix.
    room : int
        Words held; when there are more, all are forgotten.

    Attributes
    ----------
    dtype : numpy type
        Of the ids.

    Notes
    -----
    Ids equal ``dictionary.index(piece)`` for each piece that SentencePiece prints: what BPE does not know may
    still be a symbol of a dictionary that another language shares.
    """

    def __init__(self, model: bytes, index: Mapping[str, int], lang: str, mode: str, room: int = 1_000_000):
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self._index, self._lang, self._mode = index, lang, mode
        self.dtype = id_dtype(max(index.values(), default=0) + 2)
        names = [self._processor.id_to_piece(i) for i in range(self._processor.get_piece_size())]
        self._table = np.array([index.get(symbol_of(name, lang, mode), UNK) for name in names], dtype=self.dtype)
        self._odd = [i for i, name in enumerate(names) if i == self._processor.unk_id() or name.split() != [name]]
        self._memory = WordMemory(room, np.array([EOS], dtype=self.dtype))

    def encode(self, block: bytes) -> tuple[np.ndarray, np.ndarray]:
        """Ids of whole lines, and the number of ids of each.

        Parameters
        ----------
        block : bytes
            UTF-8 text that ends in a newline.

        Returns
        -------
        ids : (n,) array of `dtype`
            `</s>` at the end of each line.
        sizes : (lines,) int32
            `</s>` counted.
        """
        parts = [self._encode_part(part) for part in _parts(block)]
        return np.concatenate([ids for ids, _ in parts]), np.concatenate([sizes for _, sizes in parts])

    def _encode_part(self, part: bytes) -> tuple[np.ndarray, np.ndarray]:
        words = Words(part)
        rows = self._memory.find(words.hashes)
        new = np.flatnonzero(rows < 0)
        if len(new):
            hashes, first, place = np.unique(words.hashes[new], return_index=True, return_inverse=True)
            ids, sizes = self._encode_words([words.word(i) for i in new[first].tolist()])
            rows = self._memory.keep(rows, new, place, hashes, ids, sizes)
        return self._memory.spell(rows, words.ends_line)

    def _encode_words(self, words: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """Ids of words behind each other, and the number of ids of each."""
        found = self._processor.encode(words, num_threads=1)
        sizes = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
        pieces = np.fromiter(chain.from_iterable(found), dtype=np.int64, count=int(sizes.sum()))
        ids = self._table[pieces]
        odd = np.flatnonzero(np.isin(pieces, self._odd))
        if not len(odd):
            return ids, sizes
        is_odd = np.zeros(len(words), dtype=bool)
        is_odd[np.searchsorted(np.cumsum(sizes), odd, side="right")] = True
        plain = ids[~np.repeat(is_odd, sizes)]
        rows = [self._by_pieces(words[number]) for number in np.flatnonzero(is_odd).tolist()]
        sizes[is_odd] = [len(row) for row in rows]
        where = np.repeat(is_odd, sizes)
        ids = np.empty(len(where), dtype=self.dtype)
        ids[~where], ids[where] = plain, np.concatenate(rows)
        return ids, sizes

    def _by_pieces(self, word: bytes) -> np.ndarray:
        pieces: list[str] = self._processor.encode(word, out_type=str)
        ids = [self._index.get(symbol, UNK) for symbol in symbols_of(pieces, self._lang, self._mode)]
        return np.array(ids, dtype=self.dtype)


def _parts(block: bytes, size: int = 1 << 18) -> Iterator[bytes]:
    """The block in parts of whole lines that a processor's cache holds."""
    start = 0
    while start < len(block):
        end = block.find(b"\n", min(start + size, len(block) - 1)) + 1
        yield block[start:end]
        start = end
