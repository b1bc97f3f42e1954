"""Wikitext to plain paragraphs: block markup is cut by a scanner, the rest is mwparserfromhell's.

mwparserfromhell alone takes most of its time on templates and tables that are thrown away, and on links
whose text is plain; so these go first, and only paragraphs that still hold markup reach the library.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import mwparserfromhell

_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.S)
_ELEMENT = re.compile(
    r"<(ref|gallery|math|chem|timeline|score|syntaxhighlight|source|pre|imagemap|table|hiero|templatedata|graph)\b"
    r"(?:[^<>]*/>|[^<>]*>.*?</\1\s*>)",
    re.S | re.I,
)
_BRACKET = re.compile(r"\{\{|\}\}|\{\||\|\}(?!\})|\[\[|\]\]")
_CLOSER = {"{{": "}}", "{|": "|}", "[[": "]]"}
_MEDIA = """
file image media category special fichier média catégorie datei bild kategorie
файл изображение медиа категория 文件 檔案 档案 图像 圖像 媒体 媒體 分类 分類
"""
MEDIA_NAMESPACES = frozenset(_MEDIA.split())
"""Namespaces (lower case) whose links are no text, for the languages of the study; a dump's header adds its own."""
_PLAIN_LINK = re.compile(r"\[\[(?:[^\[\]|{}<>\n]*\|)?([^\[\]|{}<>\n]*)\]\]")
_APOSTROPHE = re.compile(r"\{\{\s*['’](s?)\s*\}\}")  # French l{{'}}''Iliade'', English ''Titanic''{{'s}}
_HELD = "\uffff"
"""Stands for that apostrophe while quotes that mean italics are taken out; no character, and not allowed in XML."""
_QUOTES = re.compile(r"'{2,5}")
_MARKUP = re.compile(r"[\[\]{}<>&]|__[A-Z]|''|-\{|https?:")
_LEFT_OVER = re.compile(r"\{\{|\}\}|\{\||\|\}|\[\[|\]\]|</?[a-z]", re.I)
_SWITCH = re.compile(r"__[A-Z]+__")
_VARIANT = re.compile(r"-\{(?:[^{}|]*\|)?(?:[a-z-]+:)?([^{};]*)[^{}]*\}-")  # Chinese script variants: the first
_EMPTY_BRACKETS = re.compile(r"\(\s*[,;:]?\s*\)|（\s*[，；、]?\s*）")
_SPACES = re.compile(r"[ \t\u00a0]+")


def cut_blocks(text: str, namespaces: frozenset[str]) -> str:
    """Text without templates, tables, and links to files and categories, however nested; unclosed ones stay.

    Parameters
    ----------
    text : str
        Wikitext.
    namespaces : frozenset of str
        Lower-case names before the colon of links that are no text.
    """
    kept: list[str] = []
    stack: list[tuple[str, int, bool]] = []  # closer, where it began, whether it goes
    last, going = 0, 0
    for match in _BRACKET.finditer(text):
        token = match.group()
        if closer := _CLOSER.get(token):
            goes = token != "[[" or _target_namespace(text, match.end()) in namespaces
            stack.append((closer, match.start(), goes))
            going += goes
            continue
        while any(entry[0] == token for entry in stack):
            closer, start, goes = stack.pop()
            going -= goes
            if closer == token:
                if goes and not going:
                    kept.append(text[last:start])
                    last = match.end()
                break
    kept.append(text[last:])
    return "".join(kept)


def _target_namespace(text: str, start: int) -> str:
    colon = text.find(":", start, start + 40)
    return "" if colon < 0 else text[start:colon].strip(" :").lower()


def paragraphs(text: str, namespaces: frozenset[str] = MEDIA_NAMESPACES, lists: bool = False) -> Iterator[str]:
    """The running text of an article, paragraph by paragraph.

    Parameters
    ----------
    text : str
        Wikitext of a page.
    namespaces : frozenset of str
        Names, lower-case, of the namespaces of files and categories.
    lists : bool
        Keep list items, without their marks. Headings are always left out.
    """
    text = _APOSTROPHE.sub(rf"{_HELD}\1", _ELEMENT.sub("", _COMMENT.sub("", text)))
    text = cut_blocks(text, namespaces)
    text = _QUOTES.sub("", _PLAIN_LINK.sub(r"\1", text)).replace(_HELD, "'")
    for line in text.split("\n"):
        line = line.strip()
        if not line or line[0] in "=|!" or line.startswith("----"):
            continue
        if line[0] in "*#:;":
            if not lists:
                continue
            line = line.lstrip("*#:; ")
        if _MARKUP.search(line):
            line = _plain(line)
        line = _SPACES.sub(" ", _EMPTY_BRACKETS.sub("", line)).strip()
        if line:
            yield line


def _plain(line: str) -> str:
    """A paragraph that still holds markup, by the library; empty where markup is left that nothing understands."""
    line = _VARIANT.sub(r"\1", _SWITCH.sub("", line))
    line = mwparserfromhell.parse(line).strip_code(normalize=True, collapse=True)
    return "" if _LEFT_OVER.search(line) else line.replace("\n", " ")
