"""Damage to files, drawn from a seed: what crashes, editors, transfers and strangers do to them."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from random import Random

NUMBERS = (
    b"-1", b"0", b"1e999", b"nan", b"-inf", b"9" * 25, b"9" * 5000, b"0.5", b"1_000", b"+3", b"\xc2\xb2",
    b"\xd9\xa3", b"0x10", b"", b"18446744073709551616", b"2147483648",
)  # fmt: skip
"""In the place of a number; superscript two and the Arabic three count as digits for `str.isdigit`."""

TEXTS = (
    b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xed\xb3\xbf\xed\xa0\x80", b"\xc0\x80", b"\xff\xfe", b"\xf4\x90\x80\x80",
    "\u202eאבג\u202c".encode(), ("e" + "\u0301" * 3000).encode(), b"\0", b"\r", b"\r\n", b"\x85", "\u0085".encode(),
    "\u2028".encode(), "\ufeff".encode(), "\ufffd".encode(), "👩‍👩‍👧".encode(), "\u00a0".encode(), b"\t", b" ", b"|||",
    b"${oc.env:HOME}", b"{", b"[", b'"', b"<s>", b"</s>", b"<mask>", b"-", b"\x1b[2J", b"%s", b"../../x", "ﬁ".encode(),
)  # fmt: skip
"""Put in somewhere: marks, surrogates, forms that are not UTF-8, right-to-left text, signs with a meaning."""

INTEGERS = (0, 1, -1, 127, 255, 2**16 - 1, 2**31 - 1, -(2**31), 2**32 - 1, 2**62, 2**63 - 1, -(2**63))

LONG = 10 << 20
"""Bytes of a very long line."""


def _place(data: bytes, rng: Random) -> int:
    return rng.randint(0, len(data))


def _span(data: bytes, rng: Random) -> tuple[int, int]:
    start = _place(data, rng)
    return start, min(len(data), start + rng.choice((1, 2, 7, 64, 4096)))


def truncate(data: bytes, rng: Random) -> bytes:
    return data[: _place(data, rng)]


def lose_beginning(data: bytes, rng: Random) -> bytes:
    return data[_place(data, rng) :]


def flip(data: bytes, rng: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 4, 32)) if data else 0):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwrite(data: bytes, rng: Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + rng.randbytes(end - start) + data[end:]


def zero(data: bytes, rng: Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + bytes(end - start) + data[end:]


def delete(data: bytes, rng: Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[end:]


def duplicate(data: bytes, rng: Random) -> bytes:
    start, end = _span(data, rng)
    return data[:end] + data[start:end] * rng.choice((1, 2, 50)) + data[end:]


def insert_text(data: bytes, rng: Random) -> bytes:
    place = _place(data, rng)
    return data[:place] + rng.choice(TEXTS) + data[place:]


def mark_at_beginning(data: bytes, rng: Random) -> bytes:
    return rng.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\n", b"\0", b" ", b"\t")) + data


def overwrite_integer(data: bytes, rng: Random) -> bytes:
    """A number of 1, 2, 4 or 8 bytes: negative sizes and counts that overflow in an index or a header."""
    form = rng.choice("bhiq")
    width = struct.calcsize(form)
    number = rng.choice(INTEGERS) & ((1 << (8 * width)) - 1)
    place = rng.choice((rng.randint(0, 40), _place(data, rng)))
    return data[:place] + number.to_bytes(width, "little") + data[place + width :]


def replace_number(data: bytes, rng: Random) -> bytes:
    found = list(re.finditer(rb"-?\d+(?:\.\d+)?(?:e-?\d+)?", data[:200_000]))
    if not found:
        return insert_text(data, rng)
    match = rng.choice(found)
    return data[: match.start()] + rng.choice(NUMBERS) + data[match.end() :]


def replace_word(data: bytes, rng: Random) -> bytes:
    found = list(re.finditer(rb"[^\s\",:\[\]{}]+", data[:200_000]))
    if not found:
        return insert_text(data, rng)
    match = rng.choice(found)
    return data[: match.start()] + rng.choice((*TEXTS, *NUMBERS)) + data[match.end() :]


def replace_value(data: bytes, rng: Random) -> bytes:
    """A value of JSON or TOML by one of another type."""
    found = list(re.finditer(rb"(?<=[:=\[,])\s*(\"[^\"]*\"|-?[\d.]+|true|false|null|\[\]|\{\})", data[:200_000]))
    if not found:
        return replace_word(data, rng)
    match = rng.choice(found)
    values = (
        b"null", b"[]", b"{}", b'"x"', b"-1", b"1e400", b"true", b"[[[]]]", b"NaN", b"[null]", b'{"a": {}}', b'""',
        b"9" * 5000, b"9" * 30, b'"\\ud800"', b'"\\u0000"', b'["a", 1]', b"1.5",
    )  # fmt: skip
    return data[: match.start()] + b" " + rng.choice(values) + data[match.end() :]


def nest(data: bytes, rng: Random) -> bytes:
    """Deeper than a recursive reader can follow."""
    place = rng.choice((0, _place(data, rng)))
    return data[:place] + rng.choice((b"[", b'{"a":', b"(")) * 100_000 + data[place:]


def _lines(change: Callable[[list[bytes], Random], None]) -> Callable[[bytes, Random], bytes]:
    def mutation(data: bytes, rng: Random) -> bytes:
        lines = data.split(b"\n")
        change(lines, rng)
        return b"\n".join(lines)

    mutation.__name__ = change.__name__
    return mutation


@_lines
def swap_lines(lines: list[bytes], rng: Random) -> None:
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]


@_lines
def repeat_line(lines: list[bytes], rng: Random) -> None:
    row = rng.randrange(len(lines))
    lines[row:row] = [lines[row]] * rng.choice((1, 1, 200))


@_lines
def drop_line(lines: list[bytes], rng: Random) -> None:
    del lines[rng.randrange(len(lines))]


@_lines
def empty_line(lines: list[bytes], rng: Random) -> None:
    lines.insert(rng.randint(0, len(lines)), rng.choice((b"", b" ", b"\t", b"\r", b"#", b"# a = b")))


@_lines
def drop_column(lines: list[bytes], rng: Random) -> None:
    row = rng.randrange(len(lines))
    for sign in (b"\t", b" ", b","):
        if sign in lines[row]:
            columns = lines[row].split(sign)
            del columns[rng.randrange(len(columns))]
            lines[row] = sign.join(columns)
            return


@_lines
def empty_column(lines: list[bytes], rng: Random) -> None:
    row = rng.randrange(len(lines))
    sign = b"\t" if b"\t" in lines[row] else b" "
    columns = lines[row].split(sign)
    columns[rng.randrange(len(columns))] = rng.choice((b"", b" ", b"_"))
    lines[row] = sign.join(columns)


@_lines
def mix_separators(lines: list[bytes], rng: Random) -> None:
    row = rng.randrange(len(lines))
    lines[row] = lines[row].replace(b"\t", b" ", 1) if b"\t" in lines[row] else lines[row].replace(b" ", b"\t", 1)


@_lines
def windows_line_ends(lines: list[bytes], rng: Random) -> None:
    lines[:] = [line + b"\r" for line in lines]


def old_mac_line_ends(data: bytes, rng: Random) -> bytes:
    return data.replace(b"\n", b"\r")


def very_long_line(data: bytes, rng: Random) -> bytes:
    place = _place(data, rng)
    piece = rng.choice((b"a", b"a ", b"1\t", "\u0301".encode(), b"[", "字".encode()))
    return data[:place] + piece * (LONG // len(piece)) + data[place:]


def empty(data: bytes, rng: Random) -> bytes:
    return b""


def nonsense(data: bytes, rng: Random) -> bytes:
    return rng.randbytes(rng.choice((1, 16, 1000)))


COMMON = (
    truncate, lose_beginning, flip, overwrite, zero, delete, duplicate, insert_text, mark_at_beginning,
    overwrite_integer, replace_number, replace_word, replace_value, swap_lines, repeat_line, drop_line, empty_line,
    drop_column, empty_column, mix_separators,
)  # fmt: skip
RARE = (nest, windows_line_ends, old_mac_line_ends, very_long_line, empty, nonsense)
"""One in thirty of each six: they are slow, or soon say all that they can."""


def mutate(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Damaged bytes, and the names of what was done to them."""
    steps = rng.choice((1, 1, 1, 2, 3))
    names = []
    for _ in range(steps):
        step = rng.choice(RARE) if rng.random() < 1 / 30 else rng.choice(COMMON)
        data = step(data, rng)
        names.append(step.__name__)
    return data, "+".join(names)
