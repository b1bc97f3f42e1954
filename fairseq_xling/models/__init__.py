"""Registered with fairseq on import."""
