"""What pretraining refuses: options, data and checkpoints, each with one line."""

import re

import pytest

from fairseq_xling.formats.errors import InputError

from .pretraining import run, train, write_data


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        (["--tokens-per-sample", "0"], "--tokens-per-sample 0: expected at least 1"),
        (["--separate", "9"], "no layer 9; layers are counted from 1 to 4"),
        (["--separate", "emb,1-4"], "everything is separate"),
        (["--langs", "en,de"], "'de'"),
        (["--tokens-per-sample", "999"], "more than --max-positions 128"),
        (["--encoder-attention-heads", "3"], "not a multiple of 3 heads"),
        (["--mask-prob", "1.5"], "--mask-prob"),
        (["--batch-size", "0"], "--batch-size 0: expected at least 1"),
        (["--epoch-sequences", "-5"], "--epoch-sequences -5: expected at least 1"),
        (["--lang-sampling-alpha", "nan"], "--lang-sampling-alpha nan: expected 0 to 10"),
        (["--best-checkpoint-metric", "nats_de"], "nats_de: validation gives loss, nats, ppl, loss_en, nats_en"),
        (["--best-checkpoint-metric", "nats_en", "--langs", "fr"], "validation gives loss, nats, ppl, loss_fr"),
        # training would go on with batches of 8
        (["--valid-subset", "valid,train", "--batch-size-valid", "8"], "train is trained on"),
        (["--train-subset", "valid"], "valid is trained on"),
        (["--max-valid-steps", "2"], "--max-valid-steps 2: languages are validated one after the other"),
        (["--bf16"], "--bf16 is fairseq's option for TPUs; on CPU and GPU it is --bf16-autocast"),
        (["--fp16"], "--fp16 needs a GPU; on a CPU there is --bf16-autocast"),
        (["--memory-efficient-fp16"], "--memory-efficient-fp16 needs a GPU"),
        (["--amp"], "--amp needs a GPU"),  # float32 was computed, and nothing said so
    ],
)
def test_wrong_values_are_refused_with_a_sentence(shared, tmp_path, extra, says):
    with pytest.raises(InputError, match=re.escape(says)):
        train(shared, tmp_path, "--max-update", 1, *extra)


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        (["--separate", "1"], "it has no encoder.layers.0.en."),
        (["--encoder-layers", 3], "it has also encoder.layers.3.shared."),
        (["--encoder-ffn-embed-dim", 32], "another size of encoder.layers.0.shared.feed_forward.expand.weight"),
    ],
)
def test_weights_that_do_not_fit_are_named_with_their_file(shared, tmp_path, extra, says):
    train(shared, tmp_path / "first", "--max-update", 1)
    source = tmp_path / "first" / "checkpoint_last.pt"
    for options in (["--finetune-from-model", source], ["--restore-file", source]):
        with pytest.raises(InputError) as caught:
            train(shared, tmp_path / "other", "--max-update", 1, *options, *extra)
        assert str(caught.value).startswith(f"{source}: its weights are those of another architecture")
        assert says in str(caught.value)


@pytest.mark.parametrize("option", ["--restore-file", "--finetune-from-model"])
def test_another_number_of_heads_fits_the_weights_and_is_refused(shared, tmp_path, option):
    train(shared, tmp_path, "--max-update", 1)  # two heads, as xling_lab has
    source = tmp_path / "checkpoint_last.pt"
    says = f"{source}: --encoder-attention-heads: it was made with 2, and cannot go on with 4"
    with pytest.raises(InputError, match=re.escape(says)):
        train(shared, tmp_path, "--max-update", 2, "--encoder-attention-heads", 4)
    with pytest.raises(InputError, match=re.escape(says)):
        train(shared, tmp_path / "new", "--max-update", 2, option, source, "--encoder-attention-heads", 4)


def test_separate_vocabularies_need_separate_embeddings(per_language, tmp_path):
    with pytest.raises(InputError, match="needs --separate emb"):
        train(per_language, tmp_path, "--max-update", 1)


def test_the_dictionary_of_another_model(shared, tmp_path):
    train(shared, tmp_path / "run", "--max-update", 1)
    other = write_data(tmp_path / "other", {"en": 60, "fr": 30}, symbols=61)
    result = run(other, tmp_path / "run", "--max-update", 2)
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert "trained with another vocabulary (shared: 65 symbols" in last
    assert "Traceback" not in result.stderr


def damage_checkpoint(data, save_dir):
    train(data, save_dir, "--max-update", 1)
    path = save_dir / "checkpoint_last.pt"
    path.write_bytes(path.read_bytes()[:-1000])


def truncate_bin(data, save_dir):
    path = data / "en" / "train.bin"
    path.write_bytes(path.read_bytes()[:-10])


def empty_bin(data, save_dir):
    (data / "fr" / "train.bin").write_bytes(b"")


def remove_valid(data, save_dir):
    (data / "fr" / "valid.idx").unlink()


def remove_everything(data, save_dir):
    for path in sorted(data.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (damage_checkpoint, "checkpoint_last.pt: truncated or not a checkpoint"),
        (truncate_bin, "en/train.bin: .* truncated"),
        (empty_bin, "fr/train.bin: 0 bytes, but"),
        (remove_valid, "fr/valid.idx: no such file"),
        (remove_everything, "not a data-bin"),
    ],
)
def test_damaged_files_give_one_line_and_a_failure(tmp_path, damage, says):
    data = write_data(tmp_path / "data", {"en": 60, "fr": 30})
    damage(data, tmp_path / "run")
    result = run(data, tmp_path / "run", "--max-update", 2)
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    assert re.search(says, result.stderr.strip().splitlines()[-1]), result.stderr


def test_another_optimizer_on_a_resume_is_told_in_one_line(shared, tmp_path):
    train(shared, tmp_path, "--max-update", 2)
    with pytest.raises(InputError, match=r"Optimizer does not match; please reset .*--reset-optimizer"):
        train(shared, tmp_path, "--max-update", 4, "--optimizer", "xling_adam")
