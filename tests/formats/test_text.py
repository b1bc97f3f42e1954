"""Lines and blocks of plain and compressed text, and what is wrong with them."""

import bz2
import gzip
import lzma

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from fairseq_xling.formats import text as text_module
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.text import find_text, read_blocks, read_lines, text_size

COMPRESS = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}
CUT_SHORT = [".gz", ".bz2", ".xz", ".zst"]


@pytest.mark.parametrize("suffix", COMPRESS)
def test_lines_of_every_compression(tmp_path, suffix):
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(COMPRESS[suffix]("été\r\n\nзима\n没有换行".encode()))
    assert list(read_lines(path)) == ["été", "", "зима", "没有换行"]


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
def test_concatenated_streams_are_one_text(tmp_path, suffix):
    """As in Wikipedia's multistream dumps."""
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(COMPRESS[suffix](b"one\n") + COMPRESS[suffix](b"two\n"))
    assert list(read_lines(path)) == ["one", "two"]


@pytest.mark.parametrize("suffix", CUT_SHORT)
def test_compressed_data_cut_short(tmp_path, suffix):
    path = tmp_path / f"a.txt{suffix}"
    whole = COMPRESS[suffix]("".join(f"line {i * i}\n" for i in range(5000)).encode())
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(InputError, match="cut short") as error:
        list(read_lines(path))
    assert error.value.path == path
    assert error.value.line >= 1


@pytest.mark.parametrize("suffix", CUT_SHORT)
def test_not_compressed_at_all(tmp_path, suffix):
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(b"plain text under a wrong name\n" * 50)
    with pytest.raises(InputError, match="damaged"):
        list(read_lines(path))


def test_bytes_that_are_not_utf8_name_the_line(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"fine\nalso fine\n\xff\xfe\n")
    with pytest.raises(InputError, match="not UTF-8") as error:
        list(read_lines(path))
    assert error.value.line == 3


@given(data=st.binary(max_size=200), size=st.integers(1, 40))
def test_blocks_are_the_file_cut_at_line_ends(tmp_path_factory, data, size):
    path = tmp_path_factory.mktemp("blocks") / "a.txt"
    path.write_bytes(data)
    blocks = list(read_blocks(path, size))
    expected = data if not data or data.endswith(b"\n") else data + b"\n"
    assert b"".join(block for _, block in blocks) == expected
    line = 1
    for first, block in blocks:
        assert first == line
        assert block.endswith(b"\n")
        line += block.count(b"\n")


def test_a_line_without_end_is_refused_in_bounded_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(text_module, "LONGEST_LINE", 1 << 20)
    path = tmp_path / "a.txt"
    path.write_bytes(b"short\n" + b"x" * (3 << 20))
    with pytest.raises(InputError, match="line of more than") as error:
        list(read_blocks(path, 1 << 16))
    assert error.value.line == 2


def test_a_line_of_ten_megabytes_is_read(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"a\n" + b"x" * 10_000_000 + b"\nb\n")
    assert [len(line) for line in read_lines(path)] == [1, 10_000_000, 1]


def test_find_text_takes_any_compression(tmp_path):
    (tmp_path / "en.train.txt.xz").write_bytes(lzma.compress(b"a\n"))
    assert find_text(tmp_path / "en", "train") == tmp_path / "en.train.txt.xz"
    assert find_text(tmp_path / "en", "valid") is None


def test_text_size_of_compressed_text_is_about_right(tmp_path):
    data = "".join(f"{i} some words of text\n" for i in range(20_000)).encode()
    (tmp_path / "a.txt").write_bytes(data)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(data))
    assert text_size(tmp_path / "a.txt") == len(data)
    assert text_size(tmp_path / "a.txt.gz") == pytest.approx(len(data), rel=0.1)
