"""Paraphrases by back-translation, made by two small models of fairseq's own translation task (paper, section 5.4)."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import sacrebleu
import sentencepiece

from fairseq_xling.corpus.bpe import count_words, train_bpe
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.files import atomic_write

Sentences = Sequence[str]

USER_DIR = Path(__file__).resolve().parents[1]
SOURCE, TARGET = "src", "tgt"
"""Languages as fairseq's file names call them here, whatever they are."""

_HYPOTHESIS = re.compile(r"H-(\d+)\t\S+\t(.*)")


@dataclass(frozen=True)
class TranslationOptions:
    """Size and training of the two translation models.

    Parameters
    ----------
    arch : str
        fairseq's: transformer_tiny, transformer_iwslt_de_en or transformer.
    bpe_size : int
        Subwords of both languages together, at most.
    updates, tokens : int
        Updates of each model, tokens of a batch.
    learning_rate : float
    beam : int
    seed : int
    cpu : bool
        Do not use a GPU.
    """

    arch: str = "transformer_tiny"
    bpe_size: int = 4000
    updates: int = 2000
    tokens: int = 2048
    learning_rate: float = 2e-3
    beam: int = 5
    seed: int = 1
    cpu: bool = False


class BackTranslator:
    """Two models, there and back, with everything in one folder; what is done already, as is asked for, is skipped.

    Parameters
    ----------
    folder : path-like
    options : TranslationOptions
    say : callable
        Told what is being done.
    """

    def __init__(
        self, folder: str | os.PathLike[str], options: TranslationOptions, say: Callable[[str], object] = print
    ):
        self.folder, self.options, self.say = Path(folder), options, say
        self.data = self.folder / "data-bin"

    def prepare(self, train: tuple[Sentences, Sentences], valid: tuple[Sentences, Sentences]) -> None:
        """Learn one BPE on both languages and binarise the parallel sentences with fairseq.

        Raises
        ------
        InputError
            The folder holds what was made of other sentences or with another size of the BPE.
        """
        everything = [list(texts) for both in (train, valid) for texts in both]
        digest = hashlib.sha256(repr(everything).encode()).hexdigest()[:12]
        self._expect(self.folder / "text.made_with", f"bpe_size {self.options.bpe_size}, text {digest}")
        if self.data.is_dir():
            return
        for side, texts in zip((SOURCE, TARGET), zip(train, valid, strict=True), strict=True):
            for split, sentences in zip(("train", "valid"), texts, strict=True):
                _write(self.folder / f"{split}.raw.{side}", sentences)
        raw = [self.folder / f"train.raw.{side}" for side in (SOURCE, TARGET)]
        model = train_bpe(count_words(raw), self.options.bpe_size, coverage=1.0, shrink=True, source=raw[0])
        with atomic_write(self.folder / "spm.model", "wb") as out:
            out.write(model)
        for split, texts in (("train", train), ("valid", valid)):
            for side, sentences in zip((SOURCE, TARGET), texts, strict=True):
                _write(self.folder / f"{split}.{side}", self._encoded(sentences))
        temporary = self.data.with_name(".data-bin")
        self._fairseq(
            "fairseq-preprocess",
            *("--source-lang", SOURCE, "--target-lang", TARGET, "--joined-dictionary", "--workers", "1"),
            *(
                "--trainpref",
                f"{self.folder}/train",
                "--validpref",
                f"{self.folder}/valid",
                "--destdir",
                f"{temporary}",
            ),
            log=self.folder / "preprocess.log",
        )
        os.replace(temporary, self.data)

    def train(self, source: str, target: str) -> Path:
        """Train the model from one side to the other, or go on with it; its best checkpoint.

        Raises
        ------
        InputError
            The folder holds a model that is trained with other options.
        """
        options, save = self.options, self.folder / f"{source}-{target}"
        names = ("arch", "updates", "tokens", "learning_rate", "seed")
        wanted = ", ".join(f"{name} {getattr(options, name)}" for name in names)
        done = save / "done"
        before = _options_in(done, names)  # an older version of this code noted them there alone
        self._expect(save.with_name(f"{save.name}.made_with"), wanted, before)
        if not done.exists():
            self.say(f"training {source} to {target}: {options.updates} updates of {options.arch}; log in {save}.log")
            self._fairseq(
                "fairseq-train",
                *(str(self.data), "--user-dir", str(USER_DIR), "--task", "translation", "--arch", options.arch),
                *("--source-lang", source, "--target-lang", target, "--share-all-embeddings"),
                *("--criterion", "label_smoothed_cross_entropy", "--label-smoothing", "0.1", "--dropout", "0.1"),
                *("--optimizer", "adam", "--adam-betas", "(0.9, 0.98)", "--lr", f"{options.learning_rate:g}"),
                *("--lr-scheduler", "inverse_sqrt", "--warmup-updates", str(max(options.updates // 10, 1))),
                *("--max-update", str(options.updates), "--max-tokens", str(options.tokens), "--clip-norm", "1.0"),
                *(
                    "--save-dir",
                    str(save),
                    "--no-epoch-checkpoints",
                    "--seed",
                    str(options.seed),
                    "--log-interval",
                    "50",
                ),
                *("--num-workers", "0", "--skip-invalid-size-inputs-valid-test"),
                log=save.with_name(f"{save.name}.log"),
            )
            with atomic_write(done) as out:
                out.write(f"{options}\n")
        return save / "checkpoint_best.pt"

    def translate(self, sentences: Sentences, source: str, target: str) -> list[str]:
        """Translate with the model of a direction; an empty sentence stays empty."""
        full = [number for number, sentence in enumerate(sentences) if sentence.strip()]
        text = self.folder / f"input.{source}-{target}"
        _write(text, self._encoded([sentences[number] for number in full]))
        output = self._fairseq(
            "fairseq-interactive",
            *(str(self.data), "--user-dir", str(USER_DIR), "--task", "translation", "--input", str(text)),
            *("--source-lang", source, "--target-lang", target, "--beam", str(self.options.beam), "--remove-bpe"),
            *("sentencepiece", "--path", str(self.folder / f"{source}-{target}" / "checkpoint_best.pt")),
            *("--buffer-size", "1000", "--max-tokens", "8000", "--skip-invalid-size-inputs-valid-test"),
        )
        found = {int(m[1]): m[2].strip() for line in output.splitlines() if (m := _HYPOTHESIS.fullmatch(line))}
        if len(found) != len(full):
            raise InputError(
                f"fairseq translated {len(found):,} of {len(full):,} sentences; the others are too long", text
            )
        translated = [""] * len(sentences)
        for number, place in enumerate(full):
            translated[place] = found[number]
        return translated

    def paraphrase(self, sentences: Sentences) -> tuple[list[str], list[str]]:
        """There and back: the translations, and the paraphrases made of them."""
        there = self.translate(sentences, SOURCE, TARGET)
        return there, self.translate(there, TARGET, SOURCE)

    def _expect(self, path: Path, wanted: str, before: str | None = None) -> None:
        """Note with what something is made in the folder; an error where it was something else the last time."""
        if path.is_file():
            before = path.read_text(encoding="utf-8").strip()
        if before is not None and before != wanted:
            raise InputError(f"made with {before}, not {wanted}; take another folder, or remove {self.folder}", path)
        if path.is_file():
            return
        with atomic_write(path) as out:
            out.write(wanted + "\n")

    def _encoded(self, sentences: Sentences) -> list[str]:
        processor = sentencepiece.SentencePieceProcessor(model_file=str(self.folder / "spm.model"))
        return [" ".join(pieces) for pieces in processor.encode(list(sentences), out_type=str)]

    def _fairseq(self, program: str, *arguments: str, log: Path | None = None) -> str:
        """Run one of fairseq's programs; what it printed."""
        path = Path(sys.executable).with_name(program)
        cpu = ["--cpu"] if self.options.cpu and program != "fairseq-preprocess" else []
        done = subprocess.run([path, *arguments, *cpu], capture_output=True, text=True, check=False)
        if log is not None:
            with atomic_write(log) as out:
                out.write(done.stdout + done.stderr)
        if done.returncode:
            last = next((line for line in reversed((done.stdout + done.stderr).splitlines()) if line.strip()), "")
            raise InputError(f"{program} failed: {last[:300]}", log)
        return done.stdout


@dataclass(frozen=True)
class Quality:
    """A corpus score of sacreBLEU and its signature."""

    metric: str
    value: float
    signature: str


def quality(hypotheses: Sentences, references: Sentences, raw: bool = False) -> list[Quality]:
    """BLEU and chrF, between 0 and 100; sacreBLEU tokenises (13a) what is `raw`, and takes other text as it is."""
    scores = []
    bleu = sacrebleu.BLEU(tokenize="13a" if raw else "none", force=True)
    for name, metric in (("bleu", bleu), ("chrf", sacrebleu.CHRF())):
        value = metric.corpus_score(list(hypotheses), [list(references)]).score
        scores.append(Quality(name, value, str(metric.get_signature())))
    return scores


def _write(path: Path, sentences: Sentences) -> None:
    with atomic_write(path) as out:
        out.writelines(" ".join(sentence.split()) + "\n" for sentence in sentences)


def _options_in(done: Path, names: Sequence[str]) -> str | None:
    """Options that `done` says a model was trained with; None where none is finished."""
    if not done.is_file():
        return None
    noted = dict(re.findall(r"(\w+)='?([^,()']+)", done.read_text(encoding="utf-8")))
    return ", ".join(f"{name} {noted.get(name)}" for name in names)
