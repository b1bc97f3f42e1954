"""Optimisers, registered with fairseq on import."""

from fairseq_xling.optim import adam  # noqa: F401
