"""The library of the narrow layer's C functions: compiled once, kept, and done without where that is impossible."""

import os
import shutil
import stat

import pytest
import torch

from fairseq_xling.models import c_library, small_layer

from .test_small_layer import make

pytestmark = pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler")


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """An empty cache of libraries, and none loaded."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    small_layer.library.cache_clear()
    yield tmp_path / "fairseq_xling"
    small_layer.library.cache_clear()


def test_the_library_is_compiled_once(fresh, monkeypatch):
    assert small_layer.library() is not None
    (made,) = fresh.iterdir()  # nothing else is left behind
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o700
    before = made.stat()
    small_layer.library.cache_clear()
    monkeypatch.setattr(c_library, "_compile", None)
    assert small_layer.library() is not None
    assert made.stat().st_mtime_ns == before.st_mtime_ns


def test_another_processor_has_its_own(fresh, monkeypatch):
    assert small_layer.library() is not None
    small_layer.library.cache_clear()
    monkeypatch.setattr(c_library, "_processor", lambda: b"another")
    assert small_layer.library() is not None
    assert len(list(fresh.iterdir())) == 2


def no_compiler(monkeypatch, fresh):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(fresh))


def failing_compiler(monkeypatch, fresh):
    fresh.parent.mkdir(exist_ok=True)
    script = fresh.parent / "cc"
    script.write_text('#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "no such option" >&2\nexit 1\n')
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))


def half_a_quotation(monkeypatch, fresh):
    monkeypatch.setenv("CC", 'gcc "')


def open_cache(monkeypatch, fresh):
    fresh.mkdir()
    fresh.chmod(0o777)


def cache_is_a_file(monkeypatch, fresh):
    fresh.write_text("")


@pytest.mark.parametrize(
    ("obstacle", "reason"),
    [
        (no_compiler, "no C compiler"),
        (failing_compiler, "no such option"),
        (half_a_quotation, "No closing quotation"),
        (open_cache, "others may write"),
        (cache_is_a_file, "exists"),
    ],
)
def test_without_it_torch_computes_and_the_log_says_so(obstacle, reason, fresh, monkeypatch, caplog):
    x = torch.randn(2, 5, 64)
    expected = make()(x)
    small_layer.library.cache_clear()
    shutil.rmtree(fresh)
    obstacle(monkeypatch, fresh)
    with caplog.at_level("INFO"):
        layer = make()
        found = [layer(x) for _ in range(2)]
    assert torch.allclose(found[0], expected, atol=1e-5)
    assert len(caplog.records) == 1
    assert reason in caplog.text


def test_the_switch(fresh, monkeypatch, caplog):
    monkeypatch.setenv("XLING_NO_KERNEL", "1")
    with caplog.at_level("INFO"):
        make()(torch.randn(2, 5, 64))
    assert not caplog.records
    assert not os.path.exists(fresh)
