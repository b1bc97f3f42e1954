"""Paragraphs to sentences, by the rules of Moses' sentence splitter and its lists of abbreviations."""

from __future__ import annotations

import re
from functools import cache

from fairseq_xling.corpus.words import without_region

_STOP, _OPEN = r"[.?!…]+(?:[\"'’”)\]]|\s?»)*\s+", r"[\"'‘“«(\[¿¡—–-]*\s?"
_CHINESE = r"[。！？]+[”’」』）\"]*\s*"  # and Japanese: no space needed
_END = re.compile(rf"{_STOP}(?={_OPEN}[^\W_a-zа-яёà-öø-ÿ])|{_CHINESE}")  # then a capital, a digit, another script
_END_LOWER = re.compile(rf"{_STOP}(?={_OPEN}\w)|{_CHINESE}")


@cache
def abbreviations(lang: str) -> tuple[frozenset[str], frozenset[str]]:
    """Moses' non-breaking prefixes: those before anything, and those before numbers only."""
    from sacremoses.corpus import NonbreakingPrefixes

    lists = NonbreakingPrefixes()
    lang = without_region(lang)
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
    lower = paragraph.islower()  # lower-cased text: no capital to go by
    for match in (_END_LOWER if lower else _END).finditer(paragraph):
        if _breaks(paragraph, start, match, lang, lower):
            sentences.append(paragraph[start : match.end()].strip())
            start = match.end()
    sentences.append(paragraph[start:].strip())
    return [sentence for sentence in sentences if sentence]


def _breaks(text: str, start: int, match: re.Match[str], lang: str, lower: bool) -> bool:
    """Whether this is the end of a sentence and not of an abbreviation or an initial."""
    if not match.group().startswith(".") or match.group().startswith(".."):
        return True
    before = text[max(start, text.rfind(" ", start, match.start()) + 1) : match.start()].lstrip("\"'‘“«([")
    if len(before) == 1 and before.isalpha() and (lower or before.isupper()):
        return False  # J. Smith
    if "." in before and len(before) < 5 and not before[-1].isdigit():
        return False  # U.S. Army
    if lower:
        before = before.capitalize() if before.capitalize() in abbreviations(lang)[0] else before
    always, numeric = abbreviations(lang)
    following = text[match.end() : match.end() + 1]
    return before not in always and not (before in numeric and following.isdigit())
