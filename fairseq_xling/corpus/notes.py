"""`notes.json` beside running text: how it was cased and tokenised, so that the data-bin and evaluation know."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.files import alone, atomic_write

NAME = "notes.json"


def read_notes(folder: Path) -> dict[str, Any]:
    """`{"casing": ..., "tokenisation": {lang: ...}}`; text without notes is cased and not tokenised further."""
    path = folder / NAME
    if not path.is_file():
        return {"casing": "cased", "tokenisation": {}}
    try:
        notes = json.loads(path.read_text(encoding="utf-8"))
        kinds = {str(lang): str(kind) for lang, kind in dict(notes["tokenisation"]).items()}
        return {"casing": str(notes["casing"]), "tokenisation": kinds}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError("expected JSON with 'casing' and 'tokenisation'", path) from error


def check_casing(folder: Path, casing: str) -> dict[str, Any]:
    """The notes of a folder, if text of this casing can be there.

    Raises
    ------
    InputError
        The folder holds text of another casing.
    """
    held = read_notes(folder)
    if held["tokenisation"] and held["casing"] != casing:
        raise InputError(f"the text here is {held['casing']}, not {casing}; take another folder", folder / NAME)
    return held


def write_notes(folder: Path, casing: str, tokenisation: Mapping[str, str]) -> None:
    """Add languages to the notes of a folder.

    Raises
    ------
    InputError
        The folder holds text of another casing.
    """
    with alone(folder / NAME):  # jobs for other languages write here too
        held = check_casing(folder, casing)
        notes = {"casing": casing, "tokenisation": {**held["tokenisation"], **tokenisation}}
        with atomic_write(folder / NAME) as out:
            json.dump(notes, out, indent=1)
            out.write("\n")


def carry_notes(source: Path, out: Path) -> None:
    """Copy the notes beside `source` to the folder of `out`, a text file that was made from it.

    If the name of `out` begins with a language of these notes (`fr`, `fr.train.txt`), only that language's note is
    copied. With any other name all languages are copied, except those that the folder of `out` has notes of already:
    their text came from elsewhere and may be tokenised in another way.
    """
    notes, lang = read_notes(source.parent), out.name.partition(".")[0]
    kinds = notes["tokenisation"]
    if kinds and source.parent.resolve() != out.parent.resolve():
        held = read_notes(out.parent)["tokenisation"]
        own = {lang: kinds[lang]} if lang in kinds else {name: kinds[name] for name in kinds if name not in held}
        write_notes(out.parent, notes["casing"], own)


def note_second_code(folder: Path, lang: str, code: str) -> None:
    """Note that text of `lang` lies under the language code `code` as well, tokenised by the rules of `lang`."""
    notes = read_notes(folder)
    kind = notes["tokenisation"].get(lang)
    if kind is not None:
        write_notes(folder, notes["casing"], {code: f"{kind}:{lang}" if kind == "moses" else kind})


def notes_of(text: Mapping[str, str | os.PathLike[str]]) -> tuple[str, dict[str, str]]:
    """Casing, and tokenisation by language, of the texts with the given prefixes.

    Raises
    ------
    InputError
        The texts differ in casing.
    """
    casings: dict[str, str] = {}
    tokenisation: dict[str, str] = {}
    for lang, prefix in text.items():
        notes = read_notes(Path(prefix).parent)
        casings[lang] = notes["casing"]
        tokenisation[lang] = notes["tokenisation"].get(lang, "none")
    if len(set(casings.values())) > 1:
        found = ", ".join(f"{lang} {casing}" for lang, casing in casings.items())
        raise InputError(f"the texts differ in casing ({found}); prepare them in the same way")
    return next(iter(casings.values()), "cased"), tokenisation
