"""The full task sets, as `get_data.sh` fetched them, in the folder layout of the lab."""

from __future__ import annotations

import errno
import gzip
import json
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from fairseq_xling.corpus.entities import realign
from fairseq_xling.corpus.words import segment_chinese
from fairseq_xling.formats.bio import TAG, write_bio
from fairseq_xling.formats.dictionary import read_pairs, write_pairs
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.files import atomic_write
from fairseq_xling.formats.nli import LABELS, Pair, read_nli, write_nli
from fairseq_xling.formats.parallel import TATOEBA_CODES, Parallel, read_aligned, read_table, tatoeba_paths, write_table
from fairseq_xling.formats.text import LONGEST_LINE

TREEBANKS = {
    "en": ("UD_English-EWT", "en_ewt"),
    "fr": ("UD_French-GSD", "fr_gsd"),
    "ru": ("UD_Russian-GSD", "ru_gsd"),
    "zh": ("UD_Chinese-GSD", "zh_gsd"),
    "de": ("UD_German-GSD", "de_gsd"),
}
SPLITS = ("train", "dev", "test")
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError, RuntimeError)
"""What `zipfile` and `tarfile` answer bad bytes with (RuntimeError: encrypted, or an unknown compression)."""


class TaskSets:
    """Lays out what is there; `absent` tells what is not.

    Parameters
    ----------
    raw, out : Path
        Folder of `get_data.sh`, and folder to write; files that are there are kept.
    languages : sequence of str
        Language codes; English is the source of training data.
    """

    def __init__(self, raw: Path, out: Path, languages: Sequence[str]):
        self.raw, self.out, self.languages = raw, out, list(languages)
        self.done: list[str] = []
        self.absent: list[str] = []

    def run(self) -> None:
        """Write everything."""
        for step in (self.entailment, self.parallel, self.entities, self.treebanks, self.dictionaries, self.tatoeba):
            step()

    def _archive(self, name: str) -> Path | None:
        path = self.raw / name
        if path.is_file():
            return path
        self.absent.append(f"{name}: not fetched")
        return None

    def _new(self, name: str) -> Path | None:
        """The path to write, or None if it is there already."""
        self.done.append(name)
        path = self.out / name
        return None if path.is_file() else path

    def entailment(self) -> None:
        """MultiNLI for training, XNLI's development and test sets."""
        if (archive := self._archive("nli/multinli_1.0.zip")) and (path := self._new("nli/en.train.tsv")):
            with _member(archive, "multinli_1.0_train.jsonl") as stream:
                write_nli(path, list(_multinli(stream, archive)))
        if archive := self._archive("nli/XNLI-1.0.zip"):
            for split in ("dev", "test"):
                with _scratch(archive, f"xnli.{split}.tsv", self.out) as table:
                    for lang in self.languages:
                        if path := self._new(f"nli/{lang}.{split}.tsv"):
                            write_nli(path, list(read_nli(table, lang)))

    def parallel(self) -> None:
        """XNLI's 10,000 sentences in fifteen languages; the first 1,000 to test on, the rest to fit alignments on."""
        if archive := self._archive("nli/XNLI-15way.zip"):
            with _scratch(archive, "xnli.15way.orig.tsv", self.out) as file:
                table = read_table(file)
            chosen = {lang: table.sentences[lang] for lang in self.languages if lang in table.sentences}
            for split, part in (("test", slice(0, 1000)), ("train", slice(1000, None))):
                if path := self._new(f"parallel/{split}.tsv"):
                    write_table(path, Parallel({lang: sentences[part] for lang, sentences in chosen.items()}))

    def entities(self) -> None:
        """WikiAnn: an archive for each language in one archive. Chinese characters become segmenter words."""
        if not (archive := self._archive("wikiann/panx_dataset.zip")):
            return
        for lang in self.languages:
            with _member(archive, f"{lang}.tar.gz") as stream, tarfile.open(fileobj=stream, mode="r:gz") as inner:
                for split in SPLITS:
                    if path := self._new(f"ner/{lang}.{split}.tsv"):
                        lines = inner.extractfile(split) if split in inner.getnames() else None
                        if lines is None:
                            raise InputError(f"no file {split!r} in {lang}.tar.gz", archive)
                        sentences = list(_wikiann(lines, archive))
                        if lang == "zh":
                            sentences = [realign(tokens, tags, segment_chinese) for tokens, tags in sentences]
                        write_bio(path, sentences)

    def treebanks(self) -> None:
        """EWT and the GSD treebanks, as the paper has them."""
        if not (archive := self._archive("ud/ud-treebanks-v2.3.tgz")):
            return
        wanted = {}
        for lang in self.languages:
            if lang not in TREEBANKS:
                self.absent.append(f"ud/{lang}: no treebank known for it; add it to TREEBANKS")
                continue
            folder, stem = TREEBANKS[lang]
            for split in SPLITS:
                if path := self._new(f"ud/{lang}-{split}.conllu"):
                    wanted[f"ud-treebanks-v2.3/{folder}/{stem}-ud-{split}.conllu"] = path
        if wanted:
            _extract(archive, wanted)

    def dictionaries(self) -> None:
        """MUSE's training and test splits."""
        for lang in self.languages:
            for pair in (f"en-{lang}", f"{lang}-en") if lang != "en" else ():
                for part, split in (("0-5000", "train"), ("5000-6500", "test")):
                    if (source := self._archive(f"muse/{pair}.{part}.txt")) and (
                        path := self._new(f"dictionaries/{pair}.{split}.txt")
                    ):
                        write_pairs(path, read_pairs(source))

    def tatoeba(self) -> None:
        """LASER's files under their own names; they must have the same number of lines."""
        for lang in self.languages:
            code = TATOEBA_CODES.get(lang, lang)
            names = (f"tatoeba.{code}-eng.{code}", f"tatoeba.{code}-eng.eng") if lang != "en" else ()
            if names and all(self._archive(f"tatoeba/{name}") for name in names):
                paths = tatoeba_paths(self.raw / "tatoeba", lang)
                read_aligned(paths)
                for source in paths.values():
                    if path := self._new(f"tatoeba/{source.name}"):
                        with open(source, "rb") as stream, atomic_write(path, "wb", sync=False) as out:
                            shutil.copyfileobj(stream, out)


