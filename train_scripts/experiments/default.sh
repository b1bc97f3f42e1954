# Joint BPE on both languages, everything shared.
MODE=joint
