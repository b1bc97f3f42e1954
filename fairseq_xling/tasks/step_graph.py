"""Forward and backward pass of a training step as one CUDA graph, which the host launches as a whole.

A step launches a thousand kernels. At the paper's shape, a GPU is done with one before a slow host has launched the
next. The graph is captured for the first batch of each kind, and replayed for that batch and all later ones.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from fairseq.optim import FairseqOptimizer
from torch import Tensor, nn

from fairseq_xling.data.labelled import IGNORED
from fairseq_xling.formats.errors import InputError

logger = logging.getLogger(__name__)

WARM_UP = 3
"""Steps before a capture: libraries choose their kernels and take their memory in them."""


def room_for_predictions(tokens: int, probability: float) -> int:
    """Predicted tokens that a graph has room for: exceeded by one batch in three million; a multiple of 64."""
    most = tokens * probability + 5 * math.sqrt(tokens * probability * (1 - probability))
    return min(-(-math.ceil(most) // 64) * 64, tokens)


@dataclass
class _Captured:
    """A graph with what it reads and writes.

    Attributes
    ----------
    graph : torch.cuda.CUDAGraph
    sample : dict
        A batch in fairseq's form, with room for predictions.
    loss : scalar tensor
    gradients : list of (parameter, its gradient)
        Of one batch; written anew by every replay.
    """

    graph: torch.cuda.CUDAGraph
    sample: dict[str, Any]
    loss: Tensor
    gradients: list[tuple[nn.Parameter, Tensor]]


class StepGraphs:
    """Graphs of training steps.

    Parameters
    ----------
    probability : float
        That a token is predicted.
    by_language : bool
        Languages have parts of their own, and so graphs of their own.
    autocast : function of a batch
        The context of the forward pass.
    """

    def __init__(self, probability: float, by_language: bool, autocast: Callable[[Mapping[str, Any]], Any]):
        self._probability, self._by_language, self._autocast = probability, by_language, autocast
        self._captured: dict[tuple[Any, ...], _Captured] = {}
        self._pool: Any = None
        self._reasons: set[str] = set()

    def fits(self, sample: Mapping[str, Any], model: nn.Module, optimizer: FairseqOptimizer) -> bool:
        """Whether the step of this batch can be a graph; the log says once why not."""
        reason = self._reason_against(sample, model, optimizer)
        if reason and reason not in self._reasons:
            self._reasons.add(reason)
            logger.info(f"--cuda-graph: steps are launched one operation after the other where {reason}")
        return not reason

    def _reason_against(self, sample: Mapping[str, Any], model: nn.Module, optimizer: FairseqOptimizer) -> str:
        inputs = sample["net_input"]
        tokens = inputs["src_tokens"]
        if not tokens.is_cuda:
            return "there is no GPU"
        if type(optimizer).backward is not FairseqOptimizer.backward:
            return "the loss is scaled before the backward pass (--fp16)"
        if isinstance(model, nn.parallel.DistributedDataParallel):
            return "gradients are reduced during the backward pass (--ddp-backend legacy_ddp does it after)"
        if inputs["padding_mask"] is not None:
            return "a batch is padded"
        if len(sample["target"]) > room_for_predictions(tokens.numel(), self._probability):
            return "a batch has far more predictions than usual"
        return ""

    def forward_and_backward(
        self, sample: Mapping[str, Any], model: Any, criterion: Any
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """As `training_step.forward_and_backward`, for a batch that `fits`.

        Raises
        ------
        InputError
            Something in the step cannot be captured.
        """
        model.train()
        inputs = sample["net_input"]
        key = (inputs["lang"] if self._by_language else None, inputs["src_tokens"].shape)
        if key not in self._captured:
            try:
                self._captured[key] = self._capture(sample, model, criterion)
            except RuntimeError as error:
                if "out of memory" in str(error):  # fairseq has an answer to this
                    raise
                why = str(error).partition("\n")[0]
                raise InputError(f"the step cannot be captured ({why}); leave out --cuda-graph") from error
        step = self._captured[key]
        _keep(step.gradients)
        self._fill(step.sample, sample)
        step.graph.replay()
        _hand_over(step.gradients)
        return criterion.logged(step.loss.clone(), sample)

    def _capture(self, sample: Mapping[str, Any], model: Any, criterion: Any) -> _Captured:
        tokens = sample["net_input"]["src_tokens"]
        room = room_for_predictions(tokens.numel(), self._probability)
        masked = tokens.new_zeros(room)
        static = {
            "net_input": {**sample["net_input"], "src_tokens": tokens.clone(), "masked": masked},
            "target": torch.full_like(masked, IGNORED),
        }
        self._fill(static, sample)
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        before = [parameter.grad for parameter in parameters]
        random = torch.cuda.get_rng_state()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                _drop(parameters)
                self._step(static, model, criterion)
        torch.cuda.current_stream().wait_stream(stream)
        _drop(parameters)
        graph = torch.cuda.CUDAGraph()
        # loaders' threads pin memory meanwhile, which a stricter mode would forbid
        with torch.cuda.graph(graph, pool=self._pool, stream=stream, capture_error_mode="thread_local"):
            loss = self._step(static, model, criterion)
        self._pool = graph.pool()
        gradients = [(parameter, parameter.grad) for parameter in parameters if parameter.grad is not None]
        for parameter, gradient in zip(parameters, before, strict=True):
            parameter.grad = gradient
        torch.cuda.set_rng_state(random)  # as if only the replay had been
        language = sample["net_input"]["lang"]
        logger.info(f"captured the step of a batch of {tokens.shape[0]} x {tokens.shape[1]} tokens ({language})")
        return _Captured(graph, static, loss, gradients)

    def _step(self, sample: Mapping[str, Any], model: Any, criterion: Any) -> Tensor:
        with self._autocast(sample):
            loss = criterion.loss(model, sample)
        loss.backward()
        return loss.detach()

    @staticmethod
    def _fill(static: dict[str, Any], sample: Mapping[str, Any]) -> None:
        """Copy a batch to where the graph reads it; what is left of the room predicts nothing."""
        inputs, count = sample["net_input"], len(sample["target"])
        static["net_input"]["src_tokens"].copy_(inputs["src_tokens"])
        static["net_input"]["masked"][:count].copy_(inputs["masked"])
        static["target"][:count].copy_(sample["target"])
        static["target"][count:].fill_(IGNORED)


def _drop(parameters: list[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.grad = None


def _keep(gradients: list[tuple[nn.Parameter, Tensor]]) -> None:
    """Copy gradients of an earlier batch of this update, where the next replay would write over them."""
    present = [(parameter, gradient) for parameter, gradient in gradients if parameter.grad is gradient]
    if present:
        copies = [torch.empty_like(gradient) for _, gradient in present]
        torch._foreach_copy_(copies, [gradient for _, gradient in present])
        for (parameter, _), copy in zip(present, copies, strict=True):
            parameter.grad = copy


def _hand_over(gradients: list[tuple[nn.Parameter, Tensor]]) -> None:
    """Give the parameters the gradients of the batch, or add them to those that they have."""
    sums = [(parameter.grad, gradient) for parameter, gradient in gradients if parameter.grad is not None]
    if sums:
        torch._foreach_add_([each for each, _ in sums], [gradient for _, gradient in sums])
    for parameter, gradient in gradients:
        if parameter.grad is None:
            parameter.grad = gradient
