# A BPE per language; subwords that are the same string are shared (section 4.2).
CONDITION=default_anchors
