"""What a setting of a grid was made from: hashes of files and the command, as noted, and whether they still hold."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from fairseq_xling.formats.files import sha256_of_file


@cache
def _hash(path: Path, changed: int) -> str:
    return sha256_of_file(path)


def hashes_of(files: Sequence[Path]) -> dict[str, str | None]:
    """SHA-256 by path; None for a file that is not there."""
    return {str(path): _hash(path, path.stat().st_mtime_ns) if path.is_file() else None for path in files}


def agrees(noted: Mapping[str, Any], inputs: Mapping[str, Any]) -> bool:
    """Whether `noted` has the same value as `inputs` for every key of `inputs`.

    It may hold more keys and more files. In commands the value of ``--user-dir``, where this code lies, may differ.
    """
    for key, value in json.loads(json.dumps(inputs)).items():
        other = noted.get(key)
        if key == "command" and other is not None:
            other, value = _without_user_dir(other), _without_user_dir(value)
        if key == "files" and other is not None:
            other = {path: other.get(path) for path in value}
        if other != value:
            return False
    return True


def _without_user_dir(command: str) -> list[str]:
    words = shlex.split(command)
    place = words.index("--user-dir")
    return words[:place] + words[place + 2 :]
