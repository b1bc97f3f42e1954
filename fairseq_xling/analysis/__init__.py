"""The mathematics: normalisation, alignment, retrieval, similarity, spanning trees, scorers; no fairseq.

Rows are samples; NumPy arrays or torch tensors come in and the same kind goes out. Wrong input is a ``ValueError``.
"""

from fairseq_xling.analysis.cka import StreamingCKA, linear_cka
from fairseq_xling.analysis.classification import accuracy, chance, majority_baseline
from fairseq_xling.analysis.dependencies import Arc, AttachmentScore, Word, attachment_scores
from fairseq_xling.analysis.neighbors import Neighbors, nearest_neighbors
from fairseq_xling.analysis.normalization import IterativeNormalizer, iterative_normalize
from fairseq_xling.analysis.procrustes import procrustes
from fairseq_xling.analysis.retrieval import cosine_scores, csls, precision_at_1
from fairseq_xling.analysis.spans import Span, SpanScore, bio_spans, invalid_tags, repair_tags, span_f1
from fairseq_xling.analysis.statistics import Setting, best_two, mean_and_sd, mean_of_best_two, pearson
from fairseq_xling.analysis.trees import is_tree, maximum_spanning_tree, maximum_spanning_trees

__all__ = [
    "Arc",
    "AttachmentScore",
    "IterativeNormalizer",
    "Neighbors",
    "Setting",
    "Span",
    "SpanScore",
    "StreamingCKA",
    "Word",
    "accuracy",
    "attachment_scores",
    "best_two",
    "bio_spans",
    "chance",
    "cosine_scores",
    "csls",
    "invalid_tags",
    "is_tree",
    "iterative_normalize",
    "linear_cka",
    "majority_baseline",
    "maximum_spanning_tree",
    "maximum_spanning_trees",
    "mean_and_sd",
    "mean_of_best_two",
    "nearest_neighbors",
    "pearson",
    "precision_at_1",
    "procrustes",
    "repair_tags",
    "span_f1",
]
