# As default, on text in which dictionary words are replaced by translations (section 4.2).
MODE=joint CODE_SWITCH=1
