"""The `pocket` scale: small public sets, fetched by hand, in the folder layout of the lab."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairseq_xling.corpus.entities import realign
from fairseq_xling.corpus.lines import LineStep
from fairseq_xling.corpus.notes import check_casing, write_notes
from fairseq_xling.corpus.steps import join_splits, prepare_text
from fairseq_xling.corpus.words import segment_chinese, tokenisation_of
from fairseq_xling.formats.bio import read_bio, write_bio
from fairseq_xling.formats.dictionary import (
    Weights,
    add_weights,
    inverted,
    read_pairs,
    write_pairs,
    write_weighted,
)
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.files import atomic_write, sha256_of_file
from fairseq_xling.formats.nli import read_nli, write_nli
from fairseq_xling.formats.parallel import TATOEBA_CODES, Parallel, read_aligned, read_table, tatoeba_paths, write_table
from fairseq_xling.formats.text import open_bytes, read_lines

LANGUAGES = ("en", "fr", "ru", "zh")
TREEBANKS = {"en": "en_ewt", "fr": "fr_gsd", "ru": "ru_gsd", "zh": "zh_gsdsimp"}
HELD_OUT = 20
"""For so many lines (verses, paragraphs) a sentence is held out, at most 1,000, for each of valid and test."""
_REFERENCE = re.compile(r"\[\d+\](?::\d+)?")
_ENDS_SENTENCE = re.compile(r"[.!?…。！？:：;；»”\"')）]\s*$")
_STRESS = "\u0301"  # on Russian vowels in Wiktionary


@dataclass
class Pocket:
    """Lays out one file after the other and remembers what was done.

    Attributes
    ----------
    source, out : Path
        Folder of the sets, and folder to write.
    casing : str
        Of the running text.
    seed, workers : int
    done, absent : list of str
        Lines for people: what was written, and what is missing and why.
    """

    source: Path
    out: Path
    casing: str = "lower"
    seed: int = 1
    workers: int = 1
    done: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Write everything; files that are there are kept.

        Raises
        ------
        InputError
            A set that was changed, or text there already of another casing.
        """
        for folder in (self.out / "text").glob("*"):
            check_casing(folder, self.casing)
        self._check_hashes()
        steps = (
            self.texts,
            self.dictionaries,
            self.treebanks,
            self.entities,
            self.entailment,
            self.parallel,
            self.tatoeba,
        )
        for step in steps:
            step()
        with atomic_write(self.out / "CONTENTS.txt") as out:
            out.write("\n".join([*self.done, "", "Absent:", *self.absent]) + "\n")

    def _check_hashes(self) -> None:
        listing = self.source / "manifest.tsv"
        if not listing.is_file():
            raise InputError("expected a folder of the pocket sets, with a manifest.tsv that lists them", listing)
        header, *rows = [line.split("\t") for line in read_lines(listing)]
        if "path" not in header or "sha256" not in header:
            raise InputError("expected columns path and sha256 in the header", listing, 1)
        path_column, hash_column = header.index("path"), header.index("sha256")
        for number, row in enumerate(rows, 2):
            path = self.source / row[path_column]
            if path.is_file() and sha256_of_file(path) != row[hash_column]:
                raise InputError(f"SHA-256 differs from {listing.name}, line {number}: fetch it again", path)

    def _need(self, *paths: Path) -> bool:
        """Whether all inputs are there; else notes the first missing one."""
        for path in paths:
            if not path.is_file():
                self.absent.append(f"{path.relative_to(self.source)}: not in the folder")
                return False
        return True

    def _write(self, name: str, write: Callable[..., object], *content: Any) -> None:
        """Write a file by ``write(path, *content)``, unless it is there."""
        path = self.out / name
        if not path.is_file():
            write(path, *content)
        self.done.append(name)

    # Running text

    def texts(self) -> None:
        """Domains `bible`, `wiki` and `news`, and `all` with the three together."""
        for lang in LANGUAGES:
            sources: list[tuple[str, Path, Callable[[Path], Iterator[str]]]] = [
                ("bible", self.source / f"bible/{lang}.train.tsv.gz", _bible),
                ("wiki", self.source / f"wiki_text/{lang}.txt.gz", _wikipedia),
                ("news", self.source / f"ntrex/{lang}.txt", read_lines),
            ]
            present = [entry for entry in sources if self._need(entry[1])]
            with _scratch(self.out / ".raw") as folder:
                raw = {}
                for domain, path, read in present:
                    raw[domain] = folder / f"{domain}.txt"
                    raw[domain].write_text("\n".join(read(path)) + "\n", encoding="utf-8")
                for domain, file in raw.items():
                    self._text(domain, lang, file)
            self._together(lang, list(raw))

    def _text(self, domain: str, lang: str, file: Path) -> None:
        prefix = self.out / "text" / domain / lang
        if not prefix.with_name(f"{lang}.train.txt").is_file():
            step = LineStep(lang, tokenisation_of(lang), self.casing, split=True)
            lines = sum(1 for line in read_lines(file) if line)
            held_out = min(1000, lines // HELD_OUT)
            prepare_text([file], prefix, step, held_out, held_out, self.seed, self.workers)
        self.done.append(f"text/{domain}/{lang}.{{train,valid,test}}.txt")

    def _together(self, lang: str, domains: list[str]) -> None:
        """Domain `all`: the training texts shuffled into each other, the held-out ones behind each other."""
        out = self.out / "text" / "all" / lang
        parts = [self.out / "text" / domain / lang for domain in domains]
        if parts and not out.with_name(f"{lang}.train.txt").is_file():
            # before the training text, which is the sign of done
            write_notes(out.parent, self.casing, {lang: tokenisation_of(lang)})
            join_splits(parts, out, self.seed)
        self.done.append(f"text/all/{lang}.{{train,valid,test}}.txt")

    # Tasks

    def dictionaries(self) -> None:
        """MUSE's splits, and a weighted dictionary of all sources without MUSE's test words."""
        for other in LANGUAGES[1:]:
            for a, b in (("en", other), (other, "en")):
                muse = self.source / "muse"
                train, test = muse / f"{a}-{b}.0-5000.txt", muse / f"{a}-{b}.5000-5750.txt"
                if not self._need(train, test):
                    continue
                self._write(f"dictionaries/{a}-{b}.train.txt", _copy_pairs, train)
                self._write(f"dictionaries/{a}-{b}.test.txt", _copy_pairs, test)
                self._write(f"dictionaries/{a}-{b}.weighted.tsv", self._weighted, a, b)
        self.absent.append("dictionaries of fr, ru, zh with each other: no set; conditions go through English")

    def _weighted(self, path: Path, a: str, b: str) -> None:
        """Quality: the number of sources that have the pair (both directions of MUSE, Wiktionary, PanLex)."""
        english, other = ("en", b) if a == "en" else ("en", a)
        muse, total = self.source / "muse", Weights()
        forward = [muse / f"en-{other}.0-5000.txt", muse / f"en-{other}.rest.txt.gz"]
        backward = [muse / f"{other}-en.0-5000.txt", muse / f"{other}-en.rest.txt.gz"]
        forward.append(self.source / f"wiktionary_dict/en-{other}.tsv.gz")
        if other == "zh":
            forward.append(self.source / "panlex/eng-cmn.tsv")
            backward.append(self.source / "panlex/zho-eng.tsv")
        for paths, turn in ((forward, False), (backward, True)):
            for source in filter(Path.is_file, paths):
                pairs: Weights = {}
                for left, right in read_pairs(source):
                    word, translation = (right, left) if turn else (left, right)
                    pairs.setdefault(_plain(word), {})[_plain(translation)] = 1.0
                add_weights(total, pairs)
        tests = {pair: read_pairs(muse / f"{pair}.5000-5750.txt") for pair in (f"en-{other}", f"{other}-en")}
        english_words = {left for left, _ in tests[f"{english}-{other}"]}
        other_words = {left for left, _ in tests[f"{other}-{english}"]}
        kept = {
            word: {t: q for t, q in translations.items() if t not in other_words}
            for word, translations in total.items()
            if word not in english_words
        }
        kept = {word: translations for word, translations in kept.items() if translations}
        write_weighted(path, kept if a == "en" else inverted(kept))

    def treebanks(self) -> None:
        """EWT trains and selects; the other languages' development sets serve as test sets, PUD as another."""
        for lang, name in TREEBANKS.items():
            for split in ("train", "dev"):
                path = self.source / f"ud/{name}/{name}-ud-{split}.conllu.gz"
                target = split if lang == "en" else "test"
                if (split == "dev" or lang == "en") and self._need(path):
                    self._write(f"ud/{lang}-{target}.conllu", _copy_text, path)
            pud = self.source / f"ud_pud/{lang}_pud.even.conllu.gz"
            if self._need(pud):
                self._write(f"ud/{lang}-pud.conllu", _copy_text, pud)
                if lang == "en":
                    self._write("ud/en-test.conllu", _copy_text, pud)
        self.absent.append("ud: test splits of the treebanks; <lang>-test is the released dev split (en: PUD)")
        self.absent.append("ud/{fr,ru,zh}-train: not needed for zero-shot transfer from English")

    def entities(self) -> None:
        """WikiAnn; its development set is halved into dev and test. Chinese characters become segmenter words."""
        for lang in LANGUAGES:
            for split in ("train", "dev"):
                path = self.source / f"wikiann/{lang}.{split}.tsv.gz"
                if not self._need(path):
                    continue
                sentences: list[tuple[Sequence[str], Sequence[str]]] = [(s.tokens, s.tags) for s in read_bio(path)]
                if lang == "zh":
                    sentences = [realign(tokens, tags, segment_chinese) for tokens, tags in sentences]
                half = len(sentences) // 2
                parts = (
                    {"train": sentences} if split == "train" else {"dev": sentences[:half], "test": sentences[half:]}
                )
                for name, part in parts.items():
                    self._write(f"ner/{lang}.{name}.tsv", write_bio, part)
        self.absent.append("ner: CoNLL 2003 and the Chinese set are licensed (see docs/preprocessing.md)")

    def entailment(self) -> None:
        """MultiNLI's 15,001 pairs for training; XNLI's development set is halved into dev and test."""
        for lang in LANGUAGES:
            train, dev = self.source / f"xnli/mnli_train15k-{lang}.tsv.gz", self.source / f"xnli/dev-{lang}.tsv.gz"
            if lang == "ru":
                self.absent.append("nli/ru.train: no translation there; not needed for zero-shot transfer")
            elif self._need(train):
                self._write(f"nli/{lang}.train.tsv", write_nli, list(read_nli(train)))
            if self._need(dev):
                pairs = list(read_nli(dev))
                half = len(pairs) // 6 * 3  # three hypotheses of a premise stay together
                self._write(f"nli/{lang}.dev.tsv", write_nli, pairs[:half])
                self._write(f"nli/{lang}.test.tsv", write_nli, pairs[half:])

    def parallel(self) -> None:
        """XNLI's sentences to fit alignments on, PUD's to test on."""
        for split, name in (("train", "xnli/parallel.dev.tsv.gz"), ("test", "ud_pud/parallel.even.tsv")):
            if self._need(self.source / name):
                table = read_table(self.source / name)
                self._write(f"parallel/{split}.tsv", write_table, Parallel(table.sentences))

    def tatoeba(self) -> None:
        """LASER's files under their own names; they must have the same number of lines."""
        for lang in LANGUAGES[1:]:
            code, folder = TATOEBA_CODES[lang], self.source / "tatoeba"
            if self._need(*(folder / f"tatoeba.{code}-eng.{end}" for end in (code, "eng"))):
                paths = tatoeba_paths(folder, lang)
                read_aligned(paths)
                for path in paths.values():
                    self._write(f"tatoeba/{path.name}", _copy_text, path)


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder for this block only; one left by an interrupted run is cleared."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _bible(path: Path) -> Iterator[str]:
    for number, line in enumerate(read_lines(path), 1):
        verse, tab, text = line.partition("\t")
        if not tab:
            raise InputError(f"expected 'Book.chapter.verse<TAB>text', found {verse[:40]!r}", path, number)
        yield text


def _wikipedia(path: Path) -> Iterator[str]:
    """Paragraphs; headings and list items, which end in no punctuation, are left out."""
    for line in read_lines(path):
        text = _REFERENCE.sub("", line).strip()
        if _ENDS_SENTENCE.search(text):
            yield text


def _plain(entry: str) -> str:
    return " ".join(entry.replace(_STRESS, "").lower().split())


def _copy_pairs(path: Path, source: Path) -> None:
    write_pairs(path, read_pairs(source))


def _copy_text(path: Path, source: Path) -> None:
    with open_bytes(source) as stream, atomic_write(path, "wb", sync=False) as out:
        shutil.copyfileobj(stream, out)
