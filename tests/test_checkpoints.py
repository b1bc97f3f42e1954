"""Checkpoints of strangers: nothing in them runs, and what they name is checked before anything is built."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fairseq import checkpoint_utils

from fairseq_xling.checkpoints import load_checkpoint, read_state
from fairseq_xling.formats.errors import InputError

from .tasks.pretraining import run, train, write_data


class RunsCode:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    data = write_data(folder / "data", {"en": 60, "fr": 30})
    train(data, folder / "run", "--max-update", 1)
    return folder


def changed(trained, tmp_path, change):
    state = torch.load(trained / "run" / "checkpoint_last.pt", weights_only=False)
    change(state)
    torch.save(state, tmp_path / "checkpoint_last.pt")
    return tmp_path / "checkpoint_last.pt"


def test_an_honest_checkpoint_loads(trained):
    models, _, task = checkpoint_utils.load_model_ensemble_and_task([str(trained / "run" / "checkpoint_last.pt")])
    assert task.languages == ("en", "fr")
    assert type(models[0]).__name__ == "XlingLabModel"


def test_a_translation_model_of_a_size_that_its_weights_cannot_have(trained, tmp_path):
    """fairseq's own models, which back-translation uses, would be built layer by layer until the memory is full."""

    def name_a_large_one(state):
        state["cfg"]["task"]["_name"] = "translation"
        state["cfg"]["model"] = {"_name": "transformer", "decoder_layers": 10**9, "decoder_embed_dim": 512}

    with pytest.raises(InputError, match="names a model far larger than its weights"):
        read_state(changed(trained, tmp_path, name_a_large_one))


def hide_in_model(state, bomb):
    state["model"]["x"] = bomb


def hide_in_config(state, bomb):
    state["cfg"]["task"]["data"] = bomb


def hide_in_optimizer(state, bomb):
    state["last_optimizer_state"]["state"][0] = bomb


def hide_in_extra_state(state, bomb):
    state["extra_state"]["x"] = bomb


@pytest.mark.parametrize("hide", [hide_in_model, hide_in_config, hide_in_optimizer, hide_in_extra_state])
def test_code_is_refused_by_name_and_does_not_run(trained, tmp_path, hide):
    evidence = tmp_path / "evidence"
    path = changed(trained, tmp_path, lambda state: hide(state, RunsCode(evidence)))
    for reader in (read_state, load_checkpoint, lambda p: checkpoint_utils.load_model_ensemble_and_task([str(p)])):
        with pytest.raises(InputError, match=r"refused: .*mkdir"):
            reader(path)
    assert not evidence.exists()
    pickle.loads(pickle.dumps(RunsCode(evidence)))  # the bomb does go off elsewhere
    assert evidence.exists()


@pytest.mark.parametrize("option", ["--restore-file", "--finetune-from-model"])
def test_training_does_not_run_code_either(trained, tmp_path, option):
    evidence = tmp_path / "evidence"
    path = changed(trained, tmp_path, lambda state: hide_in_extra_state(state, RunsCode(evidence)))
    result = run(trained / "data", tmp_path / "new", "--max-update", 2, option, path)
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    assert "refused" in result.stderr.strip().splitlines()[-1]
    assert not evidence.exists()


def name_fconv(state):
    """fairseq evaluates this model's layer strings."""
    state["cfg"]["model"] = {"_name": "fconv", "encoder_layers": "__import__('os').mkdir('evidence')"}


def name_other_task(state):
    state["cfg"]["task"]["_name"] = "audio_pretraining"


def no_names(state):
    state["cfg"]["model"] = None


def reference(state):
    state["cfg"]["task"]["data"] = "${oc.env:HOME}"


def no_config(state):
    state["cfg"] = None


def no_model(state):
    del state["model"]


def odd_values(state):
    state["model"]["x"] = [1, 2]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (name_fconv, "names the model 'fconv'"),
        (name_other_task, "names the task 'audio_pretraining'"),
        (no_names, "names the model 'None'"),
        (reference, "plain values were expected"),
        (no_config, "no configuration"),
        (no_model, "no model"),
        (odd_values, "other than tensors"),
    ],
)
def test_names_and_values_are_checked_before_anything_is_built(trained, tmp_path, monkeypatch, change, says):
    monkeypatch.chdir(tmp_path)
    path = changed(trained, tmp_path, change)
    with pytest.raises(InputError, match=says):
        checkpoint_utils.load_model_ensemble_and_task([str(path)])
    assert not Path("evidence").exists()


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"\x80\x04.", b"hello", pickle.dumps([1]), pickle.dumps({"model": {}})]
)
def test_what_is_no_checkpoint(tmp_path, content):
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.pt: "):
        read_state(path)


def test_truncated_anywhere_and_missing(trained, tmp_path):
    whole = (trained / "run" / "checkpoint_last.pt").read_bytes()
    for cut in (1, 100, len(whole) // 2, len(whole) - 1):
        path = tmp_path / "cut.pt"
        path.write_bytes(whole[:cut])
        with pytest.raises(InputError, match=r"truncated or not a checkpoint|refused"):
            read_state(path)
    with pytest.raises(InputError, match="no such checkpoint"):
        read_state(tmp_path / "none.pt")


def test_a_session_that_reads_a_checkpoint_goes_on_after_an_error(trained):
    """The hook of fairseq-train was left behind: the interpreter ended, with all that was in its memory."""
    script = (
        "from fairseq_xling.evaluation.pretrained import Pretrained\n"
        f"model = Pretrained.load({str(trained / 'run' / 'checkpoint_last.pt')!r}, device='cpu')\n"
        "model.segmenter('xx')\n"
        "print('still here', len(model.languages))\n"
    )
    done = subprocess.run([sys.executable, "-i"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "still here 2\n")
    assert "Traceback" in done.stderr
    assert "knows no language 'xx'" in done.stderr


def test_a_script_in_a_folder_of_its_own_called_preprocess(tmp_path):
    """As in that of the project nothing was registered and checkpoints were read by fairseq, without any check."""
    script = tmp_path / "preprocess" / "features.py"
    script.parent.mkdir()
    script.write_text(
        "import fairseq_xling\nfrom fairseq import checkpoint_utils as c, tasks\n"
        "print(c.load_checkpoint_to_cpu.__module__, 'xling_masked_lm' in tasks.TASK_REGISTRY)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "fairseq_xling.checkpoints True\n"
