"""What kernels and the code around them agree on; needs no Triton."""

HASH_FACTORS = 0x9E3779B1, 0x7FEB352D, 0x846CA68B
"""Of the hash that decides on dropout: Knuth's, by the golden ratio, then those of C. Wellons' lowbias32.

(github.com/skeeto/hash-prospector.) Without the first one, elements some powers of two apart are correlated by 2 %.
"""

HEAD, LENGTHS = 64, (64, 128, 192, 256)
"""Width of a head, and tokens of a row, that the kernels of attention are made for."""
