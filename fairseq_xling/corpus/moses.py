"""Moses tokenisation (sacremoses), word by word with a memory: the same result, several times faster.

Moses' rules look at a word, at whether it stands first or last, and, where it holds a full stop, at the first
character of the next word. So each different word in each such surrounding needs sacremoses only once. Where two
neighbours both hold an apostrophe, whose rules look at the characters on both sides, the sentence goes to sacremoses.
"""

from __future__ import annotations

from itertools import pairwise

_ROOM = 400_000
_CONTEXT = frozenset(".,'`")


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
        if _CONTEXT.isdisjoint(word):
            if len(self._anywhere) > _ROOM:
                self._anywhere.clear()
            self._anywhere[word] = alone = self._placed_word(word, True, "")
            return alone
        self._anywhere[word] = None
        key = (word, is_first, following)
        tokens = self._placed.get(key)
        if tokens is None:
            if len(self._placed) > _ROOM:
                self._placed.clear()
            tokens = self._placed[key] = self._placed_word(*key)
        return tokens

    def _placed_word(self, word: str, is_first: bool, following: str) -> str:
        """The tokens of a word between stand-ins for its neighbours."""
        tokens = self.whole(" ".join(part for part in ("" if is_first else "A", word, following) if part)).split(" ")
        return " ".join(tokens[not is_first : len(tokens) - bool(following)])
