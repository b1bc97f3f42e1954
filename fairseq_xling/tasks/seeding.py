"""The seed that fairseq sets before every update, set where it is used."""

import torch
from fairseq.trainer import Trainer

_set_seed = Trainer._set_seed


def _set_seed_here(self: Trainer) -> None:
    """fairseq's `_set_seed`; without a GPU it sets the seed of the CPU's generator only.

    `torch.manual_seed` also remembers the seed, with a stack trace, for each kind of device that may be started later.
    That takes longer than a layer of a small model.
    """
    if self.cuda or self.tpu:
        _set_seed(self)
    else:
        torch.default_generator.manual_seed(self.cfg.common.seed + self.get_num_updates())


def install() -> None:
    """Make fairseq's trainer seed in this way; a second call does nothing."""
    Trainer._set_seed = _set_seed_here
