"""Words with one vector each: from a model's embeddings, from a fastText file; the form in which words are compared."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from fairseq_xling.corpus.words import change_case
from fairseq_xling.evaluation.pretrained import Pretrained
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.lines import numbered_lines

WORD_START = "▁"
"""SentencePiece's mark of a subword that begins a word."""


def word_form(word: str, casing: str) -> str:
    """The form in which words are compared: lower-cased, and without accents where a model's text has none."""
    return change_case(word, "lower" if casing == "cased" else casing)


@dataclass(frozen=True)
class WordVectors:
    """Different words, in the form of `word_form`, and their vectors.

    Attributes
    ----------
    words : list of str
    vectors : (words, dim) float32
    """

    words: list[str]
    vectors: np.ndarray
    index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.words) != len(self.vectors):
            raise ValueError(f"{len(self.words)} words but {len(self.vectors)} vectors")
        object.__setattr__(self, "index", {word: row for row, word in enumerate(self.words)})

    def restricted(self, words: Collection[str]) -> WordVectors:
        """Only those of `words` that are here, in the order they have here."""
        wanted = set(words)
        rows = [row for row, word in enumerate(self.words) if word in wanted]
        return WordVectors([self.words[row] for row in rows], self.vectors[rows])


def one_subword_words(pretrained: Pretrained, language: str) -> dict[str, int]:
    """Words that are one subword of a language's vocabulary, most frequent first, with their ids.

    These are the symbols that begin a word and occur in the language's training text (so that a vocabulary shared with
    another language gives no foreign words). Case is ignored, as in the MUSE dictionaries: of symbols that differ in
    case only, the most frequent stands for all.
    """
    segmenter = pretrained.segmenter(language)
    dictionary = segmenter.vocabularies.dictionary(language)
    own = sorted(segmenter.vocabularies.own_tokens(language).tolist(), key=lambda token: -dictionary.count[token])
    words: dict[str, int] = {}
    for token in own:
        subword = dictionary[token].removeprefix(f"{language}:")  # in vocabularies of mode prefixed
        if subword.startswith(WORD_START) and len(subword) > 1:
            words.setdefault(subword[1:].lower(), token)
    if not words:
        raise InputError(f"the vocabulary of {language} has no subword that begins a word", pretrained.data)
    return words


def embedding_words(pretrained: Pretrained, language: str) -> WordVectors:
    """A model's input embeddings of words that are one subword (paper, Figure 4a); see `one_subword_words`."""
    words = one_subword_words(pretrained, language)
    weight = pretrained.model.encoder.embeddings(language).tokens.weight.detach()
    return WordVectors(list(words), weight[list(words.values())].float().cpu().numpy())


def read_vectors(path: str | os.PathLike[str], first: int = 200_000, casing: str = "cased") -> WordVectors:
    """The first vectors of a fastText ``.vec`` file, plain or compressed; of words that differ in case, the first.

    Words get the form in which they are compared with those of a model whose text has this `casing`: see `word_form`.

    Raises
    ------
    InputError
        No header ``count dimension``, a line of another length, something that is not a number, no vector.
    """
    lines = numbered_lines(path)
    _, header = next(lines, (1, ""))
    fields = header.split()
    if len(fields) != 2 or not all(re.fullmatch("[0-9]{1,18}", field) for field in fields) or int(fields[1]) < 1:
        raise InputError(f"expected a header 'count dimension', found {header[:40]!r}", path, 1)
    dim = int(fields[1])
    words: dict[str, int] = {}
    rows: list[np.ndarray] = []
    for number, line in islice(lines, first):
        if not line:
            continue
        parts = line.rstrip(" ").split(" ")
        if len(parts) != dim + 1:
            raise InputError(f"expected a word and {dim} numbers, found {len(parts)} fields", path, number)
        word = word_form(parts[0], casing)
        if word in words:
            continue
        try:
            vector = np.array(parts[-dim:], dtype=np.float32)
        except ValueError:
            vector = np.full(1, np.nan, dtype=np.float32)
        if not np.isfinite(vector).all():
            raise InputError(f"expected {dim} finite numbers after the word {parts[0][:40]!r}", path, number)
        words[word] = len(rows)
        rows.append(vector)
    if not rows:
        raise InputError("expected a word and its vector a line, found none", path)
    return WordVectors(list(words), np.stack(rows))
