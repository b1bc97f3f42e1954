"""`manifest.json`: what a data-bin was made from, and how; written last, so that its presence means done."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.files import atomic_write

NAME = "manifest.json"
MODES = ("joint", "union", "prefixed", "separate")
CASINGS = ("cased", "lower", "lower-no-accents")
_REQUIRED = ("languages", "mode", "casing")


def read_manifest(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The manifest of a data-bin folder.

    Raises
    ------
    InputError
        It is missing (the folder is not a data-bin, or unfinished), is not JSON or lacks an entry.
    """
    path = Path(folder) / NAME
    if not path.is_file():
        raise InputError("no manifest: not a data-bin of preprocess/, or one that was not finished", path)
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}", path, getattr(error, "lineno", None)) from error
    missing = [key for key in _REQUIRED if not isinstance(manifest, dict) or key not in manifest]
    if missing:
        raise InputError(f"entry {missing[0]!r} is missing", path)
    languages, tokenisation = manifest["languages"], manifest.get("tokenisation", {})
    if not isinstance(languages, list) or not all(_is_language(name) for name in languages):
        raise InputError(f"languages: expected a list of language codes, found {str(languages)[:60]}", path)
    if not isinstance(tokenisation, dict):
        raise InputError(f"tokenisation: expected a kind for each language, found {str(tokenisation)[:60]}", path)
    for key, known in (("mode", MODES), ("casing", CASINGS)):
        if manifest[key] not in known:
            raise InputError(f"{key} is {manifest[key]!r}; expected one of {', '.join(known)}", path)
    return manifest


_LONGEST_NAME = 200
"""Bytes; file systems take 255."""


def _is_language(name: Any) -> bool:
    """Whether it can be the name of a language's folder, and of that alone."""
    if not isinstance(name, str) or not name.isprintable() or len(name.encode()) > _LONGEST_NAME:
        return False
    return name not in ("", ".", "..") and not set("/\\") & set(name)


def write_manifest(folder: str | os.PathLike[str], manifest: dict[str, Any]) -> None:
    """Write `manifest.json` atomically into `folder`."""
    with atomic_write(Path(folder) / NAME) as out:
        json.dump(manifest, out, ensure_ascii=False, indent=1)
        out.write("\n")
