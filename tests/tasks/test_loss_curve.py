"""The fast path computes what a plain one does: the same losses, update for update, from the same start and batches."""

import math

import pytest
import torch
import torch.nn.functional as F

from fairseq_xling.criterions.masked_lm import XlingMaskedLMCriterion
from fairseq_xling.models import linear, masked_lm

from .pretraining import arguments, write_data

UPDATES, LR, CLIP, HEADS, LAYERS = 20, 5e-3, 0.5, 2, 4


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data") / "bin", {"en": 400, "fr": 300})


def fast(data, save_dir, monkeypatch, *extra):
    """fairseq-train as users run it: losses (nats), the batches, and the state dict before the first."""
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf
    from fairseq_cli.train import main

    losses, batches, start = [], [], {}
    original = XlingMaskedLMCriterion.forward

    def recorded(self, model, sample, reduce=True):
        if not batches:
            start.update({name: value.detach().clone() for name, value in model.state_dict().items()})
        loss, size, log = original(self, model, sample, reduce)
        losses.append(float(loss.detach()) / size)
        batches.append(sample)
        return loss, size, log

    monkeypatch.setattr(XlingMaskedLMCriterion, "forward", recorded)
    for module in (masked_lm, linear):  # so that small matrices take the way of large ones
        monkeypatch.setattr(module, "LARGE", 0)
    words = arguments(
        *(data, save_dir, "--optimizer", "xling_adam", "--adam-betas", "(0.9, 0.98)", "--adam-eps", "1e-6"),
        *(
            "--weight-decay",
            "0.01",
            "--clip-norm",
            CLIP,
            "--lr",
            LR,
            "--lr-scheduler",
            "fixed",
            "--warmup-updates",
            "0",
        ),
        *(
            "--dropout",
            "0",
            "--epoch-sequences",
            "160",
            "--max-update",
            UPDATES,
            "--disable-validation",
            "--no-save",
            *extra,
        ),
    )
    main(convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), words)))
    return losses, batches, start


def plain(start, batches, norm_before):
    """The same in float64 with nothing clever: all positions scored, one tensor after the other in the optimiser."""
    weights = {name: value.double().requires_grad_() for name, value in start.items() if value.dtype == torch.float32}
    optimizer = torch.optim.AdamW(
        weights.values(), lr=LR, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.01, foreach=False, fused=False
    )
    losses = []
    for sample in batches:
        scores = plain_scores(weights, sample["net_input"]["src_tokens"], sample["net_input"]["lang"], norm_before)
        chosen = sample["net_input"]["masked"]
        target = torch.full((scores.shape[0],), -100)
        target[chosen] = sample["target"]
        loss = F.cross_entropy(scores, target, reduction="sum")
        optimizer.zero_grad()
        (loss / len(chosen)).backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), CLIP, foreach=False)
        optimizer.step()
        losses.append(loss.item() / len(chosen))
    return losses


def plain_scores(weights, tokens, language, norm_before):
    """(batch * length, vocabulary) scores."""

    def get(prefix, name):
        own = f"{prefix}.{language}.{name}"
        return weights[own] if own in weights else weights[f"{prefix}.shared.{name}"]

    def norm(x, prefix):
        return F.layer_norm(x, x.shape[-1:], weights[f"{prefix}.weight"], weights[f"{prefix}.bias"], 1e-12)

    matrix = get("encoder.embeddings", "tokens.weight")
    x = matrix[tokens] + get("encoder.embeddings", "positions.weight")[: tokens.shape[1]]
    x = norm(x, "encoder.embedding_norm")
    batch, length, dim = x.shape
    for number in range(LAYERS):

        def part(name, number=number):
            return get(f"encoder.layers.{number}", name)

        def linear(x, name, part=part):
            return x @ part(f"{name}.weight").T + part(f"{name}.bias")

        def layer_norm(x, name, part=part):
            return F.layer_norm(x, (dim,), part(f"{name}.weight"), part(f"{name}.bias"), 1e-12)

        def attention(x, linear=linear):
            queries, keys, values = (
                piece.view(batch, length, HEADS, -1).transpose(1, 2)
                for piece in linear(x, "attention.qkv").chunk(3, -1)
            )
            mixing = (queries @ keys.transpose(2, 3) / math.sqrt(dim // HEADS)).softmax(-1)
            return linear((mixing @ values).transpose(1, 2).reshape(batch, length, dim), "attention.out")

        def feed_forward(x, linear=linear):
            return linear(F.gelu(linear(x, "feed_forward.expand")), "feed_forward.out")

        if norm_before:
            x = x + attention(layer_norm(x, "attention_norm"))
            x = x + feed_forward(layer_norm(x, "feed_forward_norm"))
        else:
            x = layer_norm(x + attention(x), "attention_norm")
            x = layer_norm(x + feed_forward(x), "feed_forward_norm")
    x = norm(x, "encoder.final_norm") if norm_before else x
    return (x @ matrix.T + get("head", "bias")).flatten(0, 1)


@pytest.mark.parametrize(("arch", "separate"), [("xling_lab", "2"), ("xling_base", "1-2")])
def test_the_loss_curve_is_that_of_the_plain_path(data, tmp_path, monkeypatch, arch, separate):
    options = ["--arch", arch, "--separate", separate, "--encoder-attention-heads", HEADS, "--attention-dropout", "0"]
    losses, batches, start = fast(data, tmp_path, monkeypatch, *options)
    expected = plain(start, batches, norm_before=arch == "xling_lab")
    assert len(losses) == UPDATES
    assert {sample["net_input"]["lang"] for sample in batches} == {"en", "fr"}
    assert losses[-1] < losses[0] - 0.3  # it learns: the curves are not flat
    assert losses == pytest.approx(expected, abs=5e-4)
    assert losses[:3] == pytest.approx(expected[:3], abs=5e-6)


def test_the_loss_curve_in_bfloat16_stays_near(data, tmp_path, monkeypatch):
    options = ["--encoder-attention-heads", HEADS, "--attention-dropout", "0", "--bf16-autocast"]
    losses, batches, start = fast(data, tmp_path, monkeypatch, *options)
    assert losses == pytest.approx(plain(start, batches, norm_before=True), abs=0.05)
