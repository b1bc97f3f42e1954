# As default, the other language from web text (paper, section 4.1).
MODE=joint TARGET_DOMAIN=cc
