"""Losses, registered with fairseq on import."""

from fairseq_xling.criterions import masked_lm  # noqa: F401
