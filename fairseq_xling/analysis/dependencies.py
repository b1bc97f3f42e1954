"""Attachment scores of dependency trees on gold words, as the CoNLL 2018 shared task computes them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Arc(Protocol):
    """What scoring reads of a word; any object with these attributes will do."""

    @property
    def head(self) -> int:
        """Number of the head word, from 1; 0 for the root word."""

    @property
    def deprel(self) -> str:
        """Relation to the head, such as ``nsubj:pass``."""

    @property
    def upos(self) -> str:
        """Universal part of speech; read in gold only."""


class Word(NamedTuple):
    """A syntactic word (a line with an integer id of a CoNLL-U file) as scoring sees it: the simplest `Arc`."""

    head: int
    deprel: str
    upos: str = "_"


@dataclass(frozen=True)
class AttachmentScore:
    """Attachment scores between 0 and 1 and the counts behind them.

    Attributes
    ----------
    words : int
        Words that count.
    correct_heads, correct_arcs : int
        Those with the right head, and with the right head and relation.
    rule : str
        What was scored, for a signature: ``all_words`` or ``no_PUNCT+SYM``, ``universal`` or ``full`` relations.
    """

    words: int
    correct_heads: int
    correct_arcs: int
    rule: str

    @property
    def uas(self) -> float:
        """Unlabelled attachment score: the share of words with the right head."""
        return self.correct_heads / self.words

    @property
    def las(self) -> float:
        """Labelled attachment score: the share of words with the right head and relation."""
        return self.correct_arcs / self.words


def attachment_scores(
    gold: Sequence[Sequence[Arc]],
    predicted: Sequence[Sequence[Arc]],
    ignore_upos: Collection[str] = (),
    strip_subtypes: bool = True,
) -> AttachmentScore:
    """UAS and LAS over all words of all sentences; the root word counts like any other (head 0, relation ``root``).

    The defaults are the rule of the CoNLL 2018 evaluation: every word counts, subtypes do not (``nsubj:pass`` equals
    ``nsubj``). Multi-word tokens (``3-4``) and empty nodes (``8.1``) have no arcs; their lines are not words.

    Parameters
    ----------
    gold, predicted : sequences of sentences, each a sequence of words
        The same words in both; see `Arc`.
    ignore_upos : collection of str
        Words with these gold parts of speech do not count, though other words may hang on them: ``{"PUNCT"}`` for
        scores without punctuation, ``{"PUNCT", "SYM"}`` as in the second author's code.
    strip_subtypes : bool
        Compare relations up to the colon only.

    Raises
    ------
    ValueError
        If numbers of sentences or words differ, a head is not in its sentence, or no word is left to score.
    """
    if isinstance(ignore_upos, str):
        raise ValueError(f"ignore_upos must be a collection such as {{'PUNCT'}}, not the string {ignore_upos!r}")
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} gold sentences but {len(predicted)} predicted ones")
    words = heads = arcs = 0
    for number, (gold_words, predicted_words) in enumerate(zip(gold, predicted, strict=True)):
        if len(gold_words) != len(predicted_words):
            raise ValueError(f"sentence {number}: {len(gold_words)} gold words but {len(predicted_words)} predicted")
        for position, (right, guess) in enumerate(zip(gold_words, predicted_words, strict=True), start=1):
            for word, kind in ((right, "gold"), (guess, "predicted")):
                if not 0 <= word.head <= len(gold_words) or word.head == position:
                    raise ValueError(f"sentence {number}, word {position}: no such {kind} head: {word.head}")
            if right.upos in ignore_upos:
                continue
            words += 1
            if right.head == guess.head:
                heads += 1
                arcs += _relation(right, strip_subtypes) == _relation(guess, strip_subtypes)
    if not words:
        raise ValueError("there is no word to score")
    return AttachmentScore(words, heads, arcs, _rule(ignore_upos, strip_subtypes))


def _relation(word: Arc, strip_subtypes: bool) -> str:
    return word.deprel.partition(":")[0] if strip_subtypes else word.deprel


def _rule(ignore_upos: Collection[str], strip_subtypes: bool) -> str:
    counted = "no_" + "+".join(sorted(ignore_upos)) if ignore_upos else "all_words"
    return f"{counted},{'universal' if strip_subtypes else 'full'}"
