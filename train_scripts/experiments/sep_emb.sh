# Token and position embeddings per language, and with them vocabulary and softmax (section 4.3).
CONDITION=sep_emb SEPARATE=emb
