"""From dumps to data-bin: extraction, tokenisation, BPE, code-switching, binarisation."""
