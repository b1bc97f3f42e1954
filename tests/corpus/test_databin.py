"""Data-bins in the four vocabulary modes: what is shared, counted, refused, and what survives interruption."""

import json
import os
import shutil
from collections import Counter

import numpy as np
import pytest
import sentencepiece
from fairseq.data import Dictionary
from fairseq.data.indexed_dataset import MMapIndexedDataset

from fairseq_xling.corpus import databin as databin_module
from fairseq_xling.corpus.anchors import anchor_report
from fairseq_xling.corpus.databin import DatabinOptions, build_databin, describe
from fairseq_xling.data.vocabulary import Segmenter, Vocabularies
from fairseq_xling.formats.errors import InputError
from tests.corpus.worlds import write_lines, write_splits

MODES = ("joint", "union", "prefixed", "separate")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    return {"en": write_splits(folder, "en", "abcdefgh"), "fr": write_splits(folder, "fr", "fghijklm", seed=2)}


@pytest.fixture(scope="module")
def bins(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("bins")
    for mode in MODES:
        build_databin(folder / mode, text, DatabinOptions(mode, 150))
    return folder


def lines_of(text, lang, split="train"):
    return text[lang].with_name(f"{lang}.{split}.txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("mode", MODES)
def test_stock_fairseq_reads_text_back(bins, text, mode):
    """Every folder loads with fairseq's own classes, and the pieces spell the text."""
    for lang in ("en", "fr"):
        folder = bins / mode / lang
        dictionary = Dictionary.load(str(folder / "dict.txt"))
        for split in ("train", "valid", "test"):
            data = MMapIndexedDataset(str(folder / split))
            lines = lines_of(text, lang, split)
            assert len(data) == len(lines)
            for number in (0, len(lines) // 2, len(lines) - 1):
                ids = data[number].tolist()
                assert ids[-1] == dictionary.eos()
                symbols = [dictionary[i] for i in ids[:-1]]
                if mode == "prefixed":
                    assert all(symbol.startswith(f"{lang}:") for symbol in symbols)
                    symbols = [symbol.removeprefix(f"{lang}:") for symbol in symbols]
                assert "".join(symbols).replace("▁", " ").strip() == lines[number]


def test_what_the_modes_share(bins):
    symbols = {
        mode: {lang: Vocabularies.load(bins / mode).dictionary(lang).symbols[4:-1] for lang in ("en", "fr")}
        for mode in MODES
    }
    for mode in ("joint", "union", "prefixed"):
        assert symbols[mode]["en"] == symbols[mode]["fr"]
        assert Vocabularies.load(bins / mode).shared
    assert symbols["separate"]["en"] != symbols["separate"]["fr"]
    assert not Vocabularies.load(bins / "separate").shared
    assert (bins / "joint" / "en" / "spm.model").read_bytes() == (bins / "joint" / "fr" / "spm.model").read_bytes()
    own = {lang: set(symbols["separate"][lang]) for lang in ("en", "fr")}
    assert set(symbols["union"]["en"]) == own["en"] | own["fr"]
    assert set(symbols["prefixed"]["en"]) == {f"{lang}:{s}" for lang in own for s in own[lang]}
    assert len(symbols["prefixed"]["en"]) == len(own["en"]) + len(own["fr"]) > len(symbols["union"]["en"])
    assert not (bins / "separate" / "dict.txt").exists()


@pytest.mark.parametrize("mode", MODES)
def test_identical_strings_across_languages(bins, mode):
    """The same word gets the same ids in both languages where subwords are shared, and other ids where not."""
    english, french = (Segmenter(bins / mode, lang) for lang in ("en", "fr"))
    same = english.encode("2024 ok") == french.encode("2024 ok")
    known = all(i >= 4 for i in english.encode("2024 ok") + french.encode("2024 ok"))
    assert known
    if mode == "joint":
        assert same
    if mode == "prefixed":
        assert not set(english.encode("2024 ok")) & set(french.encode("2024 ok"))
    if mode == "union":
        shared = set(english.pieces("2024")) & set(french.pieces("2024"))
        assert shared
        assert shared <= {Vocabularies.load(bins / mode).dictionary("en")[i] for i in french.encode("2024")}


@pytest.mark.parametrize("mode", MODES)
def test_counts_and_anchors_against_plain_counting(bins, text, mode):
    manifest = json.loads((bins / mode / "manifest.json").read_text())
    usage = {}
    for lang in ("en", "fr"):
        segmenter = Segmenter(bins / mode, lang)
        pieces = Counter(piece for line in lines_of(text, lang) for piece in segmenter.pieces(line))
        dictionary = Dictionary.load(str(bins / mode / lang / "dict.txt"))
        found = {s: n for s, n in zip(dictionary.symbols[4:], dictionary.count[4:], strict=True) if n}
        assert found == dict(pieces)
        assert manifest["counts"][lang]["train"]["tokens"] == sum(pieces.values())
        usage[lang] = pieces
    common = set(usage["en"]) & set(usage["fr"])
    running = {lang: sum(usage[lang][s] for s in common) / sum(usage[lang].values()) for lang in usage}
    anchors = manifest["anchors"]["en-fr"]
    if mode in ("joint", "union"):
        assert anchors["shared"]["subwords"] == len(common) > 0
        assert anchors["shared"]["share_first"] == pytest.approx(running["en"])
        assert anchors["shared"]["share_second"] == pytest.approx(running["fr"])
        assert anchors["shared"] == anchors["strings"]
    else:
        assert anchors["shared"]["subwords"] == 0
        assert anchors["strings"]["subwords"] > 0
    assert "anchors" in describe(manifest)


def test_anchor_report_by_hand():
    report = anchor_report({"a": 3, "b": 1, "c": 0}, {"a": 1, "c": 5, "d": 2})
    assert report == {"subwords": 1, "share_first": 3 / 4, "share_second": 1 / 8, "share": 4 / 12}


def test_the_same_text_gives_the_same_files_with_any_number_of_workers(tmp_path, bins, text):
    build_databin(tmp_path / "again", text, DatabinOptions("union", 150), workers=2)
    for path in sorted((bins / "union").rglob("*")):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(bins / "union")).read_bytes() == path.read_bytes(), path


def test_done_already_is_kept_and_other_options_refused(tmp_path, text, capsys):
    out = tmp_path / "bin"
    first = build_databin(out, text, DatabinOptions("union", 150))
    stamp = (out / "en" / "train.bin").stat().st_mtime_ns
    assert build_databin(out, text, DatabinOptions("union", 150)) == first
    assert "done already" in capsys.readouterr().err
    assert (out / "en" / "train.bin").stat().st_mtime_ns == stamp
    with pytest.raises(InputError, match="other options"):
        build_databin(out, text, DatabinOptions("union", 140))
    with pytest.raises(InputError, match="other inputs"):
        build_databin(out, {"en": text["fr"], "fr": text["en"]}, DatabinOptions("union", 150))
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "precious.txt").write_text("x")
    with pytest.raises(InputError, match="not a data-bin"):
        build_databin(tmp_path / "else", text, DatabinOptions("union", 150))


@pytest.mark.parametrize("stop_at", ["spm.model", "train.bin", "valid.idx", "dict.txt", "manifest.json"])
def test_killed_at_any_point_it_goes_on(tmp_path, bins, text, monkeypatch, stop_at):
    """The process dies, without any clean-up, the moment before a file gets its final name."""
    out = tmp_path / "bin"
    pid = os.fork()
    if pid == 0:
        replace = os.replace

        def die(source, target):
            if str(target).endswith(f"fr/{stop_at}") or str(target).endswith(f"partial/{stop_at}"):
                os._exit(9)
            replace(source, target)

        os.replace = die
        build_databin(out, text, DatabinOptions("prefixed", 150))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    assert not out.exists()
    trained = []
    train = databin_module.train_models
    monkeypatch.setattr(databin_module, "train_models", lambda *args: trained.append(1) or train(*args))
    build_databin(out, text, DatabinOptions("prefixed", 150))
    assert not list(tmp_path.glob("*.partial"))
    whole = {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    other = bins / "prefixed"
    assert whole == {p.relative_to(other): p.read_bytes() for p in other.rglob("*") if p.is_file()}


def test_what_an_interrupted_build_had_done_is_not_done_again(tmp_path, text, monkeypatch):
    out = tmp_path / "bin"
    monkeypatch.setattr(databin_module, "write_manifest", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        build_databin(out, text, DatabinOptions("union", 150))
    monkeypatch.undo()
    monkeypatch.setattr("fairseq_xling.corpus.subwords.train_bpe", lambda *_: pytest.fail("trained again"))
    # settings of another build begin anew
    with pytest.raises(pytest.fail.Exception):
        build_databin(out, text, DatabinOptions("union", 140))


@pytest.mark.parametrize("mode", MODES)
def test_interrupted_and_given_again_with_the_languages_the_other_way_round(tmp_path, text, monkeypatch, mode):
    """The order of the languages is that of the dictionary: ids of the first attempt would be other subwords."""
    binarise = databin_module.binarise

    def stop_at_french(source, target, *arguments):
        if target.parent.name == "fr":
            raise KeyboardInterrupt
        return binarise(source, target, *arguments)

    monkeypatch.setattr(databin_module, "binarise", stop_at_french)
    with pytest.raises(KeyboardInterrupt):
        build_databin(tmp_path / "bin", text, DatabinOptions(mode, 150))
    monkeypatch.undo()
    turned = {lang: text[lang] for lang in ("fr", "en")}
    build_databin(tmp_path / "bin", turned, DatabinOptions(mode, 150))
    build_databin(tmp_path / "other", turned, DatabinOptions(mode, 150))
    for path in (tmp_path / "other").rglob("*.*"):
        assert (tmp_path / "bin" / path.relative_to(tmp_path / "other")).read_bytes() == path.read_bytes()


def test_unknown_tokens_over_one_percent_are_refused(tmp_path, text):
    shutil.copytree(text["en"].parent, tmp_path / "text")
    prefix = {"en": tmp_path / "text" / "en"}
    write_lines(tmp_path / "text" / "en.valid.txt", ["abc 中 abc 国 ab"])
    options = DatabinOptions("joint", 100)
    with pytest.raises(InputError, match="tokens are unknown, more than 1%") as error:
        build_databin(tmp_path / "bin", prefix, options)
    assert error.value.path == tmp_path / "text" / "en.valid.txt"
    manifest = build_databin(tmp_path / "bin", prefix, DatabinOptions("joint", 100, allow_unknown=True))
    assert manifest["counts"]["en"]["valid"]["unknown"] == 2


def test_a_build_refused_for_its_unknown_tokens_goes_on_when_they_are_allowed(tmp_path, text, monkeypatch):
    """At the scale of Wikipedia BPE and binarisation take hours."""
    shutil.copytree(text["en"].parent, tmp_path / "text")
    prefix = {"en": tmp_path / "text" / "en"}
    write_lines(tmp_path / "text" / "en.valid.txt", ["abc 中 abc 国 ab"])
    with pytest.raises(InputError, match="tokens are unknown"):
        build_databin(tmp_path / "bin", prefix, DatabinOptions("joint", 100))
    monkeypatch.setattr("fairseq_xling.corpus.subwords.train_bpe", lambda *_: pytest.fail("trained again"))
    manifest = build_databin(tmp_path / "bin", prefix, DatabinOptions("joint", 100, allow_unknown=True))
    assert manifest["options"]["allow_unknown"]


def test_what_was_binarised_with_unknown_tokens_allowed_is_refused_without(tmp_path, text, monkeypatch):
    shutil.copytree(text["en"].parent, tmp_path / "text")
    prefix = {"en": tmp_path / "text" / "en"}
    write_lines(tmp_path / "text" / "en.valid.txt", ["abc 中 abc 国 ab"])
    monkeypatch.setattr(databin_module, "_finish", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_databin(tmp_path / "bin", prefix, DatabinOptions("joint", 100, allow_unknown=True))
    monkeypatch.undo()
    with pytest.raises(InputError, match="tokens are unknown"):
        build_databin(tmp_path / "bin", prefix, DatabinOptions("joint", 100))
    assert not (tmp_path / "bin").exists()


def interrupted(*_):
    raise KeyboardInterrupt


def test_a_bpe_larger_than_the_text_allows(tmp_path, text):
    with pytest.raises(InputError, match=r"this text gives at most (\d+)") as error:
        build_databin(tmp_path / "bin", {"en": text["en"]}, DatabinOptions("joint", 50_000))
    largest = int(str(error.value).split("at most ")[1].split(";")[0])
    manifest = build_databin(tmp_path / "bin", {"en": text["en"]}, DatabinOptions("joint", 50_000, shrink=True))
    assert manifest["vocabulary"]["en"]["symbols"] == largest - 3


def test_a_bpe_too_small_for_the_characters(tmp_path, text):
    with pytest.raises(InputError, match="cannot hold the characters"):
        build_databin(tmp_path / "bin", {"en": text["en"]}, DatabinOptions("joint", 5))


def test_missing_and_empty_text(tmp_path, text):
    with pytest.raises(InputError, match="no train text for de"):
        build_databin(tmp_path / "bin", {"de": tmp_path / "de"}, DatabinOptions())
    shutil.copytree(text["en"].parent, tmp_path / "text")
    write_lines(tmp_path / "text" / "en.train.txt", ["", ""])
    with pytest.raises(InputError, match="no words") as error:
        build_databin(tmp_path / "bin", {"en": tmp_path / "text" / "en"}, DatabinOptions())
    assert error.value.path == tmp_path / "text" / "en.train.txt"
    with pytest.raises(InputError, match="expected one of joint"):
        DatabinOptions("mixed")


def test_bpe_is_that_of_sentencepiece_on_the_whole_text(tmp_path, text):
    """Counting words first changes nothing."""
    model = (
        build_databin(tmp_path / "bin", {"en": text["en"]}, DatabinOptions("joint", 120)),
        tmp_path / "bin/en/spm.model",
    )[1]
    sentencepiece.SentencePieceTrainer.train(
        input=f"{text['en']}.train.txt",
        model_prefix=str(tmp_path / "spm"),
        model_type="bpe",
        vocab_size=120,
        character_coverage=0.9999,
        minloglevel=2,
    )
    ours, theirs = (
        sentencepiece.SentencePieceProcessor(model_file=str(path)) for path in (model, tmp_path / "spm.model")
    )
    assert [ours.id_to_piece(i) for i in range(120)] == [theirs.id_to_piece(i) for i in range(120)]


def test_sizes_fit_numpy_types(bins):
    data = MMapIndexedDataset(str(bins / "joint" / "en" / "train"))
    assert data._index.dtype is np.uint16
