"""Optimisers, registered with fairseq on import."""

from fairseq_xling.optim import adam, two_rates  # noqa: F401
