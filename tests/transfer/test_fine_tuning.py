"""Fine-tuning through fairseq: what is learnt, what is frozen, resuming, and what is refused."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from fairseq import checkpoint_utils

from fairseq_xling.checkpoints import read_state
from fairseq_xling.evaluation.grid import train as fairseq_train
from fairseq_xling.evaluation.zero_shot import FineTuned
from fairseq_xling.formats.errors import InputError
from fairseq_xling.models.transfer import read_pretrained
from fairseq_xling.tasks.throughput import TimedBatches
from fairseq_xling.tasks.transfer import TransferTask

from ..tasks import without_values
from ..tasks.pretraining import assert_equal_states, load
from . import world

FOLDER = {"classification": "nli", "tagging": "ner", "parsing": "ud"}


def train(task, data, model, save_dir, *extra):
    databin, pretrained = model
    folder = data / FOLDER[task] if (data / FOLDER[task]).is_dir() else data
    fairseq_train(world.arguments(task, folder, databin, pretrained, save_dir, *extra))
    return load(save_dir)


def encoder_of(state):
    return {name: value for name, value in state["model"].items() if name.startswith("encoder.")}


@pytest.mark.parametrize("task", ["classification", "tagging", "parsing"])
def test_each_task_learns_and_the_checkpoint_stands_alone(task, data, shared_model, tmp_path):
    databin, pretrained = shared_model
    moved = shutil.copy(pretrained, tmp_path / "pretrained.pt")
    train(task, data, (databin, moved), tmp_path / "run", "--max-epoch", 12)
    Path(moved).unlink()
    finetuned = FineTuned.load(tmp_path / "run" / "checkpoint_best.pt")
    evaluation = finetuned.evaluate("en", "test")
    main = evaluation.scores[0]
    assert main.metric == world.TASKS[task]
    assert main.value > evaluation.baselines.chance[main.metric] + 0.3
    assert main.value > evaluation.baselines.majority[main.metric] + 0.05
    (model,), _, _ = checkpoint_utils.load_model_ensemble_and_task([str(tmp_path / "run" / "checkpoint_best.pt")])
    assert model.state_dict().keys() == read_state(tmp_path / "run" / "checkpoint_best.pt")["model"].keys()


@pytest.mark.parametrize("task", ["classification", "tagging", "parsing"])
def test_a_step_asks_the_device_for_no_value(task, data, separate_model, tmp_path, monkeypatch):
    losses = without_values.watch(monkeypatch, TransferTask)
    train(task, data, separate_model, tmp_path, "--max-update", 2, "--optimizer", "xling_adam")
    without_values.assert_none_has_a_value(losses)


def test_fairseqs_own_precision_is_not_put_around_ours(data, shared_model, tmp_path, monkeypatch):
    """It switches bfloat16 off on a GPU."""
    monkeypatch.setattr(torch.cuda.amp, "autocast", None)
    train("tagging", data, shared_model, tmp_path, "--max-update", 1, "--bf16-autocast")


@pytest.mark.parametrize("task", ["classification", "parsing"])
def test_language_specific_parts_are_bit_equal_afterwards(task, data, separate_model, tmp_path):
    before = encoder_of(read_state(separate_model[1]))
    after = encoder_of(train(task, data, separate_model, tmp_path, "--max-epoch", 1))
    assert before.keys() == after.keys()
    for name, value in after.items():
        own = ".en." in name or ".fr." in name
        assert torch.equal(value, before[name]) == (own or "hash" in name), name


def test_the_source_languages_parts_are_trained_when_asked(data, separate_model, tmp_path):
    before = encoder_of(read_state(separate_model[1]))
    after = encoder_of(train("tagging", data, separate_model, tmp_path, "--max-epoch", 1, "--train-language-specific"))
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert any(".en." in name for name in changed)
    assert not any(".fr." in name for name in changed)


def test_the_target_language_goes_through_its_own_layers(data, separate_model, tmp_path):
    train("tagging", data, separate_model, tmp_path, "--max-epoch", 1)
    finetuned = FineTuned.load(tmp_path / "checkpoint_last.pt")
    tokens = torch.tensor([[2, 5, 6, 7, 2]])
    english, french = (finetuned.model.encoder(tokens, language)[-1] for language in ("en", "fr"))
    assert not torch.allclose(english, french, atol=1e-3)
    own = dict(finetuned.model.encoder.named_parameters())
    with torch.no_grad():
        for name, parameter in own.items():
            if ".fr." in name:
                parameter.zero_()
    assert torch.equal(finetuned.model.encoder(tokens, "en")[-1], english)
    assert not torch.allclose(finetuned.model.encoder(tokens, "fr")[-1], french, atol=1e-3)


def test_no_thread_reads_ahead_in_validation(data, shared_model, tmp_path, monkeypatch):
    """fairseq-validate ended in three of thirty runs with "terminate called without an active exception"."""
    sizes = {}
    over = TimedBatches.over

    def noted(dataset, options, buffered):
        sizes.setdefault(len(dataset.items), set()).add((buffered, options["num_workers"]))
        return over(dataset, options, buffered)

    monkeypatch.setattr(TimedBatches, "over", noted)
    train("tagging", data, shared_model, tmp_path, "--max-epoch", 1, "--num-workers", 1)
    numbers = sorted(sizes)
    assert len(numbers) == 2  # dev and training sentences
    assert sizes[numbers[0]] == {(False, 1)}
    assert sizes[numbers[1]] == {(True, 1)}


@pytest.mark.parametrize("stop", [2, 6])
def test_resuming_is_exact(data, shared_model, tmp_path, stop):
    options = ["--feature-dropout", 0.2, "--head-lr", 0.02, "--lr-scheduler", "polynomial_decay",
               "--total-num-update", 9, "--warmup-updates", 2]  # fmt: skip
    whole = train("tagging", data, shared_model, tmp_path / "whole", "--max-update", 9, *options)
    train("tagging", data, shared_model, tmp_path / "parts", "--max-update", stop, *options)
    parts = train("tagging", data, shared_model, tmp_path / "parts", "--max-update", 9, *options)
    assert_equal_states(whole, parts)


@pytest.mark.parametrize(("had", "done", "has", "left"), [(1, 2, 2, [2, 3]), (2, 1, 1, [2, 3]), (2, 1, 2, [2, 3])])
def test_another_number_of_processes_goes_on_behind_the_batches_that_were_read(
    data, shared_model, tmp_path, had, done, has, left
):
    """Of four batches; two processes have read two of them when each has read one."""
    train("tagging", data, shared_model, tmp_path, "--max-update", 1)
    finetuned = FineTuned.load(tmp_path / "checkpoint_last.pt", data=data / "ner")
    task, seen = finetuned.task, []
    task.load_dataset("train")

    def shards(number):
        options = {"max_sentences": 16, "num_shards": number, "epoch": 1}
        return [task.get_batch_iterator(task.datasets["train"], shard_id=shard, **options) for shard in range(number)]

    before = shards(had)[0]
    batches = before.next_epoch_itr(shuffle=False)
    for _ in range(done):
        next(batches)
    for shard in shards(has):
        shard.load_state_dict(before.state_dict())
        seen += [sample["id"].tolist() for sample in shard.next_epoch_itr(shuffle=False)]
    members = [chosen.tolist() for chosen in task.datasets["train"].members(1)]
    assert sorted(members.index(each) for each in seen) == left


def test_dropout_as_in_pretraining_unless_given(data, shared_model, tmp_path):
    train("tagging", data, shared_model, tmp_path / "a", "--max-update", 1)
    train("tagging", data, shared_model, tmp_path / "b", "--max-update", 1, "--encoder-dropout", 0.25)
    train("tagging", data, shared_model, tmp_path / "c", "--max-update", 1, "--encoder-dropout", 0)  # none is a choice
    shapes = [FineTuned.load(tmp_path / name / "checkpoint_last.pt").description.shape for name in "abc"]
    assert [(shape.dropout, shape.attention_dropout) for shape in shapes] == [(0.1, 0.1), (0.25, 0.25), (0.0, 0.0)]


def test_the_training_data_follow_from_the_seed_and_the_examples_of_an_epoch(data, shared_model, tmp_path):
    train("tagging", data, shared_model, tmp_path, "--max-update", 1, "--seed", 5, "--epoch-examples", 20)
    task = FineTuned.load(tmp_path / "checkpoint_last.pt", data=data / "ner").task
    task.load_dataset("train")
    chosen = sorted(index for batch in task.datasets["train"].members(1) for index in batch.tolist())
    assert chosen == sorted(np.random.default_rng([5, 0]).permutation(64)[:20].tolist())


@pytest.mark.parametrize(
    ("options", "longest"), [([], r"1[456]"), (["--longest-row", 8], "8"), (["--longest-row", 128], r"1[12]\d")]
)
def test_a_long_training_sentence_takes_rows_as_long_as_in_pretraining(
    data, shared_model, tmp_path, caplog, options, longest
):
    """Pretraining had 16 tokens a row (`tasks.pretraining.arguments`), the model has 128 positions."""
    folder = tmp_path / "ner"
    shutil.copytree(data / "ner", folder)
    with open(folder / "en.train.tsv", "a") as out:
        out.write("".join(f"{word}\tO\n" for word in world.lexicon("en") * 5) + "\n")
    caplog.set_level("INFO")
    train("tagging", folder, shared_model, tmp_path / "run", "--max-update", 1, *options)
    assert re.search(
        rf"en train: 65 examples, .* longest row {longest}; \d+ long sentences in several rows", caplog.text
    )


def test_what_is_odd_in_sentences_goes_through(data, shared_model, tmp_path):
    """One word, only unknown characters, a control character of which nothing is left, unknown relations."""
    folder = tmp_path / "ud"
    shutil.copytree(data / "ud", folder)
    text = (
        world.conllu(["abc"]) + world.conllu(["漢字", "\x01", "abc"]) + world.conllu(["a", "b"]).replace("obj", "clf")
    )
    (folder / "en_toy-ud-test.conllu").write_text(text)
    train("parsing", folder, shared_model, tmp_path / "run", "--max-update", 1)
    finetuned = FineTuned.load(tmp_path / "run" / "checkpoint_last.pt")
    evaluation = finetuned.evaluate("en", "test")
    assert [len(tree) for tree in evaluation.predictions] == [1, 3, 2]
    assert evaluation.predictions[0] == [(0, "root")]
    assert evaluation.signature["unknown_labels"] == "1"
    assert "1 labels unknown to the model count as errors" in evaluation.report
    assert max(score.value for score in evaluation.scores if score.metric.startswith("las")) < 1


def test_a_label_set_that_does_not_match_the_checkpoint(data, shared_model, tmp_path):
    train("tagging", data, shared_model, tmp_path / "run", "--max-update", 1)
    folder = tmp_path / "ner"
    shutil.copytree(data / "ner", folder)
    path = folder / "en.train.tsv"
    path.write_text(path.read_text().replace("B-LOC", "B-MISC"))
    with pytest.raises(InputError, match="entity type LOC unknown to the model, which was trained on O, B-MISC, B-PER"):
        train("tagging", folder, shared_model, tmp_path / "run", "--max-update", 2)  # the dev data still has LOC
    for split in ("dev", "test"):
        other = folder / f"en.{split}.tsv"
        other.write_text(other.read_text().replace("B-LOC", "B-MISC"))
    with pytest.raises(InputError, match="trained on the labels O, B-LOC, B-PER, but the training data has O, B-MISC"):
        train("tagging", folder, shared_model, tmp_path / "run", "--max-update", 2)
    finetuned = FineTuned.load(tmp_path / "run" / "checkpoint_last.pt", data=folder)
    with pytest.raises(InputError, match="entity type MISC unknown to the model"):
        finetuned.evaluate("en", "test")


def test_the_vocabulary_of_another_model(data, shared_model, separate_model, union, tmp_path):
    with pytest.raises(InputError, match="vocabulary"):
        train("tagging", data, (union, separate_model[1]), tmp_path, "--max-update", 1)
    with pytest.raises(InputError, match="vocabulary"):
        train("tagging", data, (separate_model[0], shared_model[1]), tmp_path, "--max-update", 1)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("abc", r"en.train.tsv:1: expected a token and a tag, found 1 columns"),
        ("\tO", r"en.train.tsv:1: a token of no length"),
        ("abc\tB", r"en.train.tsv:1: expected a tag O, B-TYPE or I-TYPE, found 'B'"),
    ],
)
def test_a_malformed_line_is_named(data, shared_model, tmp_path, line, says):
    folder = tmp_path / "ner"
    shutil.copytree(data / "ner", folder)
    path = folder / "en.train.tsv"
    path.write_text(line + "\n" + path.read_text())
    with pytest.raises(InputError, match=says):
        train("tagging", folder, shared_model, tmp_path / "run", "--max-update", 1)


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        (["--pretrained", ""], "--pretrained is missing"),
        (["--pretrained", "nowhere.pt"], "nowhere.pt: no such checkpoint"),
        (["--vocabulary", ""], "--vocabulary is missing"),
        (["--source-lang", "de"], "--source-lang de: the model knows en, fr"),
        (["--longest-row", "999"], "--longest-row 999: expected 8 to 128"),
        (["--files", "en=x"], "--files en=x: expected LANGUAGE.SPLIT=PATH"),
        (["--files", "en.train=nowhere.tsv"], "nowhere.tsv: no such file, given for en.train"),
        (["--valid-subset", "valid,train"], "train is trained on"),  # training went on with other batches
        (["--valid-subset", "nothing"], "no nothing data of language 'en'; expected a file like en.nothing.tsv"),
    ],
)
def test_wrong_options_are_refused_with_a_sentence(data, shared_model, tmp_path, extra, says):
    with pytest.raises(InputError, match=re.escape(says)):
        train("tagging", data, shared_model, tmp_path, "--max-update", 1, *extra)


@pytest.mark.parametrize(
    ("metric", "maximize", "says"),
    [
        ("acc", True, "--best-checkpoint-metric acc: validation gives loss, f1"),
        ("f1", False, "--best-checkpoint-metric f1 needs --maximize-best-checkpoint-metric"),
        ("loss", True, "--best-checkpoint-metric loss must be without --maximize-best-checkpoint-metric"),
    ],
)
def test_a_measure_that_is_not_made_or_whose_worst_would_be_kept(data, shared_model, tmp_path, metric, maximize, says):
    databin, pretrained = shared_model
    arguments = world.arguments("tagging", data / "ner", databin, pretrained, tmp_path, "--max-update", 1)
    if not maximize:
        arguments.remove("--maximize-best-checkpoint-metric")
    with pytest.raises(InputError, match=says):
        fairseq_train([*arguments, "--best-checkpoint-metric", metric])
    assert not list(tmp_path.glob("*.pt"))


@pytest.mark.parametrize(
    ("where", "name", "value", "says"),
    [
        ("model", "arc_dim", 20_000, "far larger than its weights"),
        ("model", "label_dim", 20_000, "far larger than its weights"),
        ("model", "label_dim", -1, "sizes that no model has"),
        ("shape", "heads", 0, "sizes that no model has"),
        ("shape", "layers", 10**30, "sizes that no model has"),
    ],
)
def test_a_small_file_that_names_a_large_parser(data, shared_model, tmp_path, where, name, value, says):
    state = train("parsing", data, shared_model, tmp_path, "--max-update", 1)
    model = state["cfg"]["model"]
    if where == "model":
        model[name] = value
    else:
        described = json.loads(model["description"])
        described["shape"][name] = value
        model["description"] = json.dumps(described)
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(InputError, match=f"x.pt: the checkpoint names .*{says}"):
        FineTuned.load(tmp_path / "x.pt")


def test_another_source_language_does_not_get_the_number_of_the_checkpoints_own(data, shared_model, tmp_path):
    train("tagging", data, shared_model, tmp_path, "--max-update", 1)
    path = str(tmp_path / "checkpoint_last.pt")
    checkpoint_utils.load_model_ensemble_and_task([path], {"source_lang": "en"})
    with pytest.raises(InputError, match=r"--source-lang fr: the checkpoint was fine-tuned on en; eval/zero_shot.py"):
        checkpoint_utils.load_model_ensemble_and_task([path], {"source_lang": "fr"})


def test_another_source_language_does_not_go_on_with_the_run_of_the_first(data, shared_model, tmp_path):
    french = ["--source-lang", "fr", "--files", f"fr.train={data / 'ner' / 'fr.test.tsv'}", "--disable-validation"]
    train("tagging", data, shared_model, tmp_path / "run", "--max-update", 1)
    last = tmp_path / "run" / "checkpoint_last.pt"
    with pytest.raises(InputError, match=f"{last}: --source-lang: it was made with en, and cannot go on with fr"):
        train("tagging", data, shared_model, tmp_path / "run", "--max-update", 2, *french)
    # one language after the other, if that is what is wanted: a run of its own from the first one's weights
    state = train(
        "tagging", data, shared_model, tmp_path / "new", "--max-update", 1, "--finetune-from-model", last, *french
    )
    assert '"source": "fr"' in state["cfg"]["model"]["description"]


def test_the_smallest_loss_may_choose(data, shared_model, tmp_path):
    databin, pretrained = shared_model
    arguments = world.arguments("tagging", data / "ner", databin, pretrained, tmp_path, "--max-update", 1)
    arguments.remove("--maximize-best-checkpoint-metric")
    fairseq_train([*arguments, "--best-checkpoint-metric", "loss"])
    assert (tmp_path / "checkpoint_best.pt").is_file()


def test_a_fine_tuned_checkpoint_is_not_a_pretrained_one(data, shared_model, tmp_path):
    train("tagging", data, shared_model, tmp_path / "a", "--max-update", 1)
    with pytest.raises(InputError, match="expected a checkpoint of xling_masked_lm, found one of xling_tagging"):
        train("tagging", data, (shared_model[0], tmp_path / "a" / "checkpoint_last.pt"), tmp_path / "b")
    with pytest.raises(InputError, match="the model knows no language 'de'"):
        FineTuned.load(tmp_path / "a" / "checkpoint_last.pt", files=f"de.test={data / 'ner' / 'en.test.tsv'}").evaluate(
            "de", "test"
        )


@pytest.mark.parametrize("tokens", ["many", -5, float("nan"), [1]])
def test_a_pretrained_checkpoint_whose_blocks_have_an_odd_size(shared_model, tmp_path, tokens):
    state = torch.load(shared_model[1], weights_only=False)
    state["cfg"]["task"]["tokens_per_sample"] = tokens
    torch.save(state, tmp_path / "odd.pt")
    with pytest.raises(InputError, match=r"odd\.pt: the checkpoint's configuration is damaged"):
        read_pretrained(tmp_path / "odd.pt")
