# Joint BPE on both languages, everything shared.
CONDITION=default
