"""Which file of a folder holds a language's training, development or test set, by the names the field uses."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.text import SUFFIXES

SPLITS: Mapping[str, tuple[str, ...]] = {
    "train": ("train",),
    "valid": ("dev", "valid"),
    "dev": ("dev", "valid"),
    "test": ("test",),
}
"""Names of files that a split may have; fairseq's ``valid`` is everybody else's ``dev``."""


def find_split(
    folder: str | os.PathLike[str],
    language: str,
    split: str,
    extensions: Sequence[str],
    given: Mapping[str, str] | None = None,
) -> Path:
    """The file of one split.

    Parameters
    ----------
    folder : path-like
        Looked through itself and one level below. Known forms, here for English training data in ``tsv``:
        ``en.train.tsv``, ``en-train.tsv`` (WikiAnn, the lab), ``train-en.tsv``, ``mnli_train15k-en.tsv`` (XNLI),
        ``en_ewt-ud-train.conllu`` (Universal Dependencies); plain or compressed.
    language : str
    split : {"train", "valid", "dev", "test"}
        Other names are taken as they are.
    extensions : sequence of str
        Without the dot.
    given : mapping, optional
        ``<language>.<split>`` to a path that is taken instead.

    Raises
    ------
    InputError
        None, or more than one; the error says which names were looked for, or found.
    """
    names = SPLITS.get(split, (split,))
    for name in names:
        path = (given or {}).get(f"{language}.{name}")
        if path is not None:
            if not Path(path).is_file():
                raise InputError(f"no such file, given for {language}.{name}", path)
            return Path(path)
    root = Path(folder)
    if not root.is_dir():
        raise InputError("no such folder; expected the task's labelled data", root)
    forms = _forms(language, names, extensions)
    found = _files_like(root, forms)
    if len(found) == 1:
        return found.pop()
    if not found:
        raise InputError(f"no {split} data of language '{language}'; expected a file like {', '.join(forms[:4])}", root)
    listed = ", ".join(sorted(os.fspath(path.relative_to(root)) for path in found))
    raise InputError(
        f"several files could be the {split} data of language '{language}': {listed}; "
        f"choose with --files {language}.{names[0]}=PATH",
        root,
    )


def _forms(language: str, names: Sequence[str], extensions: Sequence[str]) -> list[str]:
    """Patterns of file names that the field uses for a split with these names."""
    return [
        f"{stem}.{extension}"
        for name in names
        for extension in extensions
        for stem in (f"{language}.{name}", f"{language}-{name}", f"{language}_*-{name}", f"*{name}*-{language}")
    ]


def _files_like(root: Path, forms: Sequence[str]) -> set[Path]:
    """Files of these forms in a folder and one level below, plain or compressed."""
    patterns = [f"{level}{form}{suffix}" for level in ("", "*/") for form in forms for suffix in SUFFIXES]
    return {path for pattern in patterns for path in root.glob(pattern) if path.is_file()}


def parse_given(text: str) -> dict[str, str]:
    """``en.train=PATH,fr.test=PATH`` as a mapping; InputError where a part has another form."""
    given = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        key, equals, path = part.partition("=")
        language, dot, split = key.rpartition(".")
        if not (equals and path and dot and language and split):
            raise InputError(f"--files {part}: expected LANGUAGE.SPLIT=PATH, such as en.train=mnli.tsv")
        given[f"{language}.{'dev' if split == 'valid' else split}"] = path
    return given
