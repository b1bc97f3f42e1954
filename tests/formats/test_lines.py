"""Numbered lines: byte order marks, line ends, compressed and broken files."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.lines import numbered_lines, text_output


def lines(tmp_path: Path, data: bytes, name: str = "file.txt") -> list[tuple[int, str]]:
    path = tmp_path / name
    path.write_bytes(data)
    return list(numbered_lines(path))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"a\nb\n", ["a", "b"]),
        (b"a\nb", ["a", "b"]),  # no end of the last line
        (b"a\r\n\r\nb\r\n", ["a", "", "b"]),  # CR LF
        ("\ufeffa\n\ufeffb\n".encode(), ["a", "\ufeffb"]),  # a mark is one at the beginning only
        ("a\u2028b\x0bc\x85d\n".encode(), ["a\u2028b\x0bc\x85d"]),  # only LF ends a line
    ],
)
def test_lines(tmp_path: Path, data: bytes, expected: list[str]) -> None:
    assert lines(tmp_path, data) == list(enumerate(expected, 1))
    assert lines(tmp_path, gzip.compress(data), "file.txt.gz") == list(enumerate(expected, 1))


@pytest.mark.parametrize(
    ("data", "line", "text"),
    [(b"a\nb\xff\n", 2, "UTF-8"), (b"a\n\nb\0c\n", 3, "NUL"), (b"a\xed\xa0\x80\n", 1, "UTF-8")],
)
def test_bad_bytes_name_the_line(tmp_path: Path, data: bytes, line: int, text: str) -> None:
    with pytest.raises(InputError, match=text) as caught:
        lines(tmp_path, data)
    assert caught.value.line == line


def test_truncated_gzip(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(b"%d\n" % number for number in range(10000)))
    with pytest.raises(InputError, match="cut short"):
        lines(tmp_path, whole[: len(whole) // 2], "file.gz")


def test_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(numbered_lines(tmp_path / "missing"))


@pytest.mark.parametrize("name", ["out.txt", "out.txt.gz"])
def test_output_is_whole_or_absent(tmp_path: Path, name: str) -> None:
    def write(text: str, fail: bool = False) -> None:
        with text_output(tmp_path / name) as out:
            out.write(text)
            if fail:
                raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        write("half", fail=True)
    assert list(tmp_path.iterdir()) == []
    write("ä\nb\n")
    first = (tmp_path / name).read_bytes()
    assert [line for _, line in numbered_lines(tmp_path / name)] == ["ä", "b"]
    with pytest.raises(RuntimeError):
        write("other", fail=True)
    write("ä\nb\n")
    assert (tmp_path / name).read_bytes() == first, "the same text gives the same bytes"


def test_a_carriage_return_within_a_line_is_a_space(tmp_path):
    (tmp_path / "x").write_bytes(b"a\rb\tc\r\nd\r\r\n")
    assert list(numbered_lines(tmp_path / "x")) == [(1, "a b\tc"), (2, "d")]