@contextmanager
def _member(archive: Path, name: str) -> Iterator[IO[bytes]]:
    """A file of a zip archive, by the end of its path."""
    try:
        with zipfile.ZipFile(archive) as opened:
            found = [n for n in opened.namelist() if n.rsplit("/", 1)[-1] == name and "__MACOSX" not in n]
            if not found:
                raise InputError(f"no {name} in the archive", archive)
            with opened.open(found[0]) as stream:
                yield stream
    except _DAMAGED as error:
        raise InputError(f"not a zip archive, or one damaged or cut short: {error}", archive) from error
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # those are of damaged data: an offset before the beginning
            raise
        raise InputError(f"a damaged zip archive: {error}", archive) from error


@contextmanager
def _scratch(archive: Path, name: str, out: Path) -> Iterator[Path]:
    """A file of a zip archive, unpacked for this block only."""
    path = out / f".{name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _member(archive, name) as stream, open(path, "wb") as target:
            shutil.copyfileobj(stream, target)
        yield path
    finally:
        path.unlink(missing_ok=True)


def _multinli(stream: IO[bytes], archive: Path) -> Iterator[Pair]:
    """Pairs of MultiNLI's JSON lines; those without an agreed label (`-`) are left out."""
    for number, line in _limited(stream, archive):
        try:
            row: dict[str, Any] = json.loads(line)
            premise, hypothesis, label = (str(row[key]) for key in ("sentence1", "sentence2", "gold_label"))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(
                f"expected JSON with sentence1, sentence2, gold_label: {error}", archive, number
            ) from error
        texts = [" ".join(text.split()) for text in (premise, hypothesis)]
        if label != "-" and all(texts):
            if label not in LABELS or "\0" in premise + hypothesis:
                raise InputError(
                    f"expected text and the label {', '.join(LABELS)}, found {label[:20]!r}", archive, number
                )
            yield Pair(texts[0], texts[1], label)


def _limited(stream: IO[bytes], archive: Path) -> Iterator[tuple[int, bytes]]:
    """Lines of a member with their numbers; a few bytes of an archive can be a line without end."""
    for number, line in enumerate(iter(lambda: stream.readline(LONGEST_LINE + 1), b""), 1):
        if len(line) > LONGEST_LINE:
            raise InputError(f"a line of more than {LONGEST_LINE >> 20} MiB: expected text", archive, number)
        yield number, line


def _wikiann(lines: IO[bytes], archive: Path) -> Iterator[tuple[list[str], list[str]]]:
    """Sentences of `lang:token<TAB>tag` lines."""
    tokens: list[str] = []
    tags: list[str] = []
    for number, raw in _limited(lines, archive):
        try:
            line = raw.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise InputError(f"not UTF-8: {error.reason}", archive, number) from error
        if line:
            token, _, tag = line.rpartition("\t")
            token = token.partition(":")[2]
            if not token.strip() or not TAG.fullmatch(tag) or any(sign in token for sign in "\t\r\0"):
                raise InputError(f"expected LANGUAGE:TOKEN, a tab and a tag, found {line[:60]!r}", archive, number)
            tokens.append(token)
            tags.append(tag)
        elif tokens:
            yield tokens, tags
            tokens, tags = [], []
    if tokens:
        yield tokens, tags


def _stream_of_members(archive: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(archive, "r|gz")
    except TypeError as error:  # tarfile's answer to a gzip header that is cut short
        raise tarfile.ReadError(f"no gzip header: {error}") from error


def _extract(archive: Path, wanted: dict[str, Path]) -> None:
    """Write members of a tar archive in one pass."""
    missing = dict(wanted)
    try:
        with _stream_of_members(archive) as opened:
            for member in opened:
                if (path := missing.pop(member.name, None)) and (stream := opened.extractfile(member)):
                    with atomic_write(path, "wb", sync=False) as out:
                        shutil.copyfileobj(stream, out)
                if not missing:
                    return
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"not a tar archive, or one cut short: {error}", archive) from error
    raise InputError(f"no {next(iter(missing))} in the archive", archive)
