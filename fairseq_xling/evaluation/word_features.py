"""Vectors of words in context: every occurrence, or the running mean of each word type, in every layer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from tqdm import tqdm

from fairseq_xling.evaluation.features import hidden_states
from fairseq_xling.evaluation.pretrained import Pretrained
from fairseq_xling.evaluation.word_means import WordMeans
from fairseq_xling.evaluation.word_vectors import word_form

POOLINGS = ("mean", "first")
"""A word's vector in a sentence: the mean of its subwords, or its first subword."""

SENTENCES_AT_A_TIME = 8192
"""Bucketed by length together; bounds the memory of a pass over any amount of text."""


class WindowedWords:
    """Sentences of words, cut between words into pieces that the model can take.

    Parameters
    ----------
    pretrained : Pretrained
    sentences : sequence of sequences of str
        Tokenised as the training text was.
    language : str

    Attributes
    ----------
    pieces : list of (length,) int64
        Input of the encoder.
    lengths : list of list of int
        Subwords of each word of a piece.
    first_word : list of int
        Number of a piece's first word, counted over all sentences.
    words : int
        Words of all sentences.

    Raises
    ------
    ValueError
        A sentence that is a string: its characters would count as words.

    Notes
    -----
    A word of more subwords than the rows of training is cut.
    """

    def __init__(self, pretrained: Pretrained, sentences: Sequence[Sequence[str]], language: str):
        if strings := [sentence for sentence in sentences if isinstance(sentence, str)]:
            raise ValueError(f"expected lists of words, such as text.split(), not a string: {strings[0][:40]!r}")
        longest = pretrained.longest_row - 2
        segmenter = pretrained.segmenter(language)
        cache: dict[str, list[int]] = {}
        self.pieces: list[np.ndarray] = []
        self.lengths: list[list[int]] = []
        self.first_word: list[int] = []
        self.words = 0
        for sentence in sentences:
            ids: list[int] = []
            lengths: list[int] = []
            first = self.words
            for word in sentence:
                found = cache.get(word)
                if found is None:
                    found = cache[word] = segmenter.encode_words([word])[0][:longest]
                if len(ids) + len(found) > longest:
                    self._add(pretrained.sentence_ids(ids, language), lengths, first)
                    first += len(lengths)
                    ids, lengths = [], []
                ids += found
                lengths.append(len(found))
            if lengths:
                self._add(pretrained.sentence_ids(ids, language), lengths, first)
            self.words += len(sentence)

    def _add(self, piece: np.ndarray, lengths: list[int], first: int) -> None:
        self.pieces.append(piece)
        self.lengths.append(lengths)
        self.first_word.append(first)


def pooled_words(
    pretrained: Pretrained,
    sentences: Sequence[Sequence[str]],
    language: str,
    pooling: str = "mean",
    bf16: bool = False,
    progress: str | None = None,
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Vectors of all words, batch by batch.

    Parameters
    ----------
    pretrained : Pretrained
    sentences : sequence of sequences of str
        Words of each sentence, tokenised as the training text was.
    language : str
    pooling : {"mean", "first"}
        Mean of a word's subwords, or the first.
    bf16 : bool
    progress : str, optional
        Label of a progress bar.

    Yields
    ------
    numbers : (words,) int64
        Which words these are, counted over all sentences.
    vectors : (layers + 1, words, dim) float32
        On the model's device.
    """
    windows = WindowedWords(pretrained, sentences, language)
    for indices, states, mask in hidden_states(pretrained, windows.pieces, language, bf16, progress=progress):
        lengths = np.concatenate([windows.lengths[i] for i in indices])
        numbers = np.concatenate([windows.first_word[i] + np.arange(len(windows.lengths[i])) for i in indices])
        # row by row, the subwords that the mask leaves are those of the words in turn
        places = mask.reshape(-1).nonzero().squeeze(1)
        stacked = torch.stack([state.reshape(-1, state.shape[-1]) for state in states])
        if pooling == "first":
            starts = torch.from_numpy(np.cumsum(lengths) - lengths).to(places.device)
            yield numbers, stacked[:, places[starts]]
            continue
        counts = torch.from_numpy(lengths).to(places.device)
        owner = torch.repeat_interleave(torch.arange(len(lengths), device=places.device), counts)
        sums = stacked.new_zeros(len(states), len(lengths), stacked.shape[-1])
        sums.index_add_(1, owner, stacked[:, places])
        yield numbers, sums / counts[None, :, None]


def word_features(
    pretrained: Pretrained,
    sentences: Sequence[Sequence[str]],
    language: str,
    pooling: str = "mean",
    bf16: bool = False,
    out: Callable[[tuple[int, ...]], np.ndarray] | None = None,
    progress: str | None = None,
) -> np.ndarray:
    """The vector of every word of every sentence.

    Parameters
    ----------
    pretrained : Pretrained
    sentences : sequence of sequences of str
        Words of each sentence, tokenised as the training text was.
    language : str
    pooling : {"mean", "first"}
        Mean of a word's subwords, or the first.
    bf16 : bool
    out : callable, optional
        Makes the array for a shape, for instance memory-mapped; in memory by default.
    progress : str, optional

    Returns
    -------
    (layers + 1, words, dim) float32
        Words of all sentences in order.
    """
    shape = (pretrained.num_layers + 1, sum(map(len, sentences)), pretrained.model.encoder.shape.dim)
    features = np.zeros(shape, dtype=np.float32) if out is None else out(shape)
    for numbers, vectors in pooled_words(pretrained, sentences, language, pooling, bf16, progress):
        features[:, numbers] = vectors.cpu().numpy()
    return features


def word_means(
    pretrained: Pretrained,
    lines: Iterable[str],
    language: str,
    pooling: str = "mean",
    keep: Collection[str] | None = None,
    bf16: bool = False,
    total: int | None = None,
    progress: str | None = None,
) -> WordMeans:
    """Each word type's mean over its occurrences, case ignored (paper, Figure 4b); memory grows with types only.

    Parameters
    ----------
    pretrained : Pretrained
    lines : iterable of str
        Sentences, tokenised as the training text was.
    language : str
    pooling : {"mean", "first"}
    keep : collection of str, optional
        Words to keep (in the form of `word_form`); by default all.
    bf16 : bool
    total : int, optional
        Sentences, for the progress bar.
    progress : str, optional
        Label of a progress bar.
    """
    casing = pretrained.segmenter(language).casing
    means = WordMeans.empty(pretrained.num_layers + 1, pretrained.model.encoder.shape.dim)
    rest = iter(lines)
    with tqdm(total=total, desc=progress, unit=" sentences", disable=progress is None, leave=False) as bar:
        while chunk := [line.split() for line in islice(rest, SENTENCES_AT_A_TIME)]:
            forms = [word_form(word, casing) for words in chunk for word in words]
            rows = np.array([means.row(form, keep) for form in forms], dtype=np.int64)
            for numbers, vectors in pooled_words(pretrained, chunk, language, pooling, bf16):
                means.add(rows[numbers], vectors)
            bar.update(len(chunk))
    return means
