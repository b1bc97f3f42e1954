"""The seed that fairseq sets before every update, set where it is used."""

import torch
from fairseq.trainer import Trainer

_set_seed = Trainer._set_seed


def _set_seed_here(self: Trainer) -> None:
    """fairseq's `_set_seed`; without a GPU the generator of the CPU alone.

    `torch.manual_seed` also notes the seed for every kind of device that might still be started, with a stack trace
    each: more time than a layer of a small model takes.
    """
    if self.cuda or self.tpu:
        _set_seed(self)
    else:
        torch.default_generator.manual_seed(self.cfg.common.seed + self.get_num_updates())


def install() -> None:
    """Make fairseq's trainer seed in this way; a second call does nothing."""
    Trainer._set_seed = _set_seed_here
