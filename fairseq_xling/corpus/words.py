"""What is done to text before BPE: casing and word tokenisation, the same for training text and for evaluation."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Any

from fairseq_xling.corpus.moses import CachedMoses
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.manifest import CASINGS

TOKENISATIONS = ("none", "moses", "jieba")
_SPACES = re.compile(r"\s+")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u200b\u200e\u200f\u2060\ufeff]")


def clean(text: str) -> str:
    """Text without control characters and zero-width spaces (U+0008 and U+200B occur in XNLI), and stripped."""
    return _CONTROL.sub("", text).strip()


def change_case(text: str, casing: str) -> str:
    """Apply `cased` (nothing), `lower`, or `lower-no-accents` (as XLM's scripts do: NFD, combining marks dropped)."""
    if casing == "cased":
        return text
    text = text.lower()
    if casing == "lower":
        return text
    if casing != "lower-no-accents":
        raise InputError(f"casing is {casing!r}; expected one of {', '.join(CASINGS)}")
    decomposed = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", "".join(char for char in decomposed if unicodedata.category(char) != "Mn"))


def tokenisation_of(lang: str) -> str:
    """The usual tokenisation of a language: `jieba` for Chinese (of any region: `zh-tw`), else `moses`."""
    return "jieba" if without_region(lang) == "zh" else "moses"


def without_region(lang: str) -> str:
    """The language of a code with a region or script, by which tools know it: `pt` of `pt-br`, `zh` of `zh_Hans`."""
    return re.split("[-_]", lang, maxsplit=1)[0]


@cache
def tokeniser(kind: str, lang: str) -> Callable[[str], str]:
    """A function from a raw sentence to one with spaces between its words.

    Parameters
    ----------
    kind : {"none", "moses", "jieba"}
        `moses` is sacremoses without XML escapes, as XLM's `tokenizer.perl -no-escape`; `jieba` is jieba's
        default mode. `moses:en` has the rules of English, whatever the language is called.
    lang : str
        Language, for Moses' non-breaking prefixes.
    """
    if kind == "none":
        return lambda text: _SPACES.sub(" ", text).strip()
    name, _, rules = kind.partition(":")
    if name == "moses":
        return CachedMoses(without_region(rules or lang))  # sacremoses takes codes that it does not know for English
    if kind == "jieba":
        return lambda text: " ".join(" ".join(segment_chinese(text)).split())
    raise InputError(f"tokenisation is {kind!r}; expected one of {', '.join(TOKENISATIONS)}")


def segment_chinese(text: str) -> list[str]:
    """Words of Chinese text by jieba (its dictionary and, for unknown words, its HMM); they concatenate to `text`."""
    return list(_jieba().cut(text))


@cache
def _jieba() -> Any:
    import logging
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # jieba 0.42 uses the deprecated pkg_resources
        import jieba

    jieba.setLogLevel(logging.WARNING)
    jieba.initialize()
    return jieba
