"""The progress bar of the commands that read text."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fairseq_xling.formats.text import text_size


def text_progress(what: str, paths: Iterable[Path]) -> tqdm[Any]:
    """A bar over the bytes of text in files (of compressed ones estimated), with the remaining time."""
    total = sum(text_size(path) for path in paths if path.is_file())
    return tqdm(total=total, desc=what, unit="B", unit_scale=True, disable=None, leave=False)
