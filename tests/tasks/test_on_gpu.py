"""Training steps on a GPU: CUDA graphs and torch.compile change no loss; a bad update is left out without a wait."""

import contextlib
import logging
import math

import pytest
import torch

from fairseq_xling.criterions.masked_lm import XlingMaskedLMCriterion
from fairseq_xling.formats.errors import InputError
from fairseq_xling.models.fused_layers import FusedLayers
from fairseq_xling.tasks import bad_loss

from . import pretraining
from .pretraining import write_data

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """65 symbols: rows of scores are no multiple of 16 bytes long."""
    return write_data(tmp_path_factory.mktemp("data") / "shared", {"en": 60, "fr": 30})


@pytest.fixture
def train(monkeypatch):
    """`train(data, save_dir, *options)` on the GPU: the losses (nats) of its batches and the last checkpoint."""
    words = pretraining.arguments
    monkeypatch.setattr(pretraining, "arguments", lambda *them: [w for w in words(*them) if w != "--cpu"])
    losses = []
    original = XlingMaskedLMCriterion.logged

    def logged(self, loss, sample):
        if self.training:
            losses.append(loss.detach() / sample["target"].numel())
        return original(self, loss, sample)

    monkeypatch.setattr(XlingMaskedLMCriterion, "logged", logged)

    def run(data, save_dir, *options):
        losses.clear()
        state = pretraining.train(data, save_dir, "--optimizer", "xling_adam", "--clip-norm", 1, *options)
        return [float(loss) for loss in losses], state

    return run


@pytest.mark.parametrize("fast", [("--cuda-graph",), ("--torch-compile",), ("--cuda-graph", "--torch-compile")])
@pytest.mark.parametrize(("precision", "tolerance"), [((), 1e-4), (("--bf16-autocast",), 0.02)])
def test_the_same_losses(data, tmp_path, train, caplog, fast, precision, tolerance):
    caplog.set_level(logging.INFO, "fairseq_xling.tasks.step_graph")
    common = ("--dropout", 0, "--max-update", 12, "--update-freq", 2, "--separate", "1-2", "--disable-validation")
    plain, _ = train(data, tmp_path / "plain", *common)
    quick, _ = train(data, tmp_path / "quick", *common, *fast, *precision)
    assert len(quick) == len(plain) == 20  # three updates an epoch, of two batches, two and one
    assert quick == pytest.approx(plain, abs=tolerance)
    assert ("captured the step of a batch of 4 x 16 tokens (en)" in caplog.text) == ("--cuda-graph" in fast)


@pytest.mark.parametrize("separate", ["", "emb,1-2"])
@pytest.mark.parametrize(("residual", "tolerance"), [((), 0.02), (("--bf16-residual",), 0.03)])
def test_the_same_losses_by_layers_of_kernels(tmp_path, train, monkeypatch, separate, residual, tolerance):
    data = write_data(tmp_path / "data" / "shared", {"en": 400, "fr": 300}, shared="emb" not in separate)
    common = [
        *("--arch", "xling_base", "--encoder-embed-dim", 128, "--encoder-attention-heads", 2, "--max-positions", 64),
        *("--tokens-per-sample", 64, "--dropout", 0, "--attention-dropout", 0, "--lr", 1e-3, "--separate", separate),
        *("--max-update", 16, "--disable-validation"),
    ]
    calls, original = [], FusedLayers.__call__
    monkeypatch.setattr(FusedLayers, "__call__", lambda self, *rest: calls.append(1) or original(self, *rest))
    plain, _ = train(data, tmp_path / "plain", *common)
    assert not calls
    quick, _ = train(data, tmp_path / "quick", *common, "--bf16-autocast", "--torch-compile", "--cuda-graph", *residual)
    assert bool(calls) == attention_kernel_is_there()
    assert len(quick) == len(plain) == 16
    assert quick == pytest.approx(plain, abs=tolerance)


def attention_kernel_is_there():
    from fairseq_xling.kernels import attention

    return attention.available()


@contextlib.contextmanager
def waiting_forbidden():
    """Inside, what waits for a value of the device raises."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("options", [(), ("--cuda-graph",), ("--bf16-autocast", "--cuda-graph")])
def test_the_host_waits_for_no_value(data, tmp_path, train, monkeypatch, options):
    original, watched = bad_loss._train_step, []

    def strict(self, samples, raise_oom=False):
        number = self.get_num_updates()
        if number < 4:  # libraries choose their kernels, the graph is captured
            return original(self, samples, raise_oom)
        watched.append(number)
        with waiting_forbidden():
            return original(self, samples, raise_oom)

    monkeypatch.setattr(bad_loss, "_train_step", strict)
    train(data, tmp_path / "run", "--max-update", 8, "--disable-validation", "--log-interval", 2, *options)
    assert watched == [4, 5, 6, 7]
    value = torch.ones((), device="cuda")
    with pytest.raises(RuntimeError, match="synchron"), waiting_forbidden():
        value.item()


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(data, tmp_path, train):
    options = ("--dropout", 0.1, "--cuda-graph", "--disable-validation", "--save-interval-updates", 4)
    whole, _ = train(data, tmp_path / "whole", *options, "--max-update", 8)
    first, _ = train(data, tmp_path / "parts", *options, "--max-update", 4)
    second, _ = train(data, tmp_path / "parts", *options, "--max-update", 8)
    assert first + second == pytest.approx(whole, abs=1e-5)


@pytest.mark.parametrize("last", [4, 7])
def test_a_bad_update_is_left_out_and_named_one_later(data, tmp_path, train, spoil, last):
    train(data, tmp_path / "whole", "--max-update", 3)
    whole = pretraining.load(tmp_path / "whole")["model"]
    spoil({(1, 3): math.nan})
    with pytest.raises(InputError, match=r"update 4 was not made: loss nan nats in language (en|fr), epoch 1, batch 4"):
        train(data, tmp_path / "run", "--max-update", last, "--save-interval-updates", 1)
    after = pretraining.load(tmp_path / "run")["model"]
    assert all(torch.equal(after[name], value) for name, value in whole.items())
