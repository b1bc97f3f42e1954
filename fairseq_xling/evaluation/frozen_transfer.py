"""A task head trained on frozen features of one layer and language, applied to another (paper, Figures 5 and 8)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from fairseq_xling.data.labelled import LabelledBatches
from fairseq_xling.data.labelled_task import LabelledTask
from fairseq_xling.evaluation.pretrained import Pretrained
from fairseq_xling.formats.errors import InputError
from fairseq_xling.models.biaffine import BiaffineHead
from fairseq_xling.models.heads import LinearHead, SharedDropout
from fairseq_xling.models.layers import TransformerLayer

FeatureMap = Callable[[Tensor], Tensor]
"""Hidden states (rows, length, dim) to the space in which the head works."""


@dataclass(frozen=True)
class HeadOptions:
    """How a head is made and trained; the paper says four layers, the rest is the second author's code.

    Parameters
    ----------
    layers : int
        Transformer layers between the frozen features and the task's own layer.
    dropout : float
        In those layers, and of the features (one mask a sentence).
    epochs, batch_size : int
    learning_rate : float
        Peak; linear warm-up over a tenth of the updates, then linear decay to 0.
    arc_dim, label_dim : int
        Parser's perceptrons.
    seed : int
    bf16 : bool
    """

    layers: int = 4
    dropout: float = 0.2
    epochs: int = 10
    batch_size: int = 16
    learning_rate: float = 1e-4
    arc_dim: int = 512
    label_dim: int = 128
    seed: int = 1
    bf16: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.dropout <= 1:
            raise InputError(f"--dropout {self.dropout}: expected a probability between 0 and 1")


class FrozenHead(nn.Module):
    """Transformer layers and the task's layer.

    Parameters
    ----------
    model : Pretrained
        Gives width, heads, feed-forward width and the place of the norms.
    task : LabelledTask
    labels : sequence of str
    options : HeadOptions
    """

    def __init__(self, model: Pretrained, task: LabelledTask, labels: Sequence[str], options: HeadOptions):
        super().__init__()
        shape = model.model.encoder.shape
        self.dropout = SharedDropout(options.dropout)
        self.layers = nn.ModuleList(
            TransformerLayer(shape.dim, shape.heads, shape.hidden, options.dropout, options.dropout, shape.norm_before)
            for _ in range(options.layers)
        )
        self.norm = nn.LayerNorm(shape.dim) if shape.norm_before else nn.Identity()
        self.scores: LinearHead | BiaffineHead = (
            BiaffineHead(shape.dim, labels, options.arc_dim, options.label_dim)
            if task.head == "parsing"
            else LinearHead(shape.dim, labels)
        )

    def forward(self, states: Tensor, padding_mask: Tensor | None, words: Tensor) -> Any:
        """Scores of words; the parameters are what `LayerFeatures` returns."""
        attend = None if padding_mask is None else ~padding_mask[:, None, None, :]
        x = self.dropout(states)
        for layer in self.layers:
            x = layer(x, attend)
        flat = self.norm(x).reshape(-1, x.shape[-1])
        features = flat.index_select(0, words.clamp(min=0).flatten()).view(*words.shape, -1)
        return self.scores(features, words >= 0)


class LayerFeatures:
    """The states of one layer of a frozen encoder, mapped.

    Parameters
    ----------
    model : Pretrained
    layer : int
        0: embeddings.
    feature_map : callable
    bf16 : bool
    """

    def __init__(self, model: Pretrained, layer: int, feature_map: FeatureMap, bf16: bool = False):
        self.model, self.layer, self.feature_map, self.bf16 = model, layer, feature_map, bf16

    def __call__(self, inputs: dict[str, Any]) -> tuple[Tensor, Tensor | None, Tensor]:
        """What a head reads of a batch, on the model's device.

        Parameters
        ----------
        inputs : dict
            The batch's ``net_input``; see `LabelledBatches.sample`.

        Returns
        -------
        states : (rows, length, dim) float32
            Mapped, and 0 where padded.
        padding_mask : (rows, length) bool, or None
        words : (sentences, words) int64
            Flat positions of first subwords, -1 where there is no word.
        """
        device = self.model.device
        padding = inputs["padding_mask"] if inputs["padding_mask"] is None else inputs["padding_mask"].to(device)
        with torch.no_grad(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.bf16):
            states = self.model.model.encoder(inputs["src_tokens"].to(device), inputs["lang"], padding, self.layer)
            mapped = self.feature_map(states[-1].float())
        if padding is not None:
            mapped = mapped.masked_fill(padding[..., None], 0)
        return mapped, padding, inputs["words"].to(device)


def unit_scale(model: Pretrained, layer: int, batches: LabelledBatches) -> FeatureMap:
    """Division by the root mean square of a layer's components, from some batches: for features that are not mapped."""
    raw = LayerFeatures(model, layer, lambda states: states)
    squares = count = 0.0
    for chosen in batches.members(1)[:32]:
        states, padding, _ = raw(batches.sample(chosen)["net_input"])
        kept = states if padding is None else states[~padding]
        squares, count = squares + float(kept.double().square().sum()), count + kept.numel()
    scale = max((squares / count) ** 0.5, 1e-12)
    return lambda states: states / scale


