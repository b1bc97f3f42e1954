"""The words of a block of text as hashes, and a table from hashes to what a word is encoded as; all in whole arrays.

A word's hash has 64 bits: among ten million different words, the chance that any two share one is three in a million.
"""

from __future__ import annotations

import numpy as np

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C55)  # odd, so that multiplying by it can be undone modulo 2^64
_SPREAD = np.uint64(0xD6E8FEB86659FD93)
_SPACE, _NEWLINE = 32, 10
MOST_IDS = 1 << 24
"""Most ids held, whatever the number of words: text without spaces has long ones."""
_powers = np.ones(1, dtype=np.uint64)


def _powers_up_to(length: int) -> np.ndarray:
    """Powers of the multiplier modulo 2^64, at least `length` of them."""
    global _powers
    if len(_powers) < length:
        steps = np.full(1 << (length - 1).bit_length(), _MULTIPLIER, dtype=np.uint64)
        steps[0] = 1
        _powers = np.multiply.accumulate(steps)
    return _powers


class Words:
    """The words of a text: what lies between spaces and line ends, empty words included.

    Parameters
    ----------
    text : bytes
        Ends in a newline.

    Attributes
    ----------
    hashes : (words,) uint64
    ends_line : (words,) bool
        Whether the word is the last of its line.
    """

    def __init__(self, text: bytes):
        self._text = text
        codes = np.frombuffer(text, dtype=np.uint8)
        self._ends = np.flatnonzero((codes == _SPACE) | (codes == _NEWLINE))
        self._starts = np.concatenate(([0], self._ends[:-1] + 1))
        self.ends_line = codes[self._ends] == _NEWLINE
        # sum of (code + 1) * multiplier^place over the word, brought to one place by a power of the multiplier
        powers = _powers_up_to(len(codes) + 1)
        sums = np.zeros(len(codes) + 1, dtype=np.uint64)
        np.cumsum((codes + np.uint64(1)) * powers[: len(codes)], out=sums[1:])
        longest = len(powers) - 1
        raw = sums[self._ends] - sums[self._starts]
        self.hashes = self._same_place(raw * powers[longest - self._starts], longest)

    @staticmethod
    def _same_place(hashes: np.ndarray, longest: int) -> np.ndarray:
        """Hashes that do not depend on how many powers there are: multiplied by multiplier^-longest."""
        inverse = pow(pow(int(_MULTIPLIER), longest, 1 << 64), -1, 1 << 64)
        mixed = hashes * np.uint64(inverse)
        mixed ^= mixed >> np.uint64(32)
        return mixed * _SPREAD

    def word(self, number: int) -> bytes:
        """The bytes of a word."""
        return self._text[self._starts[number] : self._ends[number]]


