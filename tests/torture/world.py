"""Whole files to damage: a tiny world with every format that the project reads, written by its own writers."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np

from fairseq_xling.corpus.notes import write_notes
from fairseq_xling.evaluation.word_alignment import write_pharaoh
from fairseq_xling.evaluation.word_means import WordMeans
from fairseq_xling.formats.dictionary import write_pairs, write_weighted
from fairseq_xling.formats.parallel import Parallel, write_table
from fairseq_xling.formats.results import Result, append_results, signature
from fairseq_xling.runs.record import Record
from tests.transfer import world

ROOT = Path(__file__).resolve().parents[2]


def build(folder: Path) -> Path:
    """Everything in `folder`: data-bin `union`, checkpoint `save/checkpoint_last.pt`, `nli`, `ner`, `ud`, `files`."""
    world.make_databin(folder, "union")
    write_notes(folder / "text", "cased", {"en": "none", "fr": "none"})
    (folder / "save").mkdir()
    world.make_pretrained(folder / "union", folder / "save", "--max-positions", 24)
    world.write_nli(folder / "nli")
    world.write_ner(folder / "ner")
    world.write_treebank(folder / "ud")
    write_files(folder / "files")
    return folder


def lines(lang: str, count: int = 40, seed: str = "more") -> list[str]:
    """Sentences of one of the two languages."""
    return [" ".join(words) for words in world.sentences(lang, count, seed)]


def write_files(folder: Path) -> None:
    """One small file of each other format."""
    folder.mkdir()
    text = "".join(f"{line}\n" for line in lines("en")).encode()
    (folder / "text.txt").write_bytes(text)
    (folder / "text.txt.gz").write_bytes(gzip.compress(text, mtime=0))
    (folder / "text.txt.bz2").write_bytes(bz2.compress(text))
    (folder / "text.txt.xz").write_bytes(lzma.compress(text))
    with suppress(ImportError):
        import zstandard

        (folder / "text.txt.zst").write_bytes(zstandard.compress(text))
    (folder / "lines.jsonl").write_text("".join(json.dumps({"text": line}) + "\n" for line in lines("en")))
    write_pairs(folder / "pairs.txt", zip(world.lexicon("en"), world.lexicon("fr")))
    weights = {a: {b: 1.5, b + "x": 3.0} for a, b in zip(world.lexicon("en"), world.lexicon("fr"))}
    write_weighted(folder / "weighted.tsv", weights)
    write_table(folder / "table.tsv", Parallel({"en": lines("en"), "fr": lines("fr")}, [f"s{i}" for i in range(40)]))
    for lang in ("en", "fr"):
        (folder / f"aligned.{lang}").write_text("".join(f"{line}\n" for line in lines(lang)))
    write_pharaoh(folder / "links.pharaoh", [[(0, 0), (1, 0)] if " " in line else [(0, 0)] for line in lines("en")])
    write_vectors(folder / "vectors.vec", "en")
    write_vectors(folder / "french.vec", "fr")
    write_results(folder / "results.jsonl")
    write_layers(folder / "layers.jsonl")
    (folder / "paraphrases.tsv").write_text("".join(f"{line}\t{line}\n" for line in lines("en")))
    write_panlex(folder / "db.sqlite")
    (folder / "grid.toml").write_bytes((ROOT / "eval/grids/lab.toml").read_bytes())
    (folder / "machine.toml").write_text(
        'via = "local"\nmost_failures = 2\nat_a_time = 1\n[sbatch]\ndata = ["--mem=1G"]\n'
    )
    record = Record("train", str(folder / "out"), state="done", host="here", pid=1, job="", began=1.0, ended=2.0)
    (folder / "record.json").write_text(json.dumps(asdict(record)))
    (folder / "wiki.xml").write_text(wiki_dump())
    means = WordMeans(
        {"ab": 0, "cd": 1}, np.array([3, 4], dtype=np.int64), np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    )
    means.save(folder / "means")
    (folder / "conll.txt").write_text("-DOCSTART- -X- -X- O\n\nRome NNP B-NP I-LOC\nis VBZ B-VP O\n\nIt PRP B-NP O\n")
    (folder / "metrics.jsonl").write_text(
        "".join(
            json.dumps({"phase": phase, "nats_en": 3.0 - i / 10, "nats_fr": 3.1, "update": i}) + "\n"
            for i in range(1, 9)
            for phase in ("train_inner", "valid")
        )
    )
    write_archives(folder / "raw")


def write_vectors(path: Path, lang: str) -> None:
    rows = [
        f"{word} " + " ".join(f"{0.1 * (i + j):.3f}" for j in range(5)) for i, word in enumerate(world.lexicon(lang))
    ]
    path.write_text(f"{len(rows)} 5\n" + "".join(f"{row}\n" for row in rows))


def write_results(path: Path) -> None:
    experiments = ("default", "no_anchors")
    append_results(
        path,
        [
            Result(name, "qaa-qab", "lab", seed, task, metric, None, 0.5 + seed / 10, 0.3, 20, signature(data="toy"))
            for name in experiments
            for seed in (1, 2)
            for task, metric in (("nli", "accuracy"), ("ner", "f1"), ("parsing", "las"))
        ],
    )


def write_layers(path: Path) -> None:
    rows = [
        Result(name, "qaa-qab", "lab", 1, task, metric, layer, level + layer / 20, 0.1, 20, signature(data="toy"))
        for name, level in (("mono", 0.5), ("random:mono", 0.2), ("no_anchors", 0.7))
        for task, metric in (("sentence_retrieval", "precision@1"), ("similarity", "linear_cka"))
        for layer in range(3)
    ]
    append_results(path, rows)


def write_panlex(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE lv (lv INTEGER, lc TEXT, vc INTEGER, uid TEXT, tt TEXT);"
        "CREATE TABLE ex (ex INTEGER, lv INTEGER, tt TEXT, td TEXT);"
        "CREATE TABLE dnx (mn INTEGER, ex INTEGER, ui INTEGER, ap INTEGER, uq INTEGER);"
        "INSERT INTO lv VALUES (0, 'eng', 0, 'eng-000', ''), (1, 'fra', 0, 'fra-000', '');"
    )
    for number, (a, b) in enumerate(zip(world.lexicon("en"), world.lexicon("fr"))):
        connection.executemany("INSERT INTO ex VALUES (?, ?, ?, ?)", [(2 * number, 0, a, a), (2 * number + 1, 1, b, b)])
        connection.executemany(
            "INSERT INTO dnx VALUES (?, ?, 1, 0, 5)", [(number, 2 * number), (number, 2 * number + 1)]
        )
    connection.commit()
    connection.close()


def wiki_dump() -> str:
    """Three pages with markup."""
    page = (
        "<page><title>T{0}</title><ns>0</ns><id>{0}</id><revision><text>'''Rome''' is a [[city|big city]] {{{{x|y}}}}. "
        "It has people &lt;ref&gt;a&lt;/ref&gt;.\n\n== H ==\n{{|\n| a || b\n|}}\n* item\n</text></revision></page>\n"
    )
    spaces = '<siteinfo><namespaces><namespace key="6" case="x">File</namespace></namespaces></siteinfo>\n'
    return "<mediawiki>" + spaces + "".join(page.format(number) for number in range(3)) + "</mediawiki>\n"


def write_archives(folder: Path) -> None:
    """Archives like the published ones, as `get_data.sh` lays them out."""
    for name in ("nli", "wikiann", "ud"):
        (folder / name).mkdir(parents=True)
    rows = [{"sentence1": "A man.", "sentence2": "A person.", "gold_label": "entailment"}] * 3
    with zipfile.ZipFile(folder / "nli/multinli_1.0.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("multinli_1.0/multinli_1.0_train.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    table = "language\tgold_label\tsentence1\tsentence2\nen\tneutral\tOne.\tTwo.\nfr\tneutral\tUn.\tDeux.\n"
    with zipfile.ZipFile(folder / "nli/XNLI-1.0.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for split in ("dev", "test"):
            archive.writestr(f"XNLI-1.0/xnli.{split}.tsv", table)
    with zipfile.ZipFile(folder / "wikiann/panx_dataset.zip", "w") as archive:
        for lang in ("en", "fr"):
            archive.writestr(f"panx_dataset/{lang}.tar.gz", _tar({s: _wikiann(lang) for s in ("train", "dev", "test")}))
    trees = world.conllu(["a", "b"]).encode()
    names = [
        f"ud-treebanks-v2.3/{stem}-ud-{split}.conllu"
        for stem in ("UD_English-EWT/en_ewt", "UD_French-GSD/fr_gsd")
        for split in ("train", "dev", "test")
    ]
    (folder / "ud/ud-treebanks-v2.3.tgz").write_bytes(_tar(dict.fromkeys(names, trees)))


def _wikiann(lang: str) -> bytes:
    return f"{lang}:Rome\tB-LOC\n{lang}:x\tO\n\n".encode()


def _tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def change_zip(data: bytes, name_ends: str, change: Callable[[bytes], bytes]) -> bytes:
    """A zip archive with one member changed and all check sums right, as an attacker would write it."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as target:
        for member in source.infolist():
            content = source.read(member)
            target.writestr(member.filename, change(content) if member.filename.endswith(name_ends) else content)
    return out.getvalue()
