# As default, on text in which dictionary words are replaced by translations (section 4.2).
CONDITION=extra_anchors
