"""Paragraphs to sentences, by the rules of Moses' sentence splitter and its lists of abbreviations."""

from __future__ import annotations

import re
from functools import cache

_END = re.compile(
    r"[.?!…]+[\"'’”»)\]]*\s+(?=[\"'‘“«(\[¿¡—–-]*\s?[^\W\d_a-zа-яёà-öø-ÿ]|[\"'‘“«(]?\d)"  # then a capital or a number
    r"|[。！？]+[”’」』）\"]*\s*"  # Chinese and Japanese ends of sentences need no space
)


@cache
def abbreviations(lang: str) -> tuple[frozenset[str], frozenset[str]]:
    """Moses' non-breaking prefixes: those before anything, and those before numbers only."""
    from sacremoses.corpus import NonbreakingPrefixes

    lists = NonbreakingPrefixes()
    if lang not in lists.available_langs.values():
        lang = "en"
    always: set[str] = set()
    numeric: set[str] = set()
    for entry in lists.words(lang):
        word, _, rest = entry.strip().partition(" ")
        (numeric if "#NUMERIC_ONLY#" in rest else always).add(word)
    return frozenset(always), frozenset(numeric)


def split_sentences(paragraph: str, lang: str) -> list[str]:
    """Cut a paragraph into sentences.

    Parameters
    ----------
    paragraph : str
        Text without line ends.
    lang : str
        Language, for its abbreviations (English ones where Moses has none).

    Returns
    -------
    list of str
        Sentences without surrounding space; joined, they hold the same characters, spaces apart.
    """
    sentences, start = [], 0
    for match in _END.finditer(paragraph):
        if _breaks(paragraph, start, match, lang):
            sentences.append(paragraph[start : match.end()].strip())
            start = match.end()
    sentences.append(paragraph[start:].strip())
    return [sentence for sentence in sentences if sentence]


def _breaks(text: str, start: int, match: re.Match[str], lang: str) -> bool:
    """Whether this is the end of a sentence and not of an abbreviation or an initial."""
    if not match.group().startswith(".") or match.group().startswith(".."):
        return True
    before = text[max(start, text.rfind(" ", start, match.start()) + 1) : match.start()].lstrip("\"'‘“«([")
    if (len(before) == 1 and before.isupper()) or ("." in before and len(before) < 5 and not before[-1].isdigit()):
        return False  # J. Smith; U.S. Army
    always, numeric = abbreviations(lang)
    following = text[match.end() : match.end() + 1]
    return before not in always and not (before in numeric and following.isdigit())