def train_head(
    features: LayerFeatures,
    task: LabelledTask,
    labels: Sequence[str],
    train: LabelledBatches,
    dev: LabelledBatches,
    options: HeadOptions,
    progress: str | None = None,
) -> tuple[FrozenHead, float]:
    """Train a head on the source language; the epoch that is best on its dev set, and its score there."""
    with torch.random.fork_rng(devices=[features.model.device] if features.model.device.type == "cuda" else []):
        torch.manual_seed(options.seed)
        head = FrozenHead(features.model, task, labels, options).to(features.model.device)
        train.lay_out(options.batch_size)
        total = options.epochs * len(train)
        optimizer = torch.optim.AdamW(head.parameters(), lr=options.learning_rate, betas=(0.9, 0.99), weight_decay=0.0)
        warm_up = max(total // 10, 1)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / warm_up, max(total - step, 0) / max(total - warm_up, 1))
        )
        best, best_state = -1.0, copy.deepcopy(head.state_dict())
        with tqdm(total=total, desc=progress, disable=progress is None, leave=False) as bar:
            for epoch in range(1, options.epochs + 1):
                head.train()
                for chosen in train.members(epoch):
                    _update(head, features, train.sample(chosen), optimizer)
                    schedule.step()
                    bar.update()
                examples = dev.gold
                value = task.score(examples, predict(head, features, task, labels, dev))[0].value
                if value > best:
                    best, best_state = value, copy.deepcopy(head.state_dict())
        head.load_state_dict(best_state)
    return head.eval(), best


def _update(
    head: FrozenHead, features: LayerFeatures, sample: dict[str, Any], optimizer: torch.optim.Optimizer
) -> None:
    states, padding, words = features(sample["net_input"])
    with torch.autocast(states.device.type, dtype=torch.bfloat16, enabled=features.bf16):
        scores = head(states, padding, words)
        loss = head.scores.loss(scores, sample["target"].to(states.device))
    optimizer.zero_grad()
    (loss / max(sample["decisions"], 1)).backward()
    torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
    optimizer.step()


def predict(
    head: FrozenHead, features: LayerFeatures, task: LabelledTask, labels: Sequence[str], batches: LabelledBatches
) -> list[Any]:
    """Predictions for all examples, in order."""
    head.eval()
    batches.lay_out(64)
    found: list[Any] = [None] * len(batches.items)
    for chosen in batches.members(1):
        sample = batches.sample(chosen)
        states, padding, words = features(sample["net_input"])
        with torch.no_grad(), torch.autocast(states.device.type, dtype=torch.bfloat16, enabled=features.bf16):
            decoded = head.scores.decode(head(states, padding, words), words >= 0)
        for index, output in zip(chosen.tolist(), decoded, strict=True):
            found[index] = task.prediction(output, labels)
    return found
