"""What a stage depends on: its command, as far as it changes the result, and the content of its inputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.files import sha256_of_file

TRAIN = "fairseq-train"

HOW = {
    "--log-format": 1,
    "--log-interval": 1,
    "--log-file": 1,
    "--no-progress-bar": 0,
    "--tensorboard-logdir": 1,
    "--num-workers": 1,
    "--data-buffer-size": 1,
    "--workers": 1,
    "--jobs": 1,
    "--scores": 0,
    "--keep-last-epochs": 1,
    "--keep-interval-updates": 1,
    "--load-checkpoint-on-all-dp-ranks": 0,
    "--ddp-backend": 1,
    "--cpu": 0,
    "--torch-compile": 0,
    "--cuda-graph": 0,
}
"""Options that say how something is computed or shown, not what, with the number of their values."""

HASHED = 64 << 20
"""Files up to this size (bytes) are known by their content, larger ones by size and time."""


@dataclass(frozen=True)
class Identity:
    """Attributes: `command`: the arguments that count; `inputs`: for each file what it is known by."""

    command: tuple[str, ...]
    inputs: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"command": list(self.command), "inputs": self.inputs}

    def difference(self, other: dict[str, Any]) -> str | None:
        """What differs from an earlier one, in one line; None where nothing does."""
        parts = _words_that_differ(other.get("command", []), self.command)
        before = other.get("inputs", {})
        parts += [path for path in self.inputs if self.inputs[path] != before.get(path)]
        parts += [f"{path} (no longer an input)" for path in before if path not in self.inputs]
        return ", ".join(parts) or None


def identity(command: Sequence[str], inputs: Iterable[Path]) -> Identity:
    """The identity of a stage.

    Raises
    ------
    InputError
        An input is missing.
    """
    return Identity(tuple(significant(command)), {str(path): known_by(path) for path in inputs})


def significant(command: Sequence[str]) -> list[str]:
    """The arguments of a command that change its result: without launcher, interpreter and the options in `HOW`."""
    names = [Path(word).name for word in command]
    start = names.index(TRAIN) if TRAIN in names else int(names[0].startswith("python"))
    words = [names[start], *command[start + 1 :]]
    kept, skip = [], 0
    for word in words:
        if skip:
            skip -= 1
        elif word in HOW:
            skip = HOW[word]
        elif word.partition("=")[0] not in HOW:
            kept.append(word)
    return kept


def known_by(path: Path) -> str:
    """A file's hash, or size and time where it is large; of a folder that of the files directly in it."""
    if path.is_dir():
        return " ".join(f"{each.name}:{known_by(each)}" for each in sorted(path.iterdir()) if each.is_file())
    if not path.is_file():
        raise InputError("is missing", path)
    facts = path.stat()
    return sha256_of_file(path) if facts.st_size <= HASHED else f"{facts.st_size} bytes of {facts.st_mtime_ns}"


def _words_that_differ(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """Options with another value, those that are new, and those that are gone."""
    old, new = _options(before), _options(now)
    parts = [
        f"{name} {value} (was {old[name]})" if name in old else f"{name} {value} (new)"
        for name, value in new.items()
        if old.get(name) != value
    ]
    return [part.replace("  ", " ") for part in parts] + [f"no {name}" for name in old if name not in new]


def _options(command: Sequence[str]) -> dict[str, str]:
    """Each option and its values; of one that is given twice the last, which is what counts."""
    options: dict[str, str] = {}
    name = "command"
    for word in command:
        if word.startswith("--"):
            name = word
            options[name] = ""
        else:
            options[name] = f"{options.get(name, '')} {word}".strip()
    return options
