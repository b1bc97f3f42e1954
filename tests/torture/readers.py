"""Every reader of the project, with the whole files whose damage it must survive."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fairseq_xling.formats.errors import InputError
from tests.torture.mutations import mutate
from tests.torture.world import change_zip, lines


@dataclass(frozen=True)
class Reader:
    """A reader.

    Attributes
    ----------
    name : str
    files : tuple of str
        Paths below the world, of which one at a time is damaged.
    read : callable
        Reads all of it from the world's folder.
    share : float
        Of the number of inputs that a cheap reader gets.
    damage : callable
        Bytes and a generator to damaged bytes and a description.
    """

    name: str
    files: tuple[str, ...]
    read: Callable[[Path], Any]
    share: float = 1.0
    damage: Callable[[bytes, Random], tuple[bytes, str]] = mutate


def _all(iterable: Any) -> None:
    for _ in iterable:
        pass


def text(folder: Path) -> None:
    from fairseq_xling.formats.text import read_blocks, read_lines, text_size

    for path in sorted((folder / "files").glob("text.txt*")):
        text_size(path)
        _all(read_blocks(path))
        _all(read_lines(path))


def lines_to_sentences(folder: Path) -> None:
    from fairseq_xling.corpus.lines import LineStep, write_lines

    for source, step in (
        ("text.txt", LineStep("en", "moses", "lower", split=True)),
        ("lines.jsonl", LineStep("en", "none", "lower-no-accents", json_field="text", keep_blank=True)),
    ):
        write_lines(folder / "files" / source, folder / "out.txt", step, 1)


def binarised_text(folder: Path) -> None:
    from fairseq_xling.corpus.databin import DatabinOptions, build_databin

    shutil.rmtree(folder / "bin", ignore_errors=True)
    options = DatabinOptions(mode="union", bpe_size=45, shrink=True, allow_unknown=True)
    build_databin(folder / "bin", {lang: folder / "text" / lang for lang in ("en", "fr")}, options)


def dict_txt(folder: Path) -> None:
    from fairseq_xling.data.vocabulary import Vocabularies

    found = Vocabularies.load(folder / "union")
    for lang in found.languages:
        found.dictionary(lang), found.hash(lang), found.own_tokens(lang)


def segmenter(folder: Path) -> None:
    from fairseq_xling.data.vocabulary import Segmenter

    for lang in ("en", "fr"):
        found = Segmenter(folder / "union", lang)
        found.encode(found.tokenise("abc d\u0301 \u202eא x"))
        found.encode_words(["abc", "\u200b"])


def token_files(folder: Path) -> None:
    from fairseq_xling.data.blocks import SentenceBlocks, StreamBlocks, TokenFile

    for lang in ("en", "fr"):
        corpus = TokenFile(folder / "union" / lang / "train")
        for blocks in (StreamBlocks(corpus, 16, keep_last=True), SentenceBlocks(corpus, 16, 2)):
            blocks.read(np.arange(min(blocks.num_blocks, 2000)))


def batches(folder: Path) -> None:
    """From the files to batches, as in training."""
    from tests.torture.training import validation_batches

    validation_batches(folder / "union")


def manifest(folder: Path) -> None:
    from fairseq_xling.data.vocabulary import Segmenter, known_languages

    for lang in known_languages(folder / "union"):
        Segmenter(folder / "union", lang).encode("abc")


def rebuild(folder: Path) -> None:
    """A data-bin that is there already is compared with what is asked for."""
    from fairseq_xling.corpus.databin import DatabinOptions, build_databin

    options = DatabinOptions(mode="union", bpe_size=45, shrink=True)
    build_databin(folder / "union", {lang: folder / "text" / lang for lang in ("en", "fr")}, options)


def notes(folder: Path) -> None:
    from fairseq_xling.corpus.notes import notes_of, write_notes

    notes_of({"en": folder / "text" / "en", "fr": folder / "text" / "fr"})
    write_notes(folder / "text", "cased", {"en": "none"})


def conllu(folder: Path) -> None:
    from fairseq_xling.formats.conllu import read_conllu, write_conllu

    found = list(read_conllu(folder / "ud/en_toy-ud-train.conllu"))
    for sentence in found:
        sentence.tokens, sentence.forms, sentence.comment("text")
    write_conllu(folder / "out.conllu", found, [[(word.head, word.deprel) for word in s.words] for s in found])


def bio(folder: Path) -> None:
    from fairseq_xling.formats.bio import read_bio, write_bio

    write_bio(folder / "out.tsv", [(s.tokens, s.tags) for s in read_bio(folder / "ner/en.train.tsv")])


def conll2003(folder: Path) -> None:
    from fairseq_xling.corpus.entities import read_columns, to_bio

    for _, tags in read_columns(folder / "files/conll.txt"):
        to_bio(tags)


def nli(folder: Path) -> None:
    from fairseq_xling.formats.nli import read_nli, write_nli

    write_nli(folder / "out.tsv", read_nli(folder / "nli/en.train.tsv"))


def labelled_tasks(folder: Path) -> None:
    """From labelled files to encoded items and scores."""
    from tests.torture.training import encode_tasks

    encode_tasks(folder)


def dictionaries(folder: Path) -> None:
    from fairseq_xling.corpus.codeswitch import translation_table
    from fairseq_xling.formats.dictionary import inverted, read_pairs, read_weighted, through_pivot

    read_pairs(folder / "files/pairs.txt")
    weights = read_weighted(folder / "files/weighted.tsv")
    translation_table(through_pivot(weights, inverted(weights)))


def parallel_table(folder: Path) -> None:
    from fairseq_xling.formats.parallel import read_table, write_table

    table = read_table(folder / "files/table.tsv")
    write_table(folder / "out.tsv", table)
    if len(table.sentences) > 1:
        table.pairs(*list(table.sentences)[:2])


def aligned(folder: Path) -> None:
    from fairseq_xling.formats.parallel import read_aligned

    read_aligned({lang: folder / "files" / f"aligned.{lang}" for lang in ("en", "fr")}).pairs("en", "fr")


def pharaoh(folder: Path) -> None:
    from fairseq_xling.evaluation.word_alignment import one_to_one, read_pharaoh

    pairs = [(a.split(), b.split()) for a, b in zip(lines("en"), lines("fr"))]
    for links in read_pharaoh(folder / "files/links.pharaoh", pairs):
        one_to_one(links)


def vectors(folder: Path) -> None:
    from fairseq_xling.evaluation.word_vectors import read_vectors

    read_vectors(folder / "files/vectors.vec").restricted(["abc"])


def word_means(folder: Path) -> None:
    from fairseq_xling.evaluation.word_means import WordMeans

    found = WordMeans.load(folder / "files/means")
    for layer in range(found.layers):
        found.layer(layer)


def results(folder: Path) -> None:
    from fairseq_xling.evaluation.table1 import make_table
    from fairseq_xling.evaluation.table1_text import to_csv, to_latex, to_markdown
    from fairseq_xling.formats.results import read_results

    found = read_results(folder / "files/results.jsonl")
    try:
        table = make_table(found, "lab", None)
    except InputError as error:  # of all files of a command together, and so of none
        raise InputError(error.message, "results.jsonl") from None
    to_csv(table), to_latex(table), to_markdown(table)


def panlex(folder: Path) -> None:
    from fairseq_xling.corpus.panlex import read_panlex
    from fairseq_xling.formats.dictionary import write_weighted

    write_weighted(folder / "out.tsv", read_panlex(folder / "files/db.sqlite", ["eng-000"], ["fra-000"]))


def grid(folder: Path) -> None:
    from fairseq_xling.evaluation.grid_file import read_grids

    for found in read_grids(folder / "files/grid.toml").values():
        for setting in found.settings():
            found.schedule_options(100, setting.batch_size)
            setting.name  # noqa: B018


def machine(folder: Path) -> None:
    from fairseq_xling.runs.plan import read_machine

    read_machine(folder / "files/machine.toml")


def record(folder: Path) -> None:
    from fairseq_xling.runs.identity import Identity
    from fairseq_xling.runs.record import read_record
    from fairseq_xling.runs.status import describe

    path = folder / "files/record.json"
    found = read_record(path)
    if found is not None:
        describe(found, path, "x")
        Identity(("a",), {}).difference(found.identity)


def wikipedia(folder: Path) -> None:
    from fairseq_xling.corpus.wikipedia import extract

    extract(folder / "files/wiki.xml", folder / "out.txt", "en")


def metrics_log(folder: Path) -> None:
    from fairseq_xling.evaluation.demo import _metrics
    from fairseq_xling.evaluation.demo_figures import loss_figure
    from fairseq_xling.tasks.metrics_log import MetricsLog

    loss_figure({"model": _metrics(folder / "files/metrics.jsonl")})
    MetricsLog(folder / "files/metrics.jsonl").start(4)


def archives(folder: Path) -> None:
    from fairseq_xling.corpus.tasks_layout import TaskSets

    shutil.rmtree(folder / "out", ignore_errors=True)
    TaskSets(folder / "files/raw", folder / "out", ["en", "fr"]).run()


def checkpoint_bytes(folder: Path) -> None:
    from fairseq_xling.checkpoints import read_state
    from fairseq_xling.tasks.checkpoint_safety import is_whole

    is_whole(folder / "save/checkpoint_last.pt")
    read_state(folder / "save/checkpoint_last.pt")


def checkpoint_model(folder: Path) -> None:
    from fairseq_xling.evaluation.pretrained import Pretrained
    from fairseq_xling.models.transfer import read_pretrained

    read_pretrained(folder / "save/checkpoint_last.pt")
    Pretrained.load(folder / "save/checkpoint_last.pt", folder / "union", "cpu").segmenter("en")


def _in_the_pickle(data: bytes, rng: Random) -> tuple[bytes, str]:
    """The program of the pickle damaged within an archive whose check sums are right."""
    what = ""

    def change(content: bytes) -> bytes:
        nonlocal what
        content, what = mutate(content, rng)
        return content

    return change_zip(data, "/data.pkl", change), f"data.pkl: {what}"


def _other_weights(name: str, value: Any, rng: Random) -> tuple[dict[str, Any], str]:
    import torch

    how = rng.choice(("missing", "shorter", "renamed", "double", "NaN", "huge"))
    if how == "shorter":
        return {name: value[:1]}, how
    if how == "renamed":
        return {name + "x": value}, how
    if how == "double":
        return {name: value.double()}, how
    if how == "NaN" and value.is_floating_point():
        return {name: torch.full_like(value, float("nan"))}, how
    if how == "huge":
        return {name: torch.zeros(1).expand(10**12)}, how
    return {}, "missing"


def _in_the_configuration(data: bytes, rng: Random) -> tuple[bytes, str]:
    """An honest checkpoint but for one to three values of its configuration, or of its model's names and tensors."""
    import torch

    state = torch.load(io.BytesIO(data), weights_only=False)
    what = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        part = rng.choice(("model", "model", "task", "weights", "checkpoint"))
        if part == "weights":
            name = rng.choice(sorted(state["model"]))
            value = state["model"].pop(name)
            changed, how = _other_weights(name, value, rng)
            state["model"].update(changed)
            what.append(f"{name} {how}")
            continue
        section = state["cfg"][part]
        section = vars(section) if hasattr(section, "__dict__") and not isinstance(section, dict) else section
        key = rng.choice([key for key in section if key != "_name"])
        section[key] = rng.choice(ODD_VALUES)
        what.append(f"{part}.{key} = {str(section[key])[:30]!r}")
    out = io.BytesIO()
    torch.save(state, out)
    return out.getvalue(), ", ".join(what)


