"""Writes a whole lab: text and gold of all languages, from one seed."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.files import sha256_of_file, temporary_beside
from fairseq_xling.lab.dictionaries import split_concepts, word_pairs
from fairseq_xling.lab.entailment import LABELS, draw_pair
from fairseq_xling.lab.gold import bio, conllu
from fairseq_xling.lab.language import SOURCE, Language, always, sometimes
from fairseq_xling.lab.meaning import Meaning
from fairseq_xling.lab.typology import LANGUAGES
from fairseq_xling.lab.world import DOMAINS, World

FORMAT = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class LabOptions:
    """What determines a lab, byte for byte.

    Parameters
    ----------
    seed : int
    sentences : int
        Training sentences of running text for each language and domain; validation and test text are a sixteenth each.
    size : float
        Scale of the vocabulary of concepts; 1 gives about 200, 0.11 is the least.
    gold : float
        Scale of the gold sets; 1 gives, for instance, 1,000 test rows of parallel sentences.
    shared : float, optional
        Share of the words of `qab` that have the same form as in `qaa`, instead of the language's own share.
    """

    seed: int = 1
    sentences: int = 16000
    size: float = 1.0
    gold: float = 1.0
    shared: float | None = None

    def count(self, full: int) -> int:
        """A gold set's number of items at this scale."""
        return max(12, 3 * round(full * self.gold / 3))


