"""Back-translation: the round trip through fairseq's translation task, and its quality."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest

from fairseq_xling.evaluation.back_translation import SOURCE, TARGET, BackTranslator, TranslationOptions, quality
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.results import parse_signature, read_results


def test_quality_is_sacrebleus_with_its_signature():
    scores = {score.metric: score for score in quality(["a b c d e"], ["a b c d e"])}
    assert scores["bleu"].value == pytest.approx(100)
    assert scores["chrf"].value == pytest.approx(100)
    assert "tok:none" in scores["bleu"].signature
    assert "version:" in scores["chrf"].signature


def test_raw_text_is_tokenised_for_bleu_alone():
    bleu, _ = quality(["He said: well, no."], ["He said : well , no ."], raw=True)
    assert bleu.value == pytest.approx(100)
    assert "tok:13a" in bleu.signature
    assert quality(["He said: well, no."], ["He said : well , no ."])[0].value < 50


class Translator:
    """Stands for the two models: upper case there, and back in reverse order of words."""

    given: ClassVar[dict] = {}

    def __init__(self, folder, options):
        self.folder = folder

    def prepare(self, train, valid):
        self.given.update(train=train, valid=valid)

    def train(self, source, target):
        pass

    def translate(self, sentences, source, target):
        return [text.upper() for text in sentences]

    def paraphrase(self, sentences):
        return [], [" ".join(reversed(text.split())) for text in sentences]


def test_sentences_come_from_a_table_and_are_lower_cased(command, tmp_path, monkeypatch):
    monkeypatch.setattr("fairseq_xling.evaluation.back_translation.BackTranslator", Translator)
    (tmp_path / "text.en").write_text("One\n\nTwo three.\nFour\n")
    (tmp_path / "text.fr").write_text("Un\nVide\nDeux trois.\nQuatre\n")
    (tmp_path / "sentences.tsv").write_text("fr\ten\nBon\tGood day\nRien\t\nOui\tYes\n")
    bitext = ["--parallel", tmp_path / "text.en", tmp_path / "text.fr", "--valid", 1]
    sentences = ["--sentences", tmp_path / "sentences.tsv"]
    results = ["--results", tmp_path / "results.jsonl"]
    command("paraphrase", tmp_path, *bitext, *sentences, "--languages", "en", "fr", "--raw", "--lower", *results)
    assert Translator.given == {
        "train": (["one", "two three."], ["un", "deux trois."]),
        "valid": (["four"], ["quatre"]),
    }
    assert (tmp_path / "paraphrases.tsv").read_text() == "good day\tday good\nyes\tyes\n"
    parts = [parse_signature(line.signature) for line in read_results(tmp_path / "results.jsonl")]
    assert {part["casing"] for part in parts} == {"lower"}
    assert [line.pair for line in read_results(tmp_path / "results.jsonl")][::2] == ["en-fr", "fr-en", "en-fr-en"]
    with pytest.raises(InputError, match=r"sentences\.tsv: a table of sentences needs --languages"):
        command("paraphrase", tmp_path, *bitext, *sentences)
    with pytest.raises(InputError, match=r"sentences\.tsv:1: no language 'de': there are fr, en"):
        command("paraphrase", tmp_path, *bitext, *sentences, "--languages", "de", "fr")
    with pytest.raises(InputError, match="expected a table or two files, found 3 files"):
        command("paraphrase", tmp_path, *bitext[:3], tmp_path / "text.en", *sentences, "--languages", "en", "fr")


def test_finished_paraphrases_are_scored(command, tmp_path):
    (tmp_path / "p.tsv").write_text("a b c d e\ta b c d e\nf g\tf h\n")
    options = [tmp_path, "--finished", tmp_path / "p.tsv", "--results", tmp_path / "results.jsonl"]
    command("paraphrase", *options)
    lines = read_results(tmp_path / "results.jsonl")
    assert [(line.metric, line.n) for line in lines] == [("bleu", 2), ("chrf", 2)]
    assert "version=" in parse_signature(lines[0].signature)["rule"]
    (tmp_path / "p.tsv").write_text("a\tb\nonly one\n")
    with pytest.raises(InputError, match=r"p\.tsv:2: expected sentence and paraphrase, found 1 columns"):
        command("paraphrase", *options)


@pytest.mark.slow
def test_two_small_models_there_and_back(tmp_path):
    words = [f"w{i}" for i in range(12)]
    sources = [" ".join(words[(3 * i + j) % 12] for j in range(1 + i % 4)) for i in range(200)]
    targets = [" ".join(word.replace("w", "v") for word in source.split()) for source in sources]
    options = TranslationOptions(bpe_size=60, updates=60, tokens=400, learning_rate=5e-3, cpu=True)
    maker = BackTranslator(tmp_path, options, say=lambda text: None)
    maker.prepare((sources[20:], targets[20:]), (sources[:20], targets[:20]))
    for direction in ((SOURCE, TARGET), (TARGET, SOURCE)):
        assert maker.train(*direction).is_file()
    there, back = maker.paraphrase(["w1 w4", "", "w2"])
    assert there[1] == back[1] == ""
    assert all(word.startswith("v") for word in " ".join(there).split())
    assert all(word.startswith("w") for word in " ".join(back).split())
    stamp = (tmp_path / f"{SOURCE}-{TARGET}" / "checkpoint_best.pt").stat().st_mtime_ns
    BackTranslator(tmp_path, options, say=lambda text: None).train(SOURCE, TARGET)
    assert (tmp_path / f"{SOURCE}-{TARGET}" / "checkpoint_best.pt").stat().st_mtime_ns == stamp


def test_a_folder_made_of_other_text_or_with_other_options_is_refused(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(BackTranslator, "_fairseq", lambda self, program, *_, **__: started.append(program) or "")
    text = (["a b", "b a"] * 50, ["c d", "d c"] * 50), (["a"], ["c"])
    (tmp_path / "data-bin").mkdir()  # stands for what fairseq-preprocess makes
    options = TranslationOptions(bpe_size=60, updates=600)

    def maker(**changes):
        return BackTranslator(tmp_path, replace(options, **changes), say=lambda text: None)

    maker().prepare(*text)
    maker(beam=1, cpu=True, updates=20_000).prepare(*text)
    for changes, sentences in (({"bpe_size": 70}, text), ({}, (text[0][::-1], text[1]))):
        with pytest.raises(InputError, match=r"text\.made_with: made with bpe_size 60, text .* not bpe_size"):
            maker(**changes).prepare(*sentences)
    maker().train(SOURCE, TARGET)
    maker(beam=1, cpu=True).train(SOURCE, TARGET)  # neither changes the model
    assert started == ["fairseq-train"]
    with pytest.raises(InputError, match=r"made with arch transformer_tiny, updates 600, .* not .* updates 20000"):
        maker(updates=20_000).train(SOURCE, TARGET)


def test_a_model_of_the_code_before_is_held_to_the_options_in_done(tmp_path):
    """It noted them in `done` alone; `text.made_with` and the like came later."""
    (tmp_path / "src-tgt").mkdir()
    (tmp_path / "src-tgt" / "done").write_text(f"{TranslationOptions(updates=2000, learning_rate=1e-5)}\n")
    with pytest.raises(InputError, match=r"made with .* updates 2000, .* not .* updates 100"):
        BackTranslator(tmp_path, TranslationOptions(updates=100, learning_rate=1e-5)).train(SOURCE, TARGET)
    options = TranslationOptions(updates=2000, learning_rate=1e-5)
    assert BackTranslator(tmp_path, options).train(SOURCE, TARGET).name == "checkpoint_best.pt"
    with pytest.raises(InputError, match="updates 2000"):
        BackTranslator(tmp_path, replace(options, updates=100)).train(SOURCE, TARGET)
