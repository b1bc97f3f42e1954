"""XLM's encoder and masked LM loss, written out plainly from the description, one sentence and one head at a time.

It shares no code with the project: weights come as a state dict, and the choice of language-specific parts is
read from the names alone.
"""

import math

import torch


def reference_hidden_states(state, tokens, language, heads, lengths, norm_before=False):
    """Hidden states L0..Ln: list of (batch, length, dim); `lengths` are the real lengths of the rows."""
    layers = 1 + max(int(name.split(".")[2]) for name in state if name.startswith("encoder.layers."))
    rows = [_row(state, row[:n], language, heads, layers, norm_before) for row, n in zip(tokens, lengths)]
    return [[row[layer] for row in rows] for layer in range(layers + 1)]


def reference_loss(state, tokens, language, heads, lengths, picks, targets, norm_before=False):
    """Mean negative log-likelihood (nats) of `targets` at the (row, column) `picks`."""
    top = reference_hidden_states(state, tokens, language, heads, lengths, norm_before)[-1]
    matrix = _part(state, "encoder.embeddings", language, "tokens.weight")
    bias = _part(state, "head", language, "bias")
    total = 0.0
    for (row, column), target in zip(picks, targets):
        scores = [float(torch.dot(top[row][column], matrix[word]) + bias[word]) for word in range(len(matrix))]
        largest = max(scores)
        log_sum = largest + math.log(sum(math.exp(score - largest) for score in scores))
        total += log_sum - scores[target]
    return total / len(picks)


def _part(state, prefix, language, name):
    own, shared = f"{prefix}.{language}.{name}", f"{prefix}.shared.{name}"
    assert (own in state) != (shared in state)
    return state[own] if own in state else state[shared]


def _row(state, tokens, language, heads, layers, norm_before):
    words = _part(state, "encoder.embeddings", language, "tokens.weight")
    places = _part(state, "encoder.embeddings", language, "positions.weight")
    x = torch.stack([words[int(token)] + places[place] for place, token in enumerate(tokens)])
    vector = state.get(f"encoder.language_vectors.{language}.weight")
    if vector is not None:
        x = x + vector[0]
    x = _norm(x, state["encoder.embedding_norm.weight"], state["encoder.embedding_norm.bias"])
    states = [x]
    for layer in range(layers):

        def get(name, layer=layer):
            return _part(state, f"encoder.layers.{layer}", language, name)

        if norm_before:
            y = _norm(x, get("attention_norm.weight"), get("attention_norm.bias"))
            x = x + _attention(y, get, heads)
            y = _norm(x, get("feed_forward_norm.weight"), get("feed_forward_norm.bias"))
            x = x + _feed_forward(y, get)
        else:
            x = _norm(x + _attention(x, get, heads), get("attention_norm.weight"), get("attention_norm.bias"))
            x = _norm(x + _feed_forward(x, get), get("feed_forward_norm.weight"), get("feed_forward_norm.bias"))
        states.append(x)
    if norm_before:
        states[-1] = _norm(x, state["encoder.final_norm.weight"], state["encoder.final_norm.bias"])
    return states


def _norm(x, weight, bias):
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-12) * weight + bias


def _attention(x, get, heads):
    dim = x.shape[1]
    width = dim // heads
    queries, keys, values = (x @ w.T + b for w, b in zip(get("attention.qkv.weight").split(dim), _thirds(get, dim)))
    mixed = torch.zeros_like(x)
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        for place in range(len(x)):
            scores = (queries[place, part] / math.sqrt(width)) @ keys[:, part].T
            weights = torch.exp(scores - scores.max())
            mixed[place, part] = (weights / weights.sum()) @ values[:, part]
    return mixed @ get("attention.out.weight").T + get("attention.out.bias")


def _thirds(get, dim):
    return get("attention.qkv.bias").split(dim)


def _feed_forward(x, get):
    hidden = x @ get("feed_forward.expand.weight").T + get("feed_forward.expand.bias")
    hidden = 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))
    return hidden @ get("feed_forward.out.weight").T + get("feed_forward.out.bias")