class _Writer:
    """Draws sentences and writes files into one folder, never a held-out sentence into training text."""

    def __init__(self, folder: Path, options: LabOptions):
        self.folder, self.options = folder, options
        self.world = World(options.seed, options.size)
        typologies = dict(LANGUAGES)
        if options.shared is not None:
            typologies["qab"] = typologies["qab"].with_shared_words(options.shared)
        self.languages = {code: Language(code, self.world, options.seed, t) for code, t in typologies.items()}
        self.held_out: dict[str, set[str]] = {code: set() for code in self.languages}
        self.trained: dict[str, set[str]] = {code: set() for code in self.languages}
        self.lines: dict[str, int] = {}

    def rng(self, *purpose: str) -> random.Random:
        return random.Random(" ".join((str(self.options.seed), *purpose)))

    def write(self, name: str, lines: Iterable[str]) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = list(lines)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
        self.lines[name] = len(lines)

    def fresh(self, rng: random.Random, codes: Iterable[str], domain: str = "wiki") -> Iterator[Meaning]:
        """Meanings whose usual sentence is held out in none of the languages, without end."""
        codes = list(codes)
        while True:
            meaning = self.world.meaning(rng, domain)
            if not any(self.languages[code].realise(meaning).text() in self.held_out[code] for code in codes):
                yield meaning

    def hold_out(self, meaning: Meaning) -> None:
        for code, language in self.languages.items():
            self.held_out[code].add(language.realise(meaning).text())

    def parallel(self) -> None:
        header = "\t".join(self.languages)
        for split, full in (("test", 1000), ("train", 2000)):
            rows, fresh = [], self.fresh(self.rng("parallel", split), self.languages)
            for _ in range(self.options.count(full)):
                meaning = next(fresh)
                rows.append("\t".join(language.realise(meaning).text() for language in self.languages.values()))
                self.hold_out(meaning)
            self.write(f"parallel/{split}.tsv", [header, *rows])

    def paraphrases(self) -> None:
        language, rows = self.languages[SOURCE], []
        for meaning in self.fresh(self.rng("paraphrases"), [SOURCE]):
            usual, other = language.realise(meaning).text(), language.realise(meaning, always).text()
            if usual != other:
                rows.append(f"{usual}\t{other}")
                self.held_out[SOURCE] |= {usual, other}
            if len(rows) == self.options.count(2000):
                break
        self.write(f"paraphrases/{SOURCE}.tsv", rows)

    def dictionaries(self) -> None:
        for a in self.languages.values():
            for b in self.languages.values():
                if a is b:
                    continue
                pairs = word_pairs(a, b)
                train, test = split_concepts([concept for concept, *_ in pairs], self.options.seed)
                stem = f"dictionaries/{a.code}-{b.code}"
                for split, concepts in (("train", train), ("test", test)):
                    self.write(f"{stem}.{split}.txt", (f"{s} {t}" for c, s, t, _ in pairs if c in concepts))
                self.write(f"{stem}.weighted.tsv", (f"{s}\t{t}\t{quality:g}" for _, s, t, quality in pairs))

    def treebanks(self) -> None:
        for code, language in self.languages.items():
            for split, full in (("test", 500), ("dev", 300), ("train", 2000)):
                fresh, rng = self.fresh(self.rng("ud", code, split), [code]), self.rng("ud ways", code, split)
                blocks = []
                for number in range(self.options.count(full)):
                    meaning = next(fresh)
                    sentence = language.realise(meaning, sometimes(rng))
                    blocks.append(conllu(sentence, f"{code}-{split}-{number + 1}") + "\n")
                    if split != "train":
                        self.held_out[code] |= {language.realise(meaning).text(), sentence.text()}
                self.write(f"ud/{code}-{split}.conllu", blocks)

    def entities(self) -> None:
        for code, language in self.languages.items():
            for split, full in (("test", 1000), ("dev", 500), ("train", 3000)):
                rng, blocks = self.rng("ner", code, split), []
                for meaning in self.fresh(rng, [code]):
                    sentence = language.realise(meaning, sometimes(rng))
                    # most topics rarely use names: keep a quarter of the sentences without any
                    if not sentence.entities() and rng.random() > 0.25:
                        continue
                    blocks.append("".join(f"{form}\t{tag}\n" for form, tag in bio(sentence)))
                    if split != "train":
                        self.held_out[code] |= {language.realise(meaning).text(), sentence.text()}
                    if len(blocks) == self.options.count(full):
                        break
                self.write(f"ner/{code}.{split}.tsv", blocks)

    def entailment(self) -> None:
        held_out: set[tuple[str, str, str]] = set()  # language, premise, hypothesis
        for split, full in (("test", 1500), ("dev", 600), ("train", 9000)):
            rng, again = self.rng("nli", split), self.rng("nli again", split)
            pairs = []
            for i in range(self.options.count(full)):
                label = LABELS[i % 3]
                said = self._said(*draw_pair(self.world, rng, label))
                while not held_out.isdisjoint(said):
                    said = self._said(*draw_pair(self.world, again, label))
                pairs.append((said, label))
            rng.shuffle(pairs)
            for number, code in enumerate(self.languages):
                rows = [(*said[number][1:], label) for said, label in pairs]
                self.write(f"nli/{code}.{split}.tsv", map("\t".join, rows))
                if split != "train":
                    self.held_out[code].update(text for p, h, _ in rows for text in (p, h))
            held_out.update(entry for said, _ in pairs for entry in said)

    def _said(self, premise: Meaning, hypothesis: Meaning) -> list[tuple[str, str, str]]:
        """Code, premise and hypothesis in each language."""
        return [(c, a.realise(premise).text(), a.realise(hypothesis).text()) for c, a in self.languages.items()]

    def text(self, code: str, domain: str) -> None:
        language, held_out, trained = self.languages[code], self.held_out[code], self.trained[code]
        few = max(12, self.options.sentences // 16)
        for split, count in (("test", few), ("valid", few), ("train", self.options.sentences)):
            rng = self.rng("text", code, domain, split)
            lines: list[str] = []
            choose = sometimes(rng)
            while len(lines) < count:
                line = language.realise(self.world.meaning(rng, domain), choose).text()
                # the training text of the other domain may be there already
                if line not in held_out and (split == "train" or line not in trained):
                    lines.append(line)
            self.write(f"text/{domain}/{code}.{split}.txt", lines)
            (trained if split == "train" else held_out).update(lines)


def write_lab(folder: str | os.PathLike[str], options: LabOptions | None = None, progress: bool = False) -> Path:
    """Write text and gold of the four languages; the folder appears when it is whole.

    Parameters
    ----------
    folder : path-like
        New folder. One that already holds a lab made with the same options is left as it is.
    options : LabOptions
    progress : bool
        Show a progress bar on standard error.

    Raises
    ------
    InputError
        The folder exists and holds something else.
    """
    options = options or LabOptions()
    target = Path(folder)
    if is_lab(target, options):
        return target
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError("expected a new or empty folder, or a lab made with the same options", target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with temporary_beside(target, folder=True) as temporary:
        writer = _Writer(temporary, options)
        # held-out sets come before the text that must not contain them
        steps = [
            writer.parallel,
            writer.entailment,
            writer.paraphrases,
            writer.dictionaries,
            writer.treebanks,
            writer.entities,
        ]
        texts = [(code, domain) for domain in DOMAINS for code in writer.languages]
        with tqdm(total=len(steps) + 2 * len(texts), desc="lab", disable=not progress, leave=False) as bar:
            for step in steps:
                step()
                bar.update()
            for code, domain in texts:
                writer.text(code, domain)
                bar.update(2)
        _write_manifest(writer)
        if target.exists():
            target.rmdir()
        os.replace(temporary, target)
    return target


def is_lab(folder: Path, options: LabOptions) -> bool:
    """Whether the folder holds a lab made with these options."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return (
        isinstance(manifest, dict) and manifest.get("format") == FORMAT and manifest.get("options") == asdict(options)
    )


def _write_manifest(writer: _Writer) -> None:
    source = writer.languages[SOURCE].lexicon.stems
    languages = {}
    for code, language in writer.languages.items():
        same = sum(bool(set(a) & set(b)) for a, b in zip(source, language.lexicon.stems))
        languages[code] = {"concepts_with_a_form_of_the_source": same, "concepts": len(source)}
    files = {
        name: {"lines": lines, "sha256": sha256_of_file(writer.folder / name)}
        for name, lines in sorted(writer.lines.items())
    }
    manifest = {"format": FORMAT, "options": asdict(writer.options), "languages": languages, "files": files}
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    (writer.folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
