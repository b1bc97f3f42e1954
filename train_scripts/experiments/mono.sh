# One language alone; PAIR is its code (section 5).
MODE=joint BPE_JOINT=$BPE_EACH
