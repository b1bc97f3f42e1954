"""Two toy languages with a data-bin, a pretrained model and labelled data in the field's formats."""

import random
from pathlib import Path

from fairseq_xling.corpus.databin import DatabinOptions, build_databin

from ..tasks.pretraining import ROOT
from ..tasks.pretraining import train as pretrain

LETTERS = {"en": "abcdefgh", "fr": "mnopqrst"}
NAMES = {"PER": 4, "LOC": 4}
"""Words of each language that are names, by type."""


def lexicon(lang):
    """Thirty words: the first four are people, the next four places."""
    generator = random.Random(lang)
    words = {}
    while len(words) < 30:
        words["".join(generator.choices(LETTERS[lang], k=generator.randint(2, 5)))] = None
    return list(words)


def sentences(lang, count, seed=0):
    generator = random.Random(f"{lang} {seed}")
    return [generator.choices(lexicon(lang), k=generator.randint(1, 7)) for _ in range(count)]


def make_databin(folder, mode):
    for lang in LETTERS:
        for split, count in (("train", 80), ("valid", 12)):
            path = Path(folder) / "text" / f"{lang}.{split}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(" ".join(words) + "\n" for words in sentences(lang, count, split)))
    text = {lang: Path(folder) / "text" / lang for lang in LETTERS}
    build_databin(Path(folder) / mode, text, DatabinOptions(mode=mode, bpe_size=45, shrink=True))
    return Path(folder) / mode


def make_pretrained(databin, folder, *options):
    pretrain(databin, folder, "--blocks", "sentence", "--max-update", 2, "--attention-dropout", 0.1, *options)
    return Path(folder) / "checkpoint_last.pt"


def write_ner(folder):
    for lang in LETTERS:
        words = lexicon(lang)
        kinds = dict.fromkeys(words[:4], "B-PER") | dict.fromkeys(words[4:8], "B-LOC")
        for split, count in (("train", 64), ("dev", 16), ("test", 16)):
            lines = ["".join(f"{w}\t{kinds.get(w, 'O')}\n" for w in s) + "\n" for s in sentences(lang, count, split)]
            _write(folder, f"{lang}.{split}.tsv", lines)
    return folder


def write_nli(folder):
    """The hypothesis is one word, which gives the label away."""
    for lang in LETTERS:
        for split, count in (("train", 60), ("dev", 15), ("test", 15)):
            lines = []
            for number, words in enumerate(sentences(lang, count, split)):
                label = ("entailment", "contradiction", "neutral")[number % 3]
                lines.append(f"{' '.join(words)}\t{lexicon(lang)[number % 3]}\t{label}\n")
            _write(folder, f"{lang}.{split}.tsv", lines)
    return folder


def conllu(words, on_first=()):
    """Every word hangs on the one before, or on the first."""
    rows = []
    for number, word in enumerate(words, 1):
        head, relation = (1, "nsubj:pass") if word in on_first else (number - 1, "obj")
        if number == 1:
            head, relation = 0, "root"
        rows.append(f"{number}\t{word}\t_\tNOUN\t_\t_\t{head}\t{relation}\t_\t_\n")
    return "".join(rows) + "\n"


def write_treebank(folder):
    for lang in LETTERS:
        for split, count in (("train", 64), ("dev", 16), ("test", 16)):
            trees = [conllu(words, lexicon(lang)[:15]) for words in sentences(lang, count, split)]
            _write(folder, f"{lang}_toy-ud-{split}.conllu", trees)
    return folder


def _write(folder, name, lines):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(lines))


TASKS = {"classification": "accuracy", "tagging": "f1", "parsing": "las"}


def arguments(task, data, databin, pretrained, save_dir, *extra):
    """Arguments of a fine-tuning run of about a second."""
    return [
        *(
            str(data),
            "--user-dir",
            str(ROOT / "fairseq_xling"),
            "--task",
            f"xling_{task}",
            "--criterion",
            f"xling_{task}",
        ),
        *("--arch", "xling_transfer", "--vocabulary", str(databin), "--pretrained", str(pretrained), "--cpu"),
        *("--save-dir", str(save_dir), "--optimizer", "xling_two_rates", "--lr", "0.01", "--batch-size", "16"),
        *("--best-checkpoint-metric", TASKS[task], "--maximize-best-checkpoint-metric", "--no-epoch-checkpoints"),
        *("--arc-dim", "16", "--label-dim", "8") * (task == "parsing"),
        *("--log-format", "json", "--log-interval", "1", "--seed", "3", "--num-workers", "0"),
        *map(str, extra),
    ]