ODD_VALUES: tuple[Any, ...] = (
    None, -1, 0, 1, 7, 10**6, 10**12, 10**30, 2.5, float("nan"), float("inf"), "", "x", "emb,1-99", "9" * 5000, True,
    [], [1, 2], {}, {"a": {"b": 1}}, "../../etc", "en,xx", "\0", "\ud800",
)  # fmt: skip

TEXT = tuple(f"files/text.txt{end}" for end in ("", ".gz", ".bz2", ".xz", ".zst"))
BIN = tuple(f"union/{lang}/train.{end}" for lang in ("en", "fr") for end in ("bin", "idx"))
ARCHIVES = tuple(f"files/raw/{n}" for n in ("nli/multinli_1.0.zip", "nli/XNLI-1.0.zip", "wikiann/panx_dataset.zip"))
TREEBANKS = "files/raw/ud/ud-treebanks-v2.3.tgz"
LABELLED = ("nli/en.train.tsv", "ner/en.train.tsv", "ud/en_toy-ud-train.conllu")

READERS = (
    Reader("text", TEXT, text),
    Reader("lines", ("files/text.txt", "files/lines.jsonl"), lines_to_sentences, 0.5),
    Reader("binarised text", ("text/en.train.txt", "text/fr.valid.txt"), binarised_text, 0.1),
    Reader("dict.txt", ("union/dict.txt", "union/en/dict.txt"), dict_txt),
    Reader("spm.model", ("union/en/spm.model", "union/fr/spm.model"), segmenter),
    Reader("data-bin", BIN, token_files),
    Reader("batches", (*BIN, "union/dict.txt", "union/manifest.json"), batches, 0.3),
    Reader("manifest.json", ("union/manifest.json",), manifest),
    Reader("data-bin there already", ("union/manifest.json",), rebuild, 0.3),
    Reader("notes.json", ("text/notes.json",), notes),
    Reader("CoNLL-U", ("ud/en_toy-ud-train.conllu",), conllu),
    Reader("BIO", ("ner/en.train.tsv",), bio),
    Reader("CoNLL 2003", ("files/conll.txt",), conll2003),
    Reader("NLI TSV", ("nli/en.train.tsv",), nli),
    Reader("labelled tasks", LABELLED, labelled_tasks, 0.2),
    Reader("dictionaries", ("files/pairs.txt", "files/weighted.tsv"), dictionaries),
    Reader("parallel table", ("files/table.tsv",), parallel_table),
    Reader("aligned files", ("files/aligned.en", "files/aligned.fr"), aligned),
    Reader("Pharaoh", ("files/links.pharaoh",), pharaoh),
    Reader(".vec", ("files/vectors.vec",), vectors),
    Reader("word means", ("files/means/words.tsv", "files/means/means.npy"), word_means),
    Reader("results.jsonl", ("files/results.jsonl",), results),
    Reader("PanLex SQLite", ("files/db.sqlite",), panlex),
    Reader("grid.toml", ("files/grid.toml",), grid),
    Reader("machine.toml", ("files/machine.toml",), machine),
    Reader("stage record", ("files/record.json",), record),
    Reader("MediaWiki dump", ("files/wiki.xml",), wikipedia, 0.5),
    Reader("metrics.jsonl", ("files/metrics.jsonl",), metrics_log, 0.1),
    Reader("archives", (*ARCHIVES, TREEBANKS), archives, 0.5),
    Reader("checkpoint bytes", ("save/checkpoint_last.pt",), checkpoint_bytes, 0.5),
    Reader("checkpoint pickle", ("save/checkpoint_last.pt",), checkpoint_bytes, 0.5, _in_the_pickle),
    Reader("checkpoint to model", ("save/checkpoint_last.pt",), checkpoint_model, 0.3, _in_the_configuration),
)
