"""Pretraining through fairseq: end to end, resuming, two processes."""

import gc
import hashlib
import itertools
import json
import logging
import multiprocessing
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fairseq.tasks import setup_task

from fairseq_xling.checkpoints import read_state
from fairseq_xling.data.blocks import TokenFile
from fairseq_xling.data.masked_lm_dataset import BatchMasker
from fairseq_xling.tasks.masked_lm import XlingMaskedLMTask

from .pretraining import ROOT, assert_equal_states, command, configuration, load, run, train, write_data

SPLITS = ("train", "valid")


@pytest.fixture
def batches(monkeypatch):
    """Every batch that is made: (split, epoch, batch, language, hash of the masked input)."""
    seen = []
    original = BatchMasker.sample

    def sample(self, blocks, language, key, *numbers):
        made = original(self, blocks, language, key, *numbers)
        digest = hashlib.sha256(made["net_input"]["src_tokens"].numpy().tobytes()).hexdigest()
        seen.append((*key, language, digest))
        return made

    monkeypatch.setattr(BatchMasker, "sample", sample)
    return seen


def test_end_to_end_learns_and_says_what_it_does(shared, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    state = train(shared, tmp_path, "--max-update", 60, "--separate", "1-2", "--blocks", "sentence")
    log = caplog.text
    assert re.search(r"an epoch: 20 sequences, about [\d,]+ tokens, 5 updates of 4 x 1 workers x 1", log)
    assert re.search(r"en +60 +\d+ +60 +0\.6190", log)  # (2/3)^0.7 / ((2/3)^0.7 + (1/3)^0.7)
    assert "language-specific parts: 1-2" in log
    assert re.search(r"updates/s; the 40 updates left take about 0\.0\d hours", log)
    total = sum(v.numel() for k, v in state["model"].items() if not k.endswith("vocabulary_hash"))
    own = sum(v.numel() for k, v in state["model"].items() if ".en." in k)
    said = f"parameters: {total:,} in all; shared {total - 2 * own:,}; of one language alone: en {own:,}, fr {own:,}"
    assert said in log
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    training = [line for line in lines if line["phase"] == "train_inner"]
    assert [line["update"] for line in training] == list(range(1, 61))
    assert training[-1]["nats"] < training[0]["nats"] - 0.3
    valid = [line for line in lines if line["phase"] == "valid"][-1]
    for name in ("", "_en", "_fr"):
        assert valid[f"loss{name}"] == pytest.approx(valid[f"nats{name}"] / 0.693147, abs=2e-3)  # bits and nats
        assert valid[f"ppl{name}"] == pytest.approx(2 ** valid[f"loss{name}"], rel=2e-3)


def test_an_epoch_is_all_blocks_and_validation_leaves_out_no_token(shared):
    """Training drops the rest of a stream that does not fill a block."""
    cfg = configuration(shared, "nowhere", "--epoch-sequences", 0)
    task = setup_task(cfg.task)
    task.build_model(cfg.model)
    tokens = {split: [len(TokenFile(shared / lang / split).tokens) for lang in ("en", "fr")] for split in SPLITS}
    for split in SPLITS:
        task.load_dataset(split)
        task.datasets[split].lay_out(4)
    assert task.datasets["train"].epoch_sequences == sum(count // 16 for count in tokens["train"])
    valid = task.datasets["valid"]
    assert any(count % 16 for count in tokens["valid"])
    assert sum(valid[0, batch]["ntokens"] for batch in range(len(valid))) == sum(tokens["valid"])


@pytest.mark.parametrize("options", [[], ["--bf16-autocast"]])
def test_batches_in_which_nothing_is_predicted(shared, tmp_path, options):
    """One short sentence each, of which most have no chosen token; and dropout."""
    train(shared, tmp_path, "--blocks", "sentence", "--batch-size", 1, "--max-update", 30, *options)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    updates = [line for line in lines if line["phase"] == "train_inner"]
    assert any("nats" not in line for line in updates)
    assert sum("nats" in line for line in updates) > 5


@pytest.mark.parametrize("options", [[], ["--bf16-autocast"], ["--separate", "emb,1", "--blocks", "sentence"]])
@pytest.mark.parametrize("stop", [3, 8])  # in the middle of the first and of the second epoch
def test_resuming_is_exact(shared, tmp_path, batches, options, stop):
    def training_batches():
        taken = [batch for batch in batches if batch[0] > 0]  # validation is epoch 0
        batches.clear()
        return list(dict.fromkeys(taken))  # fairseq makes the first batch of an iterator twice

    whole = train(shared, tmp_path / "whole", "--max-update", 12, *options)
    expected = training_batches()
    train(shared, tmp_path / "parts", "--max-update", stop, *options)
    before = training_batches()
    parts = train(shared, tmp_path / "parts", "--max-update", 12, *options)
    after = training_batches()
    assert len(expected) >= 12
    assert list(dict.fromkeys(before[:stop] + after))[:12] == expected[:12]
    assert_equal_states(whole, parts)
    updates = [json.loads(x) for x in (tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()]
    assert [x["update"] for x in updates if x["phase"] == "train_inner"] == list(range(1, 13))


def test_a_kill_after_the_save_of_an_epoch_loses_no_line(shared, tmp_path):
    """fairseq saves, then logs the epoch; a run that goes on writes the line, and does not add it to the next epoch."""
    options = ("--epoch-sequences", 20, "--batch-size", 4)  # 5 updates an epoch
    train(shared, tmp_path / "whole", "--max-update", 12, *options)
    train(shared, tmp_path / "parts", "--max-update", 5, *options)
    log = tmp_path / "parts" / "metrics.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(line for line in lines if '"phase": "train"' not in line))
    train(shared, tmp_path / "parts", "--max-update", 12, *options)
    names = ("phase", "update", "loss", "nats_en", "gnorm", "lr", "bsz")
    whole, parts = (
        [tuple(json.loads(x).get(name) for name in names) for x in (tmp_path / run / "metrics.jsonl").open()]
        for run in ("whole", "parts")
    )
    assert [line[:2] for line in parts if line[0] == "train"] == [("train", 5), ("train", 10), ("train", 12)]
    assert sorted(whole) == sorted(parts)


def test_another_runs_checkpoint_brings_no_line_of_its_log(shared, tmp_path):
    train(shared, tmp_path / "first", "--max-epoch", 1)
    source = tmp_path / "first" / "checkpoint_last.pt"
    train(shared, tmp_path / "second", "--restore-file", source, "--max-epoch", 2)
    lines = [json.loads(line) for line in (tmp_path / "second" / "metrics.jsonl").read_text().splitlines()]
    assert {line["epoch"] for line in lines} == {2}


def test_patience_is_kept_when_a_run_goes_on(shared, tmp_path):
    """A rate of next to nothing, so that no validation after the first is better; 5 updates an epoch."""
    options = ("--patience", 3, "--lr", 1e-30, "--max-epoch", 9)

    def validations(run):
        lines = map(json.loads, (tmp_path / run / "metrics.jsonl").open())
        return [line["update"] for line in lines if line["phase"] == "valid"]

    train(shared, tmp_path / "whole", *options)
    assert validations("whole") == [5, 10, 15, 20]
    train(shared, tmp_path / "parts", *options, "--max-epoch", 2)
    train(shared, tmp_path / "parts", *options)
    assert validations("parts") == [5, 10, 15, 20]
    train(shared, tmp_path / "parts", *options)  # has ended
    assert validations("parts") == [5, 10, 15, 20]
    train(shared, tmp_path / "tuned", *options, "--finetune-from-model", tmp_path / "whole" / "checkpoint_last.pt")
    assert validations("tuned") == [5, 10, 15, 20]


def test_patience_begins_anew_with_another_measure_or_fresh_meters(shared, tmp_path):
    """Nats are fewer than bits: by their best no later loss would be better, nor the best checkpoint be another."""

    def validations():
        lines = map(json.loads, (tmp_path / "metrics.jsonl").open())
        return [line["update"] for line in lines if line["phase"] == "valid"]

    options = ("--patience", 2, "--lr", 0.003)
    train(shared, tmp_path, *options, "--max-epoch", 2, "--best-checkpoint-metric", "nats")
    train(shared, tmp_path, *options, "--max-epoch", 5)
    assert validations() == [5, 10, 15, 20, 25]
    best = read_state(tmp_path / "checkpoint_best.pt")
    assert best["optimizer_history"][-1]["num_updates"] == 25
    resting = ("--patience", 2, "--lr", 1e-30, "--max-epoch", 9, "--reset-lr-scheduler")
    train(shared, tmp_path, *resting)
    train(shared, tmp_path, *resting)  # has ended
    assert validations() == [5, 10, 15, 20, 25, 30, 35]
    train(shared, tmp_path, *resting, "--reset-meters")
    assert validations()[7:] == [40, 45]


def test_loader_workers_change_nothing(shared, tmp_path):
    alone = train(shared, tmp_path / "alone", "--max-update", 7)
    helped = train(shared, tmp_path / "helped", "--max-update", 7, "--num-workers", 2)
    assert_equal_states(alone, helped)


def test_a_run_that_ends_within_an_epoch_leaves_no_loader_behind(shared, tmp_path):
    result = run(shared, tmp_path, "--max-update", 2, "--num-workers", 1, "--epoch-sequences", 4000, limit=90)
    assert result.returncode == 0, result.stderr
    # its own loaders, which it ends, are no failure that it tells of
    assert not any(word in result.stderr for word in ("died", "killed", "Traceback")), result.stderr


def test_loaders_of_training_and_validation_end_with_their_batches(shared, tmp_path, monkeypatch):
    begin, alive = XlingMaskedLMTask.begin_epoch, []

    def counted(self, epoch, model):
        alive.append(len(multiprocessing.active_children()))
        return begin(self, epoch, model)

    monkeypatch.setattr(XlingMaskedLMTask, "begin_epoch", counted)
    gc.collect()
    gc.disable()  # it would find them, some time
    try:
        train(shared, tmp_path, "--max-epoch", 4, "--num-workers", 1)
    finally:
        gc.enable()
    assert alive == [0, 0, 0, 0]


def test_autocast_computes_in_bf16_and_keeps_fp32_weights(shared, tmp_path):
    exact = train(shared, tmp_path / "fp32", "--max-update", 5)
    rounded = train(shared, tmp_path / "bf16", "--max-update", 5, "--bf16-autocast")
    for name, value in rounded["model"].items():
        if value.is_floating_point():
            assert value.dtype == torch.float32
            assert torch.allclose(value, exact["model"][name], atol=0.05)
    assert any(not torch.equal(value, exact["model"][name]) for name, value in rounded["model"].items())


def train_by_two(data, save_dir, *options):
    """`train` by two processes, which talk through gloo."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        subprocess.Popen(
            command(
                data, save_dir, *options, "--distributed-world-size", 2, "--distributed-rank", rank,
                "--distributed-backend", "gloo", "--distributed-no-spawn", "--ddp-backend", "legacy_ddp",
                "--distributed-init-method", f"tcp://127.0.0.1:{port}",
            ),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    return load(save_dir)


# Adam's first steps blow up rounding where a gradient is next to zero, hence the large epsilon
@pytest.mark.parametrize(
    "optimizer",
    [["sgd", "--lr", 1], ["xling_adam", "--lr", 0.01, "--adam-eps", 1e-3, "--weight-decay", 0.1]],
    ids=lambda words: words[0],
)
def test_two_processes_agree_with_one_on_the_same_batches(shared, tmp_path, optimizer):
    """Also in updates in which all processes have drawn one language: the parts of the others stay as they are."""
    options = ["--max-update", 16, "--separate", "1-2", "--dropout", 0, "--optimizer", *optimizer]
    one = train(shared, tmp_path / "one", *options, "--update-freq", 2)
    two = train_by_two(shared, tmp_path / "two", *options)
    for name, value in one["model"].items():
        assert torch.allclose(value, two["model"][name], atol=1e-6), name


def test_two_processes_of_which_one_has_a_batch_less_in_an_update_that_accumulates(shared, tmp_path):
    """7 batches an epoch: in its last update one process has two batches, the other one and a dummy."""
    options = ["--max-update", 4, "--dropout", 0, "--optimizer", "sgd", "--lr", 1, "--epoch-sequences", 28]
    one = train(shared, tmp_path / "one", *options, "--update-freq", 4)
    two = train_by_two(shared, tmp_path / "two", *options, "--update-freq", 2)
    for name, value in one["model"].items():
        assert torch.allclose(value, two["model"][name], atol=1e-6), name


def test_ranks_draw_different_languages_in_one_update(shared, tmp_path, batches):
    train(shared, tmp_path, "--max-update", 8, "--update-freq", 2)
    languages = {}
    for epoch, batch, language, _ in batches:
        languages[epoch, batch] = language
    pairs = [{languages[e, b], languages[e, b + 1]} for e in (1, 2, 3) for b in (0, 2)]
    assert {"en", "fr"} in pairs  # so the test above did mix languages


@pytest.mark.parametrize("separate", ["emb", "emb,1-3", "1,3-4"])
def test_separate_vocabularies_and_any_choice_of_parts(separate, tmp_path, request):
    data = request.getfixturevalue("per_language" if "emb" in separate else "shared")
    state = train(data, tmp_path, "--max-update", 2, "--separate", separate)
    assert any(".en." in name for name in state["model"])


def test_one_language(shared, tmp_path):
    state = train(shared, tmp_path, "--max-update", 2, "--langs", "fr")
    assert not any(".en." in name for name in state["model"])


def test_random_words_of_the_own_language(shared, tmp_path):
    """The counts of `<lang>/dict.txt` say which symbols are a language's own."""
    data = write_data(tmp_path / "data", {"en": 30, "fr": 30}, symbols=40)
    for lang, own in [("en", range(20)), ("fr", range(20, 40))]:
        (data / lang / "dict.txt").write_text("".join(f"w{i} {int(i in own)}\n" for i in range(40)))
    words = ["--mask-prob", 0.5, "--random-token-prob", 1, "--leave-unmasked-prob", 0, "--max-update", 30]

    def replaced(*extra):
        import fairseq_xling.data.masked_lm_dataset as module

        found = {"en": set(), "fr": set()}
        original = module.BatchMasker.sample

        def sample(self, blocks, language, key, *numbers):
            made = original(self, blocks, language, key, *numbers)
            if key[0] > 0:
                net = made["net_input"]
                found[language] |= set(net["src_tokens"].reshape(-1)[net["masked"]].tolist())
            return made

        module.BatchMasker.sample = sample
        try:
            train(data, tmp_path / "-".join(map(str, ("run", *extra))), *words, *extra)
        finally:
            module.BatchMasker.sample = original
        return found

    assert replaced("--random-words", "own") == {"en": set(range(4, 24)), "fr": set(range(24, 44))}
    assert replaced("--separate", "emb") == {"en": set(range(4, 24)), "fr": set(range(24, 44))}  # forced
    assert all(words == set(range(4, 44)) for words in replaced("--random-words", "all").values())


@pytest.mark.parametrize("blocks", ["stream", "sentence"])
def test_validation_is_masked_in_the_same_way_in_all_runs(shared, tmp_path, monkeypatch, blocks):
    """Whatever the seed, the size of batches and the languages beside it; padding does not matter."""
    original = BatchMasker.sample

    def masked(*extra):
        found = set()

        def sample(self, blocks, language, key, *numbers):
            made = original(self, blocks, language, key, *numbers)
            if key[0] == 0 and language == "fr":
                inputs = made["net_input"]["src_tokens"]
                found.update(tuple(int(token) for token in row if token != 1) for row in inputs)
            return made

        monkeypatch.setattr(BatchMasker, "sample", sample)
        train(shared, tmp_path / "-".join(extra), "--max-update", 1, "--blocks", blocks, *extra)
        return found

    first = masked()
    assert any(64 in block for block in first)  # <mask>
    assert masked("--seed", "8") == masked("--batch-size", "3") == masked("--langs", "fr,en") == first


def test_fairseq_validate_reads_the_checkpoint(shared, tmp_path):
    state = train(shared, tmp_path / "run", "--max-update", 3, "--separate", "1-2")
    program = Path(sys.executable).with_name("fairseq-validate")
    arguments = [shared, "--user-dir", ROOT / "fairseq_xling", "--task", "xling_masked_lm", "--batch-size", 4]
    arguments += ["--path", tmp_path / "run" / "checkpoint_last.pt", "--valid-subset", "valid", "--cpu"]
    result = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=200, check=False)
    assert result.returncode == 0, result.stderr
    lines = [json.loads(x) for x in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    trained = next(line for line in reversed(lines) if line["phase"] == "valid")
    for language in ("en", "fr"):
        found = re.search(rf"nats_{language} ([\d.]+)", result.stdout + result.stderr)
        assert found is not None
        assert float(found[1]) == pytest.approx(trained[f"nats_{language}"], abs=0.002)
    assert state["cfg"]["criterion"]["_name"] == "xling_masked_lm"


def test_the_running_average_of_weights(shared, tmp_path):
    options = ("--store-ema", "--ema-decay", 0.75, "--save-interval-updates", 1)
    train(shared, tmp_path, "--max-update", 3, *options)
    states = [torch.load(tmp_path / f"checkpoint_1_{update}.pt", weights_only=True) for update in (1, 2, 3)]
    for before, after in itertools.pairwise(states):
        for name, average in after["extra_state"]["ema"].items():
            if name.endswith("vocabulary_hash"):
                assert torch.equal(average, after["model"][name])
            else:
                expected = 0.75 * before["extra_state"]["ema"][name] + 0.25 * after["model"][name]
                torch.testing.assert_close(average, expected)
    train(shared, tmp_path, "--max-update", 6, *options)  # and it goes on
