"""The mathematics of the study: normalisation, alignment, similarity, trees, scores."""
