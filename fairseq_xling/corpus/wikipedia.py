"""Articles out of a MediaWiki XML dump: one sentence a line, a blank line behind each document."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from fairseq_xling.corpus.process_pool import ordered_map
from fairseq_xling.corpus.sentences import split_sentences
from fairseq_xling.corpus.wikitext import MEDIA_NAMESPACES, paragraphs
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.files import atomic_write
from fairseq_xling.formats.text import read_stream

_PAGE = re.compile(rb"<page>.*?</page>", re.S)
_NAMESPACE = re.compile(r'<namespace key="(-2|6|14)"[^>]*>([^<]+)<')  # media, files, categories
_END = b"</page>"
_LONGEST_HEADER = 1 << 24
_options: tuple[str, frozenset[str], bool] = ("", frozenset(), False)


def extract(
    dump: Path,
    out: Path,
    lang: str,
    workers: int = 1,
    lists: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Counter[str]:
    """Write the text of all articles (namespace 0, no redirects) of a dump.

    Parameters
    ----------
    dump : Path
        `.xml`, plain or compressed.
    out : Path
        Text to write, atomically.
    lang : str
        Language, for the sentence splitter.
    workers : int
        Processes.
    lists : bool
        Keep list items.
    progress : callable, optional
        Called with the number of bytes of XML read since the last call.

    Returns
    -------
    Counter
        `pages`, `redirects`, `other` (other namespaces), `damaged`, `empty`, `documents`, `sentences`.

    Raises
    ------
    InputError
        Not a dump, or one that is cut short.
    """
    counts: Counter[str] = Counter()
    header: list[bytes] = []
    batches = _batches(dump, header, progress)
    first = next(batches, None)
    if first is None or not header:
        raise InputError("no <page> in it; expected a MediaWiki XML dump", dump)
    names = {name.lower() for _, name in _NAMESPACE.findall(header[0].decode("utf-8", "replace"))}

    def all_batches() -> Iterator[bytes]:
        yield first
        yield from batches

    options = (lang, MEDIA_NAMESPACES.union(names), lists)
    with atomic_write(out, "wb", sync=False) as handle:
        for text, found in ordered_map(_extract_batch, all_batches(), workers, _set_options, options):
            handle.write(text)
            counts.update(found)
    return counts


def _batches(dump: Path, header: list[bytes], progress: Callable[[int], object] | None) -> Iterator[bytes]:
    """Runs of whole pages; what stands before the first goes to `header`."""
    rest = b""
    for data in read_stream(dump):
        if progress:
            progress(len(data))
        rest += data
        if not header and (start := rest.find(b"<page>")) >= 0:
            header.append(rest[:start])
        elif not header and len(rest) > _LONGEST_HEADER:
            raise InputError("no <page> at its beginning; expected a MediaWiki XML dump", dump)
        if (cut := rest.rfind(_END) + len(_END)) >= len(_END):
            yield rest[:cut]
            rest = rest[cut:]
    if header and b"</mediawiki>" not in rest:
        raise InputError("the dump is cut short: </mediawiki> is missing at its end", dump)


def _set_options(lang: str, namespaces: frozenset[str], lists: bool) -> None:
    global _options
    _options = lang, namespaces, lists


def _extract_batch(batch: bytes) -> tuple[bytes, Counter[str]]:
    counts: Counter[str] = Counter()
    documents = []
    for page in _PAGE.findall(batch):
        counts["pages"] += 1
        sentences = _sentences_of(page, counts)
        if sentences:
            counts["documents"] += 1
            counts["sentences"] += len(sentences)
            documents.append("\n".join(sentences) + "\n\n")
    return "".join(documents).encode(), counts


def _sentences_of(page: bytes, counts: Counter[str]) -> list[str]:
    lang, namespaces, lists = _options
    try:
        tree = ElementTree.fromstring(page)
    except ElementTree.ParseError:
        counts["damaged"] += 1
        return []
    if tree.find("redirect") is not None:
        counts["redirects"] += 1
        return []
    if tree.findtext("ns", "0") != "0":
        counts["other"] += 1
        return []
    text = tree.findtext("revision/text") or ""
    found = [s for paragraph in paragraphs(text, namespaces, lists) for s in split_sentences(paragraph, lang)]
    if not found:
        counts["empty"] += 1
    return found
