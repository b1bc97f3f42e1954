"""Encoder with language-specific and shared parts, the masked language model, heads of tasks."""

from fairseq_xling.models import masked_lm, transfer  # noqa: F401
