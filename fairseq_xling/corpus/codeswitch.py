"""Extra anchors: words of the training text replaced by their translations (section 3.2 of the paper)."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from fairseq_xling.corpus.process_pool import ordered_map
from fairseq_xling.corpus.words import change_case
from fairseq_xling.formats.files import atomic_write
from fairseq_xling.formats.text import read_blocks

WINDOW = 256
SHORTEST = 64
"""A block of 256 subwords is taken to hold at least so many words."""


@dataclass(frozen=True)
class Translations:
    """What a word may become: words, and the sums of their qualities up to each."""

    words: tuple[str, ...]
    sums: tuple[float, ...]


@dataclass(frozen=True)
class SwitchOptions:
    """Attributes: `rate`, probability for a dictionary word; `cap`, highest share of the words of a block; `seed`."""

    rate: float = 0.30
    cap: float = 0.15
    seed: int = 1


def translation_table(weights: Mapping[str, Mapping[str, float]], casing: str = "cased") -> dict[str, Translations]:
    """From word to translation to quality, the table to draw from, for text of a casing.

    Words and translations are cased as the text is: a translation spelt otherwise would be no anchor. Translations of
    several words are left out (they would shift the text's length), as are qualities that are not positive and
    translations identical to the word, which are anchors already. Words are lower-cased in any case.
    """
    merged: dict[str, Counter[str]] = {}
    for entry, translations in weights.items():
        word = change_case(entry, casing).lower()
        for translation, quality in ((change_case(other, casing), quality) for other, quality in translations.items()):
            one_word = " " not in translation and " " not in word
            if quality > 0 and translation and one_word and translation.lower() != word:
                merged.setdefault(word, Counter())[translation] += quality  # type: ignore[assignment]
    table = {}
    for word, found in merged.items():
        ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
        table[word] = Translations(tuple(t for t, _ in ranked), tuple(accumulate(q for _, q in ranked)))
    return table


class Switcher:
    """Replaces words of a running text, sentence after sentence.

    In any 64 to 256 consecutive words at most the share `cap` is replaced. The same then holds for any block of 256
    subwords that training cuts from the text in this order, if the block has at least 64 words.

    Parameters
    ----------
    table : mapping
        Lower-cased word to its translations.
    options : SwitchOptions
    stream : int
        Number of this part of the text; each has its own random numbers. All parts but the first leave their
        first 256 words as they are, so that the cap holds across the seams.
    """

    def __init__(self, table: Mapping[str, Translations], options: SwitchOptions, stream: int = 0):
        self._table, self._options = table, options
        self._random = random.Random(f"{options.seed}:{stream}")
        self._position = 0
        self._quiet_until = WINDOW if stream else 0
        self._recent: deque[int] = deque()  # positions of replaced words, newest first
        self.counts: Counter[str] = Counter()

    def sentence(self, words: list[str]) -> list[str]:
        """The words of a sentence, some replaced."""
        return [self._word(word) for word in words]

    def _word(self, word: str) -> str:
        position = self._position
        self._position += 1
        self.counts["words"] += 1
        entry = self._table.get(word) or self._table.get(word.lower())
        if entry is None:
            return word
        self.counts["in_dictionary"] += 1
        if self._random.random() >= self._options.rate:
            return word
        self.counts["drawn"] += 1
        if position < self._quiet_until or not self._fits(position):
            return word
        self.counts["replaced"] += 1
        self._recent.appendleft(position)
        translation = self._random.choices(entry.words, cum_weights=entry.sums)[0]
        return _with_case_of(word, translation)

    def _fits(self, position: int) -> bool:
        """Whether one more replaced word here keeps every stretch that ends here within the cap."""
        while self._recent and position - self._recent[-1] >= WINDOW:
            self._recent.pop()
        cap = self._options.cap
        if cap * SHORTEST < 1:
            return False
        return all(
            number <= cap * max(position - earlier + 1, SHORTEST) for number, earlier in enumerate(self._recent, 2)
        )


def _with_case_of(word: str, translation: str) -> str:
    if word[:1].isupper():
        return translation.upper() if len(word) > 1 and word.isupper() else translation[:1].upper() + translation[1:]
    return translation


_settings: tuple[Mapping[str, Translations], SwitchOptions] = ({}, SwitchOptions())


def switch_file(
    source: Path,
    out: Path,
    table: Mapping[str, Translations],
    options: SwitchOptions,
    workers: int = 1,
    progress: Callable[[int], object] | None = None,
) -> Counter[str]:
    """Code-switch tokenised text, one sentence a line; the result does not depend on the number of workers.

    Returns
    -------
    Counter
        `words`, `in_dictionary` (running words that have a translation), `drawn` (chosen at random), `replaced`
        (drawn, and within the cap).
    """
    counts: Counter[str] = Counter()

    def numbered() -> Iterator[tuple[int, bytes]]:
        yield from enumerate(block for _, block in read_blocks(source))

    with atomic_write(out, "wb") as handle:
        for text, found in ordered_map(_switch_block, numbered(), workers, _set_table, (table, options)):
            handle.write(text)
            counts.update(found)
            if progress:
                progress(len(text))
    return counts


def _set_table(table: Mapping[str, Translations], options: SwitchOptions) -> None:
    global _settings
    _settings = table, options


def _switch_block(numbered: tuple[int, bytes]) -> tuple[bytes, Counter[str]]:
    stream, block = numbered
    table, options = _settings
    switcher = Switcher(table, options, stream)
    lines = block.decode("utf-8", "replace").split("\n")
    text = "\n".join(" ".join(switcher.sentence(line.split(" "))) if line else "" for line in lines)
    return text.encode(), switcher.counts


def rates(counts: Mapping[str, int]) -> str:
    """The achieved rates in one line."""
    words, known = max(counts["words"], 1), max(counts["in_dictionary"], 1)
    return (
        f"{counts['words']:,} words, {counts['in_dictionary'] / words:.1%} of them in the dictionary; "
        f"of those {counts['drawn'] / known:.1%} drawn and {counts['replaced'] / known:.1%} replaced "
        f"({counts['drawn'] - counts['replaced']:,} kept back by the cap); "
        f"{counts['replaced'] / words:.1%} of all words replaced"
    )
