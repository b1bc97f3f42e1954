# Layers 1 to 6 per language; the vocabulary is the union (section 4.3).
CONDITION=default_anchors SEPARATE=1-6
