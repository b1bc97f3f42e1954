"""Size and details of an encoder."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """Size and details of the encoder; the defaults are the paper's.

    Parameters
    ----------
    layers, dim, heads, hidden : int
    max_positions : int
        Longest block, in tokens.
    dropout, attention_dropout : float
    norm_before : bool
        Layer norm before each sublayer; the paper's implementation has it after.
    init_std : float
        Standard deviation of the initial weights, output maps of the sublayers scaled by depth; 0: XLM's initialisation
        (embeddings N(0, dim^-1/2), linear maps uniform within +-1/sqrt(inputs)).
    language_embeddings : bool
        Add a vector of the batch's language to every position (XLM's default; the paper is silent; off here).
    equal_start : bool
        Separate layers start with the same values in all languages.
    bf16_residual : bool
        Under autocast to bfloat16, what sublayers add to and pass on is in bfloat16 as well.
    """

    layers: int = 8
    dim: int = 768
    heads: int = 12
    hidden: int = 3072
    max_positions: int = 256
    dropout: float = 0.1
    attention_dropout: float = 0.1
    norm_before: bool = False
    init_std: float = 0.0
    language_embeddings: bool = False
    equal_start: bool = False
    bf16_residual: bool = False
