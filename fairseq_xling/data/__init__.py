"""Vocabularies, streams of blocks, the schedule of single-language batches, masking."""
