"""From the downloads of `get_data.sh` to prepared text and dictionaries, as far as a condition needs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fairseq_xling.corpus.conditions import CONDITIONS
from fairseq_xling.corpus.lines import LineStep
from fairseq_xling.corpus.notes import check_casing, read_notes
from fairseq_xling.corpus.panlex import read_panlex
from fairseq_xling.corpus.progress import text_progress
from fairseq_xling.corpus.steps import count_sentences, prepare_text, sample
from fairseq_xling.corpus.wikipedia import extract
from fairseq_xling.corpus.words import tokenisation_of
from fairseq_xling.formats.dictionary import write_weighted
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.files import alone
from fairseq_xling.formats.text import find_text

HELD_OUT = 5000
"""Sentences of each of valid and test."""
PANLEX = {"en": "eng-000", "fr": "fra-000", "de": "deu-000", "ru": "rus-000", "zh": "cmn-000"}


def prepare_languages(
    raw: Path, folder: Path, languages: list[str], condition: str, casing: str | None, seed: int, workers: int
) -> None:
    """Make what is missing in `folder` for a condition; of several jobs that need the same, one makes it.

    Parameters
    ----------
    raw : Path
        Holds `wiki/<lang>wiki-*.xml*`, `cc100/<lang>.txt.xz`, `panlex/db.sqlite`.
    folder : Path
        Gets `text/wiki`, for wiki_cc `text/cc`, for extra_anchors `dictionaries/`; plain text of the dumps in `raw/`.
    languages : list of str
        Source and target.
    casing : str, optional
        Of the text; if None that of the text there is, else `cased`.

    Raises
    ------
    InputError
        A download is missing; its path is named. Text that is there already has another casing.
    """
    for lang in languages:
        prepare_wikipedia(raw, folder, lang, casing, seed, workers)
    needs = CONDITIONS[condition]
    if needs.other_domain:
        casing = casing or read_notes(folder / "text" / "wiki")["casing"]  # both texts go into one data-bin
        prepare_web(raw, folder, languages[1], casing, seed, workers)
    if needs.switch:
        prepare_dictionary(raw, folder, *languages)


def prepare_wikipedia(raw: Path, folder: Path, lang: str, casing: str | None, seed: int, workers: int) -> None:
    """`text/wiki/<lang>.*` out of the dump."""
    _prepare(folder / "text" / "wiki" / lang, casing, seed, workers, lambda: _extracted(raw, folder, lang, workers))


def _extracted(raw: Path, folder: Path, lang: str, workers: int) -> Path:
    """Plain text of the dump."""
    plain = folder / "raw" / "wiki" / f"{lang}.txt"
    if not plain.is_file():
        found = sorted((raw / "wiki").glob(f"{lang}wiki-*.xml*"))
        dumps = [path for path in found if path.suffix != ".part"]  # of get_data.sh: not whole yet
        if not dumps:
            raise InputError(f"no dump of the {lang} Wikipedia; run preprocess/get_data.sh", raw / "wiki")
        if len(dumps) > 1:
            names = ", ".join(path.name for path in dumps[:3])
            raise InputError(f"{len(dumps)} dumps of the {lang} Wikipedia ({names}): expected one, whole", raw / "wiki")
        with text_progress(f"extract {lang}", dumps[:1]) as bar:
            extract(dumps[0], plain, lang, workers, progress=bar.update)
    return plain


def prepare_web(raw: Path, folder: Path, lang: str, casing: str | None, seed: int, workers: int) -> None:
    """`text/cc/<lang>.*`: as many sentences of CC-100 as the Wikipedia of the language has."""
    _prepare(folder / "text" / "cc" / lang, casing, seed, workers, lambda: _sampled(raw, folder, lang, seed, workers))


def _sampled(raw: Path, folder: Path, lang: str, seed: int, workers: int) -> Path:
    """Plain text drawn from CC-100."""
    plain = folder / "raw" / "cc" / f"{lang}.txt"
    if not plain.is_file():
        source = raw / "cc100" / f"{lang}.txt.xz"
        if not source.is_file():
            raise InputError("no such file; run preprocess/get_data.sh", source)
        count = count_sentences(folder / "raw" / "wiki" / f"{lang}.txt")
        with text_progress(f"sample {lang}", [source]) as bar:
            sample(source, plain, LineStep(lang, split=True), count, seed, workers, bar.update)
    return plain


def _prepare(prefix: Path, casing: str | None, seed: int, workers: int, plain_text: Callable[[], Path]) -> None:
    """Make the text at `prefix` unless it is there, from the plain text whose path `plain_text` returns."""
    if not find_text(prefix, "train"):
        with alone(prefix):
            if not find_text(prefix, "train"):
                _draw(plain_text(), prefix, casing, seed, workers)
    check_casing(prefix.parent, casing or read_notes(prefix.parent)["casing"])  # another job may have made it


def _draw(plain: Path, prefix: Path, casing: str | None, seed: int, workers: int) -> None:
    lang = prefix.name
    step = LineStep(lang, tokenisation_of(lang), casing or read_notes(prefix.parent)["casing"])
    held_out = min(HELD_OUT, count_sentences(plain) // 20)
    with text_progress(f"tokenise {lang}", [plain]) as bar:
        prepare_text([plain], prefix, step, held_out, held_out, seed, workers, bar.update)


def prepare_dictionary(raw: Path, folder: Path, source: str, target: str) -> None:
    """`dictionaries/<source>-<target>.weighted.tsv` out of PanLex Lite."""
    path = folder / "dictionaries" / f"{source}-{target}.weighted.tsv"
    if path.is_file():
        return
    unknown = [lang for lang in (source, target) if lang not in PANLEX]
    if unknown:
        raise InputError(f"no PanLex variety known for {unknown[0]}; make the file with make_dictionary.py", path)
    write_weighted(path, read_panlex(raw / "panlex" / "db.sqlite", [PANLEX[source]], [PANLEX[target]]))
