# Embeddings and layers 1 to 6 per language (section 4.3).
CONDITION=sep_emb SEPARATE=emb,1-6
