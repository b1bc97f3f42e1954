"""Losses, registered with fairseq on import."""

from fairseq_xling.criterions import masked_lm, transfer  # noqa: F401
