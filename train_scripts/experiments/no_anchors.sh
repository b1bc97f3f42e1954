# A BPE per language, every subword with its language in front: no string in common (section 4.2).
CONDITION=no_anchors
