# Layers 1 to 3 per language; the vocabulary is the union (section 4.3).
CONDITION=default_anchors SEPARATE=1-3
