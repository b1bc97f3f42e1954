"""Triton kernels for a GPU. Only what has made sure that Triton is there imports them."""