class WordMemory:
    """A hash table with open addressing from words' hashes to rows of ids.

    Parameters
    ----------
    room : int
        Most words held.
    line_end : (1,) array
        The id that ends a line, row 0.
    """

    def __init__(self, room: int, line_end: np.ndarray):
        self._room, self._line_end = room, line_end
        bits = max((2 * room - 1).bit_length(), 4)
        self._shift, self._mask = np.uint64(64 - bits), (1 << bits) - 1
        self._keys = np.zeros(1 << bits, dtype=np.uint64)
        self._rows = np.full(1 << bits, -1, dtype=np.int32)
        self._forget()

    def _forget(self) -> None:
        self._rows.fill(-1)
        self._ids, self._used = self._line_end.copy(), 1
        self._starts, self._sizes = np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.int64)
        self._count = 1

    def find(self, hashes: np.ndarray) -> np.ndarray:
        """Row of each word, -1 where it is not held; (words,) int64."""
        slots = (hashes >> self._shift).astype(np.int64)
        rows = self._rows[slots].astype(np.int64)
        open_ = np.flatnonzero((rows >= 0) & (self._keys[slots] != hashes))
        while len(open_):  # another word's place: the next one
            slots[open_] = (slots[open_] + 1) & self._mask
            rows[open_] = self._rows[slots[open_]]
            open_ = open_[(rows[open_] >= 0) & (self._keys[slots[open_]] != hashes[open_])]
        return rows

    def keep(
        self,
        rows: np.ndarray,
        new: np.ndarray,
        place: np.ndarray,
        hashes: np.ndarray,
        ids: np.ndarray,
        sizes: np.ndarray,
    ) -> np.ndarray:
        """Hold new words.

        Parameters
        ----------
        rows : (words,) int64
            Rows of a text's words.
        new, place : (n,) integer
            Positions in `rows` of words that are not held yet, and for each its index in `hashes` and `sizes`.
        hashes, sizes : (new words,)
            Hashes, and numbers of ids.
        ids : (sum of sizes,)
            Ids of the new words behind each other.

        Returns
        -------
        (words,) int64
            `rows`, with the rows of the new words filled in. They are valid until `keep` is called again.
        """
        too_many = self._count + len(hashes) > self._room or self._used + len(ids) > MOST_IDS
        if too_many and self._count > 1:
            old = np.unique(rows[rows >= 0])
            self._forget_but(rows, old)
        first = self._count
        self._append(ids, sizes)
        if self._count <= self._room:
            self._insert(hashes, np.arange(first, self._count, dtype=np.int32))
        rows[new] = first + place
        return rows

    def _forget_but(self, rows: np.ndarray, old: np.ndarray) -> None:
        """Forget all words, but keep the ids of the present text's words, so that it can still be spelt.

        `rows` is changed in place to their new rows. `find` does not find these words any more.
        """
        sizes = self._sizes[old]
        ids = self._gather(old, sizes)
        self._forget()
        rows[rows >= 0] = 1 + np.searchsorted(old, rows[rows >= 0])
        self._append(ids, sizes)

    def _append(self, ids: np.ndarray, sizes: np.ndarray) -> None:
        ends = self._used + np.cumsum(sizes)
        self._ids = _grown(self._ids, self._used, ids)
        self._starts = _grown(self._starts, self._count, ends - sizes)
        self._sizes = _grown(self._sizes, self._count, sizes)
        self._used += len(ids)
        self._count += len(sizes)

    def _insert(self, hashes: np.ndarray, rows: np.ndarray) -> None:
        slots = (hashes >> self._shift).astype(np.int64)
        while len(slots):
            free = self._rows[slots] < 0
            _, first = np.unique(slots, return_index=True)  # of several words that want a place, one gets it
            gets = np.zeros(len(slots), dtype=bool)
            gets[first] = True
            gets &= free
            self._keys[slots[gets]] = hashes[gets]
            self._rows[slots[gets]] = rows[gets]
            slots, hashes, rows = (slots[~gets] + 1) & self._mask, hashes[~gets], rows[~gets]

    def _gather(self, rows: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """The ids of rows behind each other."""
        begins = np.cumsum(sizes) - sizes
        return self._ids[np.repeat(self._starts[rows] - begins, sizes) + np.arange(int(sizes.sum()))]

    def spell(self, rows: np.ndarray, ends_line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The ids of words, a line end after each last word of a line, and the number of ids of each line."""
        places = np.arange(len(rows)) + np.cumsum(ends_line) - ends_line
        whole = np.zeros(len(rows) + int(ends_line.sum()), dtype=np.int64)  # row 0: the line end
        whole[places] = rows
        sizes = self._sizes[whole]
        ends = np.cumsum(sizes)[places[ends_line] + 1]
        return self._gather(whole, sizes), np.diff(ends, prepend=0).astype(np.int32)


def _grown(array: np.ndarray, used: int, more: np.ndarray) -> np.ndarray:
    """`array` with `more` from place `used` on; it is doubled where it is too short."""
    needed = used + len(more)
    if needed > len(array):
        larger = np.empty(max(2 * len(array), needed), dtype=array.dtype)
        larger[:used] = array[:used]
        array = larger
    array[used:needed] = more
    return array
