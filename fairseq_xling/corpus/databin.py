"""From text files to a data-bin: BPE, dictionary, binarisation, manifest, in one of the four vocabulary modes."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import sentencepiece
from tqdm import tqdm

import fairseq_xling
from fairseq_xling.corpus.anchors import anchor_report
from fairseq_xling.corpus.binarise import binarise
from fairseq_xling.corpus.subwords import dictionaries, train_models, usage_of
from fairseq_xling.formats.dict_txt import SPECIAL, vocabulary_hash, write_dict
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.files import atomic_write, sha256_of_file
from fairseq_xling.formats.manifest import CASINGS, MODES, NAME, read_manifest, write_manifest
from fairseq_xling.formats.text import find_text

SPLITS = ("train", "valid", "test")
MOST_UNKNOWN = 0.01


@dataclass(frozen=True)
class DatabinOptions:
    """How a data-bin is made; all of it is in the manifest.

    Attributes
    ----------
    mode : {"joint", "union", "prefixed", "separate"}
        Vocabulary mode.
    bpe_size : int
        Subwords of each SentencePiece model (joint: of the one model), its three control symbols included.
    coverage : float
        Share of running characters that the BPE must know.
    shrink : bool
        Where the text gives fewer subwords than `bpe_size`, take what there is.
    allow_unknown : bool
        Accept more than 1 % of unknown tokens.
    casing : {"cased", "lower", "lower-no-accents"}
        What was done to the text, so that evaluation does the same.
    tokenisation : mapping
        Language to `none`, `moses` or `jieba`: likewise.
    """

    mode: str = "joint"
    bpe_size: int = 80_000
    coverage: float = 0.9999
    shrink: bool = False
    allow_unknown: bool = False
    casing: str = "cased"
    tokenisation: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value, known in (("mode", self.mode, MODES), ("casing", self.casing, CASINGS)):
            if value not in known:
                raise InputError(f"{name} is {value!r}; expected one of {', '.join(known)}")


def build_databin(
    out: str | os.PathLike[str],
    text: Mapping[str, str | os.PathLike[str]],
    options: DatabinOptions,
    workers: int = 1,
    history: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Build the data-bin `out`; what is done already is kept, and an interrupted build goes on.

    Parameters
    ----------
    out : path-like
        Folder; it appears when it is whole. Until then the work lies in `OUT.partial`.
    text : mapping
        Language to the prefix of its files `PREFIX.{train,valid,test}.txt`, plain or compressed; test may be missing.
    options : DatabinOptions
        Vocabulary and thresholds.
    workers : int
        Processes; the result does not depend on their number, and nothing is drawn at random.
    history : mapping, optional
        How the text came about (experiment, code-switching rates ...), for the manifest.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    InputError
        Missing or bad text, an impossible BPE size, too many unknown tokens, an `out` that holds something else.
    """
    target = Path(out)
    files = {lang: _find_splits(prefix, lang) for lang, prefix in text.items()}
    settings = {
        "languages": list(text),  # in this order they come into the dictionary
        "options": {**asdict(options), "tokenisation": dict(options.tokenisation)},
        "inputs": _describe(files),
        "history": dict(history or {}),
    }
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        return _already_there(target, settings)
    partial = target.with_name(target.name + ".partial")
    _open_partial(partial, settings)
    train = {lang: splits["train"] for lang, splits in files.items()}
    models = train_models(partial, train, options.mode, options.bpe_size, options.coverage, options.shrink, workers)
    symbols = dictionaries(models, options.mode)
    counts, usage = _binarise_all(partial, files, models, symbols, options, workers)
    manifest = _finish(partial, settings, symbols, counts, usage, options)
    if target.exists():
        target.rmdir()
    os.replace(partial, target)
    return manifest


def _find_splits(prefix: str | os.PathLike[str], lang: str) -> dict[str, Path]:
    found = {split: path for split in SPLITS if (path := find_text(prefix, split))}
    for split in ("train", "valid"):
        if split not in found:
            raise InputError(
                f"no {split} text for {lang}; expected this file, plain or .gz, .bz2, .xz, .zst",
                f"{os.fspath(prefix)}.{split}.txt",
            )
    return found


def _describe(files: Mapping[str, Mapping[str, Path]]) -> dict[str, Any]:
    return {
        lang: {s: {"file": path.name, "sha256": sha256_of_file(path)} for s, path in splits.items()}
        for lang, splits in files.items()
    }


