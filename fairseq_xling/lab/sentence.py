"""A sentence of a language, with everything that the generator knows about it."""

from __future__ import annotations

from typing import NamedTuple


class Word(NamedTuple):
    """A syntactic word.

    Parameters
    ----------
    form, lemma, upos : str
        As in CoNLL-U.
    features : str
        Morphological features as in CoNLL-U, ``_`` where there are none.
    concept : int
        What it says, a number of the world's inventory.
    head : int
        Index of its head in the sentence, counted from 0; -1 for the root.
    role : str
        Its role towards the head, a key of `fairseq_xling.lab.meaning.UD_RELATION`.
    entity : str
        "PER", "LOC", "ORG" on every word of a name, else "".
    """

    form: str
    lemma: str
    upos: str
    features: str
    concept: int
    head: int
    role: str
    entity: str


class Sentence(NamedTuple):
    """Words in surface order; `contractions` are (first, last, form) of words written together."""

    words: list[Word]
    contractions: list[tuple[int, int, str]]

    def tokens(self) -> list[tuple[str, int]]:
        """What is written between spaces: form and index of the first syntactic word of each token."""
        merged = {first: (last, form) for first, last, form in self.contractions}
        tokens, index = [], 0
        while index < len(self.words):
            last, form = merged.get(index, (index, self.words[index].form))
            tokens.append((form, index))
            index = last + 1
        return tokens

    def text(self) -> str:
        """The running text, tokens separated by one space."""
        if not self.contractions:
            return " ".join([word.form for word in self.words])
        return " ".join(form for form, _ in self.tokens())

    def entities(self) -> list[tuple[int, int, str]]:
        """Spans (first token, last token, type) of names; two names may stand side by side."""
        spans: list[tuple[int, int, str]] = []
        last_name = -1
        for position, (_, index) in enumerate(self.tokens()):
            word = self.words[index]
            if not word.entity:
                continue
            name = word.head if word.role == "name_part" else index
            if name == last_name:
                spans[-1] = (spans[-1][0], position, word.entity)
            else:
                spans.append((position, position, word.entity))
            last_name = name
        return spans
