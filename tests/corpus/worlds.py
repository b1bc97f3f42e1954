"""Small texts for tests: words of two languages with a few strings in common."""

from __future__ import annotations

import random
from pathlib import Path

ODD = [
    "naïve",
    "e\u0301tude",  # decomposed accent
    "ﬁn",  # ligature, NFKC makes two letters of it
    "½",
    "Ａ１",  # full width
    "a\u00a0b",  # no-break space inside a word: SentencePiece splits there
    "\u3000",  # ideographic space only
    "x\u200by",
    "\ufeff",
    "\u0008",
    "\x0b",
    "a\tb",
    "\u2028",
    "\u0085",
    "▁",
    "a▁b",
    "<s>",
    "</s>",
    "<unk>",
    "<mask>",
    "👩‍👩‍👧",
    "𝔘𝔫𝔦",
    "\u0300",  # combining mark alone
    "กำ",
    "각",
    "中国",
    "\ufffd",
    "¨",  # NFKC: space and combining mark
    "…",
    "\r",
]


def sentences(seed: int, count: int, alphabet: str, common: tuple[str, ...] = (), odd: float = 0.0) -> list[str]:
    """Zipf-distributed words over an alphabet; `common` words take a fifth of the places, odd Unicode its share."""
    rng = random.Random(seed)
    words = ["".join(rng.choices(alphabet, k=rng.randint(1, 7))) for _ in range(300)]
    weights = [1 / (rank + 2) for rank in range(len(words))]
    result = []
    for _ in range(count):
        line = rng.choices(words, weights, k=rng.randint(1, 14))
        line = [rng.choice(common) if common and rng.random() < 0.2 else word for word in line]
        line = [rng.choice(ODD) if rng.random() < odd else word for word in line]
        result.append(" ".join(line))
    return result


def write_lines(path: Path, lines: list[str]) -> Path:
    """One sentence a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
    return path


def write_splits(folder: Path, lang: str, alphabet: str, seed: int = 1, count: int = 400) -> Path:
    """`FOLDER/LANG.{train,valid,test}.txt`; the prefix."""
    for number, (split, size) in enumerate((("train", count), ("valid", 40), ("test", 30))):
        lines = sentences(seed * 10 + number, size, alphabet, ("2024", "ok", "."))
        write_lines(folder / f"{lang}.{split}.txt", lines)
    return folder / lang
