# Layers 1 to 3 per language; the vocabulary is the union (section 4.3).
MODE=union SEPARATE=1-3
