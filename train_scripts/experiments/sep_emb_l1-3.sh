# Embeddings and layers 1 to 3 per language (section 4.3).
CONDITION=sep_emb SEPARATE=emb,1-3
