"""AdamW in one fused kernel for all parameters, on CPU and GPU."""

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from fairseq.dataclass import FairseqDataclass
from fairseq.distributed import utils as distributed_utils
from fairseq.optim import FairseqOptimizer, register_optimizer
from omegaconf import II

from fairseq_xling.formats.errors import InputError


@dataclass
class XlingAdamConfig(FairseqDataclass):
    """Options of `xling_adam`; the names are those of fairseq's `adam`."""

    adam_betas: str = field(default="(0.9, 0.999)", metadata={"help": "betas, as '(0.9, 0.999)'"})
    adam_eps: float = field(default=1e-8, metadata={"help": "epsilon"})
    weight_decay: float = field(default=0.0, metadata={"help": "decoupled weight decay"})
    lr: Any = II("optimization.lr")


@register_optimizer("xling_adam", dataclass=XlingAdamConfig)
class XlingAdam(FairseqOptimizer):
    """fairseq's `adam` (decoupled weight decay), computed by torch's fused kernel.

    fairseq's own `adam` loops over the parameters in Python; its fused form on a GPU needs apex. The two make the same
    update but for epsilon, which fairseq adds before the bias correction of the second moment and torch after it.

    Between the backward pass and the step, fairseq's trainer multiplies all gradients by a factor, computes their norm
    and multiplies them again to clip them: five passes over memory. Here both factors are only noted. The kernel
    applies them when it reads the gradients, so the attribute `grad` of a parameter is scaled after `step`, not before.

    Parameters
    ----------
    cfg : XlingAdamConfig
    params : iterable of parameters, or of parameter groups
    """

    def __init__(self, cfg: XlingAdamConfig, params: Any):
        super().__init__(cfg)
        self._optimizer = torch.optim.AdamW(params, fused=True, **self.optimizer_config)
        self._factor: float | torch.Tensor = 1.0
        self._left_out: torch.Tensor | None = None

    def zero_grad(self) -> None:
        """Drop all gradients."""
        self._factor, self._left_out = 1.0, None
        for parameter in self.params:
            parameter.grad = None

    def all_reduce_grads(self, module: Any) -> None:
        """fairseq's, after which parameters of which no process has a gradient are without one, as with one process.

        `legacy_ddp` makes zeros of them. Adam would then move the parts of a language that no process has drawn by
        their momentum, and count the step: several processes would train otherwise than one that accumulates.
        """
        trained = [parameter for parameter in self.params if parameter.requires_grad]
        if not hasattr(module, "all_reduce_grads") or not trained:
            super().all_reduce_grads(module)
            return
        present = torch.tensor([parameter.grad is not None for parameter in trained], dtype=torch.float32)
        super().all_reduce_grads(module)
        present = present.to(trained[0].device)
        distributed_utils.all_reduce(present, group=distributed_utils.get_data_parallel_group())
        for parameter, processes in zip(trained, present.tolist(), strict=True):
            if processes == 0:
                parameter.grad = None

    def multiply_grads(self, c: float | torch.Tensor) -> None:
        """Multiply all gradients by `c`, when `step` reads them."""
        self._factor = self._factor * c

    def clip_grad_norm(
        self, max_norm: float, aggregate_norm_fn: Callable[[torch.Tensor], torch.Tensor] | None = None
    ) -> torch.Tensor:
        """Norm of all gradients as they are at the next `step`; clips them to `max_norm` (0: not) there.

        `aggregate_norm_fn` makes one norm of those of several processes.
        """
        grads = [parameter.grad for parameter in self.params if parameter.grad is not None]
        if not grads:
            return torch.zeros(())
        norm = torch.nn.utils.get_total_norm(grads) * self._factor
        if aggregate_norm_fn is not None:
            norm = aggregate_norm_fn(norm)
        if max_norm > 0:
            self._factor = self._factor * (max_norm / (norm + 1e-6)).clamp(max=1)
        return norm

    def leave_out_if(self, bad: torch.Tensor) -> None:
        """Make no update at the next `step` if `bad`, a scalar on the device, is true there; nobody waits for it."""
        self._left_out = bad.to(torch.float32)

    def step(
        self, closure: Callable[[], Any] | None = None, scale: float = 1.0, groups: list[dict] | None = None
    ) -> None:
        """One update; gradients are divided by `scale`."""
        factor = self._factor / scale
        self._factor = 1.0
        first = next((parameter for parameter in self.params if parameter.grad is not None), None)
        if first is None:
            return
        # the kernel divides by this, as torch's GradScaler asks of it
        divisor = None
        if not isinstance(factor, float) or factor != 1:
            divisor = torch.as_tensor(1 / factor, dtype=torch.float32, device=first.device)
        self._optimizer.grad_scale = divisor  # type: ignore[attr-defined]
        self._optimizer.found_inf, self._left_out = self._left_out, None  # type: ignore[attr-defined]
        self._optimizer.step(closure)

    @property
    def optimizer_config(self) -> dict[str, Any]:
        """Settings that override those of a checkpoint."""
        lr = self.cfg.lr[0] if not isinstance(self.cfg.lr, float | int) else self.cfg.lr
        return {
            "lr": lr,
            "betas": _betas(self.cfg.adam_betas),
            "eps": self.cfg.adam_eps,
            "weight_decay": self.cfg.weight_decay,
        }

    @property
    def supports_flat_params(self) -> bool:
        """Elementwise, so parameters may be flattened."""
        return True

    @property
    def supports_memory_efficient_fp16(self) -> bool:
        """No: the fused kernel needs parameters and state of one type."""
        return False


def _betas(text: str) -> tuple[float, float]:
    try:
        first, second = (float(value) for value in ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError):
        raise InputError(f"--adam-betas {text!r}: expected two numbers, as '(0.9, 0.999)'") from None
    return first, second