def _already_there(target: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    if not (target / NAME).is_file():
        raise InputError("the output is there already and is not a data-bin; give another name or remove it", target)
    manifest = read_manifest(target)
    for key in ("options", "inputs", "history"):
        if manifest.get(key) != settings[key]:
            raise InputError(f"a data-bin with other {key} is there already; give another name or remove it", target)
    print(f"{target}: done already, with the same text and options", file=sys.stderr)
    return manifest


def _open_partial(partial: Path, settings: Mapping[str, Any]) -> None:
    """Go on with an interrupted build of the same settings; begin anew where they differ."""
    note = partial / "settings.json"
    settings = _shaping(settings)
    if partial.exists() and (not note.is_file() or json.loads(note.read_text(encoding="utf-8")) != settings):
        shutil.rmtree(partial)
    for half in partial.rglob(".*.tmp"):
        half.unlink()
    if not partial.exists():
        with atomic_write(note, sync=False) as out:
            json.dump(settings, out)


def _shaping(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the files depend on: a build refused for its unknown tokens may go on when they are allowed."""
    options = {name: value for name, value in settings["options"].items() if name != "allow_unknown"}
    return {**settings, "options": options}


def _binarise_all(
    partial: Path,
    files: Mapping[str, Mapping[str, Path]],
    models: Mapping[str, bytes],
    symbols: Mapping[str, list[str]],
    options: DatabinOptions,
    workers: int,
) -> tuple[dict[str, dict[str, Any]], dict[str, list[int]]]:
    """Binarise what is not done yet; counts by language and split, and use of each symbol in training."""
    counts: dict[str, dict[str, Any]] = {lang: {} for lang in files}
    usage: dict[str, list[int]] = {}
    size = sum(path.stat().st_size for splits in files.values() for path in splits.values())
    with tqdm(total=size, desc="binarise", unit="B", unit_scale=True, disable=None, leave=False) as bar:
        for lang, splits in files.items():
            index = {symbol: number for number, symbol in enumerate(symbols[lang], len(SPECIAL))}
            for split, path in splits.items():
                note = partial / lang / f".{split}.json"
                if not note.is_file():
                    target = partial / lang / split
                    found, used = binarise(path, target, models[lang], index, lang, options.mode, workers, bar.update)
                    with atomic_write(note, sync=False) as out:
                        json.dump([found.as_dict(), used[len(SPECIAL) : len(SPECIAL) + len(index)].tolist()], out)
                counts[lang][split], used_here = json.loads(note.read_text())
                # here, as an attempt that allowed unknown tokens may have left the note
                _check(counts[lang][split]["sentences"], counts[lang][split]["unknown_rate"], path, options)
                if split == "train":
                    usage[lang] = used_here
    return counts, usage


def _check(sentences: int, unknown_rate: float, path: Path, options: DatabinOptions) -> None:
    if not sentences:
        raise InputError("no sentences; expected text, one sentence a line", path)
    if unknown_rate > MOST_UNKNOWN and not options.allow_unknown:
        raise InputError(
            f"{unknown_rate:.2%} of the tokens are unknown, more than {MOST_UNKNOWN:.0%}: the BPE does not fit "
            "this text; raise --character-coverage or --bpe-size, or accept it with --allow-unknown",
            path,
        )


def _finish(
    partial: Path,
    settings: Mapping[str, Any],
    symbols: Mapping[str, list[str]],
    counts: Mapping[str, Any],
    usage: Mapping[str, list[int]],
    options: DatabinOptions,
) -> dict[str, Any]:
    """Dictionaries and manifest; then the notes of the build go."""
    for lang, used in usage.items():
        write_dict(partial / lang / "dict.txt", symbols[lang], used)
    if options.mode != "separate":
        totals = [sum(column) for column in zip(*usage.values())]
        write_dict(partial / "dict.txt", next(iter(symbols.values())), totals)
    by_kind = {lang: usage_of(symbols[lang], used, lang, options.mode) for lang, used in usage.items()}
    manifest = {
        "languages": list(symbols),
        "mode": options.mode,
        "casing": options.casing,
        "tokenisation": {lang: options.tokenisation.get(lang, "none") for lang in symbols},
        "vocabulary": {lang: {"symbols": len(s), "hash": vocabulary_hash(s)} for lang, s in symbols.items()},
        "counts": counts,
        "anchors": {
            f"{a}-{b}": {
                "shared": anchor_report(by_kind[a][0], by_kind[b][0]),
                "strings": anchor_report(by_kind[a][1], by_kind[b][1]),
            }
            for a, b in combinations(symbols, 2)
        },
        **settings,
        "versions": {"sentencepiece": sentencepiece.__version__, "fairseq_xling": fairseq_xling.__version__},
    }
    for note in (partial / "settings.json", *partial.glob("*/.*.json")):
        note.unlink()
    write_manifest(partial, manifest)
    return manifest


def describe(manifest: Mapping[str, Any]) -> str:
    """The manifest's counts as a few lines for people."""
    lines = []
    for lang, splits in manifest["counts"].items():
        for split, found in splits.items():
            skipped = "".join(
                f", {n:,} {reason} (first: line {found['first_skipped'][reason]})"
                for reason, n in found["skipped"].items()
            )
            lines.append(
                f"{lang} {split}: {found['sentences']:,} sentences, {found['tokens']:,} tokens, "
                f"{found['unknown_rate']:.4%} unknown" + (f"; left out{skipped[1:]}" if skipped else "")
            )
        vocabulary = manifest["vocabulary"][lang]
        lines.append(f"{lang} vocabulary: {vocabulary['symbols']:,} symbols, hash {vocabulary['hash'][:12]}")
    for pair, kinds in manifest["anchors"].items():
        lines += [
            f"{pair} {what}: {r['subwords']:,} subwords, {r['share']:.1%} of the running tokens "
            f"({r['share_first']:.1%} and {r['share_second']:.1%})"
            for what, r in (("anchors", kinds["shared"]), ("identical strings", kinds["strings"]))
        ]
    return "\n".join(lines)
