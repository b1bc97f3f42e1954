"""Moses tokenisation (sacremoses), word by word with a memory: the same result, several times faster.

Moses' rules look at a word, at whether it stands first or last, and, where it holds a full stop, at the first
character of the next word. So each different word in each such surrounding is tokenised only once, and most words need
only a few of the rules. Where two neighbours both hold an apostrophe, whose rules look at the characters on both
sides, the sentence goes to sacremoses.
"""

from __future__ import annotations

import re
from itertools import pairwise

_ROOM = 400_000
_ALL_RULES = re.compile(r"['`]|\.\.|MULTI")  # apostrophes, several dots, and sacremoses' own mark for such


class CachedMoses:
    """sacremoses' tokenizer of a language, without XML escapes.

    Parameters
    ----------
    lang : str
        Language, for apostrophes and non-breaking prefixes.
    """

    def __init__(self, lang: str):
        from sacremoses import MosesTokenizer

        self._moses = MosesTokenizer(lang=lang)
        self._lower = frozenset(self._moses.IsLower)
        letters = frozenset(self._moses.IsAlpha)
        # the same answers as sacremoses', which makes sets of all letters of Unicode at each question
        self._moses.islower = self._lower.issuperset
        self._moses.isanyalpha = lambda text: not letters.isdisjoint(text)
        moses = self._moses
        self._few_rules = [moses.ASCII_JUNK, moses.PAD_NOT_ISALNUM]
        self._few_rules += [moses.COMMA_SEPARATE_1, moses.COMMA_SEPARATE_2, moses.COMMA_SEPARATE_3]
        self._anywhere: dict[str, str | None] = {}  # None: depends on the surroundings
        self._placed: dict[tuple[str, bool, str], str] = {}

    def whole(self, text: str) -> str:
        """A sentence by sacremoses itself."""
        return str(self._moses.tokenize(text, return_str=True, escape=False))

    def __call__(self, text: str) -> str:
        """A sentence with spaces between its tokens."""
        words = text.split()
        found = [self._anywhere.get(word, "") for word in words]
        if "" not in found and None not in found:
            return " ".join(found)  # type: ignore[arg-type]
        apostrophes = ["'" in word for word in words]
        if any(a and b for a, b in pairwise(apostrophes)):
            return self.whole(text)
        last = len(words) - 1
        for number, tokens in enumerate(found):
            if not tokens:
                following = self._kind(words[number + 1]) if number < last else ""
                found[number] = self._look_up(words[number], number == 0, following)
        return " ".join(token for token in found if token)

    def _kind(self, word: str) -> str:
        """A stand-in for the next word, of which only the first character matters, and of that its kind."""
        first = word[0]
        return "a" if first in self._lower else "5" if "0" <= first <= "9" else "A"

    def _look_up(self, word: str, is_first: bool, following: str) -> str:
        needs_all = _ALL_RULES.search(word) is not None
        if not needs_all:
            is_first = is_first or word[0] != ","  # a comma is split from what stands before it
            following = following if word[-1] == "." else ""
            if word[0] != "," and word[-1] != ".":
                if len(self._anywhere) > _ROOM:
                    self._anywhere.clear()
                tokens = word if word.isascii() and word.isalnum() else self._by_few_rules(word)
                self._anywhere[word] = tokens
                return tokens
        self._anywhere[word] = None
        key = (word, is_first, following)
        found = self._placed.get(key)
        if found is None:
            if len(self._placed) > _ROOM:
                self._placed.clear()
            text = " ".join(part for part in ("" if is_first else "A", word, following) if part)
            parts = (self.whole(text) if needs_all else self._by_few_rules(text)).split(" ")
            found = self._placed[key] = " ".join(parts[not is_first : len(parts) - bool(following)])
        return found

    def _by_few_rules(self, text: str) -> str:
        """Tokens of a text without apostrophes and several dots in a row, which the other rules are for."""
        for rule, replacement in self._few_rules:
            text = rule.sub(replacement, text)
        return str(self._moses.handles_nonbreaking_prefixes(text))
