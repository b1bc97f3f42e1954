"""Hidden states of every layer for sentences, in batches of similar length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from tqdm import tqdm

from fairseq_xling.data.blocks import pad_blocks
from fairseq_xling.data.length_batches import length_batches
from fairseq_xling.evaluation.pretrained import Pretrained
from fairseq_xling.formats.errors import InputError

BATCH_TOKENS = 4096
"""Tokens of a batch, padding included."""


def hidden_states(
    pretrained: Pretrained,
    sentences: Sequence[np.ndarray],
    language: str,
    bf16: bool = False,
    progress: str | None = None,
) -> Iterator[tuple[np.ndarray, list[torch.Tensor], torch.Tensor]]:
    """Encode sentences batch by batch.

    Parameters
    ----------
    pretrained : Pretrained
    sentences : sequence of (length,) int64
        With their boundary symbols, see `Pretrained.sentence_ids`; of `Pretrained.longest_row` tokens at most.
    language : str
    bf16 : bool
        Compute in bfloat16.
    progress : str, optional
        Label of a progress bar.

    Yields
    ------
    indices : (batch,) int
        Which sentences these are.
    states : list of (batch, length, dim) float32
        L0 to the last layer, without gradients; a probe may be trained on them.
    mask : (batch, length) bool
        True at words: neither boundary nor padding.

    Raises
    ------
    InputError
        A sentence longer than the rows of training: positions beyond may exist, but are as they were drawn.
    """
    longest = max(map(len, sentences), default=0)
    if longest > pretrained.longest_row:
        raise InputError(f"a sentence of {longest} tokens; the model was trained on {pretrained.longest_row} at most")
    pad = pretrained.segmenter(language).vocabularies.dictionary(language).pad()
    batches = length_batches([len(sentence) for sentence in sentences], positions=BATCH_TOKENS)
    device = pretrained.device
    for indices in tqdm(batches, desc=progress, disable=progress is None, leave=False):
        tokens = torch.from_numpy(pad_blocks([sentences[i] for i in indices], pad)).to(device)
        padding = tokens == pad
        lengths = (~padding).sum(1)
        places = torch.arange(tokens.shape[1], device=device)
        words = (places[None] > 0) & (places[None] < lengths[:, None] - 1)
        with torch.no_grad(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            states = pretrained.model.encoder(tokens, language, padding if bool(padding.any()) else None)
        yield indices, [state.float() for state in states], words


def sentence_features(
    pretrained: Pretrained,
    texts: Sequence[str],
    language: str,
    bf16: bool = False,
    out: Callable[[tuple[int, ...]], np.ndarray] | None = None,
    progress: str | None = None,
) -> np.ndarray:
    """Mean of the hidden states of a sentence's subwords, special symbols left out (paper, section 5.3).

    Parameters
    ----------
    pretrained : Pretrained
    texts : sequence of str
        Tokenised as the training text was.
    language : str
    bf16 : bool
    out : callable, optional
        Makes the array for a shape, for instance memory-mapped; zeros in memory by default.
    progress : str, optional

    Returns
    -------
    (layers + 1, sentences, dim) float32
        An empty sentence is zero. Sentences longer than the rows of training are averaged over windows.

    Raises
    ------
    ValueError
        One string in place of several: its characters would count as sentences.
    """
    if isinstance(texts, str):
        raise ValueError(f"expected several sentences, not one string: {texts[:40]!r}")
    longest = pretrained.longest_row - 2
    segmenter = pretrained.segmenter(language)
    pieces, owner = [], []
    for number, text in enumerate(texts):
        ids = segmenter.encode(text)
        for start in range(0, len(ids), longest):
            pieces.append(pretrained.sentence_ids(ids[start : start + longest], language))
            owner.append(number)
    shape = (pretrained.num_layers + 1, len(texts), pretrained.model.encoder.shape.dim)
    features = np.zeros(shape, dtype=np.float32) if out is None else out(shape)
    counts = np.zeros(len(texts), dtype=np.int64)
    owners = np.array(owner, dtype=np.int64)
    for indices, states, words in hidden_states(pretrained, pieces, language, bf16, progress=progress):
        weight = words[..., None].float()
        sums = torch.stack([(state * weight).sum(1) for state in states]).cpu().numpy()
        for column, number in enumerate(owners[indices]):
            features[:, number] += sums[:, column]
        np.add.at(counts, owners[indices], words.sum(1).cpu().numpy())
    features /= np.maximum(counts, 1)[None, :, None]
    return features
