"""Running means of word types, in every layer, and the folder that they are kept in."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch

from fairseq_xling.evaluation.feature_files import map_array, memory_mapped
from fairseq_xling.evaluation.word_vectors import WordVectors
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.files import atomic_write
from fairseq_xling.formats.text import read_lines


class WordMeans:
    """Mean vectors of word types, updated batch by batch.

    Attributes
    ----------
    index : dict of str to int
        Row of each word type.
    counts : (rows,) int64
        Occurrences; the array may be longer than there are words.
    means : (rows, layers, dim) float32
        A row is touched only by its own word, so that adding a batch costs what the batch holds.
    """

    def __init__(self, index: dict[str, int], counts: np.ndarray, means: np.ndarray):
        self.index, self.counts, self.means = index, counts, means

    @classmethod
    def empty(cls, layers: int, dim: int) -> WordMeans:
        """No words yet."""
        return cls({}, np.zeros(1024, dtype=np.int64), np.zeros((1024, layers, dim), dtype=np.float32))

    def row(self, word: str, keep: Collection[str] | None = None) -> int:
        """The row of a word, made where it is missing; -1 for one that is not to be kept."""
        found = self.index.get(word)
        if found is not None:
            return found
        if keep is not None and word not in keep:
            return -1
        row = self.index[word] = len(self.index)
        if row == len(self.counts):  # grow by half: amortised cost, at most half of the memory in vain
            more = max(row // 2, 1)  # means that were read have as many rows as words, perhaps one
            self.counts = np.concatenate([self.counts, np.zeros(more, dtype=np.int64)])
            self.means = np.concatenate([self.means, np.zeros((more, *self.means.shape[1:]), dtype=np.float32)])
        return row

    def add(self, rows: np.ndarray, vectors: torch.Tensor) -> None:
        """Add occurrences.

        Parameters
        ----------
        rows : (n,) int64
            Row of each; negative ones are passed over.
        vectors : (layers, n, dim)
        """
        kept = np.flatnonzero(rows >= 0)
        if not len(kept):
            return
        if not self.means.flags.writeable:  # they were read: the file stays as it is
            self.means = np.array(self.means)
        types, inverse, counts = np.unique(rows[kept], return_inverse=True, return_counts=True)
        device = vectors.device
        sums = vectors.new_zeros(vectors.shape[0], len(types), vectors.shape[2])
        sums.index_add_(1, torch.from_numpy(inverse).to(device), vectors[:, torch.from_numpy(kept).to(device)])
        self.counts[types] += counts
        # mean += (sum - n mean) / N: exact enough in float32 for any number of occurrences
        difference = sums.transpose(0, 1).cpu().numpy() - counts[:, None, None].astype(np.float32) * self.means[types]
        self.means[types] += difference / self.counts[types][:, None, None].astype(np.float32)

    @property
    def layers(self) -> int:
        """Layers, L0 included."""
        return self.means.shape[1]

    def words(self, least: int = 1) -> list[str]:
        """Words seen `least` times or more, in the order in which they were first seen."""
        return [word for word, row in self.index.items() if self.counts[row] >= least]

    def layer(self, number: int, least: int = 1) -> WordVectors:
        """The vectors of one layer, of words seen `least` times or more."""
        words = self.words(least)
        return WordVectors(words, np.ascontiguousarray(self.means[[self.index[word] for word in words], number]))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``means.npy`` (words, layers, dim) and, last, ``words.tsv`` (word, occurrences)."""
        size = len(self.index)
        with memory_mapped(Path(folder) / "means.npy") as make:
            make(self.means[:size].shape)[:] = self.means[:size]
        with atomic_write(Path(folder) / "words.tsv") as out:
            out.writelines(f"{word}\t{self.counts[row]}\n" for word, row in self.index.items())

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> WordMeans:
        """Read what `save` wrote; the vectors stay on the disk until they are looked at.

        Raises
        ------
        InputError
            No such folder, or files that do not belong together.
        """
        path = Path(folder) / "words.tsv"
        if not path.is_file():
            raise InputError("no word means here; eval/extract.py --words makes them", path)
        index: dict[str, int] = {}
        counts: list[int] = []
        for number, line in enumerate(read_lines(path), 1):
            word, tab, count = line.rpartition("\t")
            if not tab or word in index or not (count.isascii() and count.isdigit()) or len(count) > 18:
                raise InputError(f"expected a new word, a tab and its occurrences, found {line[:60]!r}", path, number)
            index[word] = len(counts)
            counts.append(int(count))
        means = map_array(Path(folder) / "means.npy")
        if means.ndim != 3 or len(means) != len(counts):
            raise InputError(f"expected vectors of {len(counts):,} words, found an array of shape {means.shape}", path)
        return cls(index, np.array(counts, dtype=np.int64), means)
