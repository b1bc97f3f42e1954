"""Speed of feature extraction and of zero-shot scoring, and how much of it goes into padding."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from common import SHAPES, Shape, machine, parser, table, write_json

from fairseq_xling.command import run_command
from fairseq_xling.data.blocks import pad_blocks
from fairseq_xling.data.labelled import LabelledBatches, pair_item, sentence_item
from fairseq_xling.data.length_batches import length_batches
from fairseq_xling.evaluation.features import BATCH_TOKENS, hidden_states
from fairseq_xling.evaluation.pretrained import Pretrained
from fairseq_xling.models import encoder as encoders
from fairseq_xling.models.masked_lm import XlingModel
from fairseq_xling.models.transfer import LinearHead, XlingTransferModel
from fairseq_xling.sharing import Sharing

EXPLANATION = """
Encodes made sentences, whose lengths are spread as those of running text (log-normal, 27 subwords in the mean), with an
untrained model, as `eval/extract.py` and `eval/zero_shot.py` do, and beside it in batches in the order of the text.
Speeds count real tokens; padding is the share of positions that hold none.

example: python benchmarks/evaluation.py --shape lab --sentences 2000
"""
LANGUAGE, PAD = "en", 1


def main() -> None:
    """Read the command line, measure, print."""
    options = parser(EXPLANATION)
    options.add_argument("--shape", choices=list(SHAPES), nargs="+", default=["paper", "lab"], help="(paper lab)")
    options.add_argument("--sentences", type=int, help="how many (600 at the paper's shape, else 6,000)")
    options.add_argument("--rounds", type=int, default=2, help="times each is measured, in turn (2)")
    chosen = options.parse_args()
    figures: dict[str, Any] = {"machine": machine()}
    rows: list[list[str]] = []
    for name in chosen.shape:
        count = chosen.sentences or (600 if name == "paper" else 6_000)
        measured = measure(SHAPES[name], count, chosen.rounds)
        figures[name] = measured
        figures[f"{name}, padding of 10,000 sentences"] = padding_of(made_sentences(SHAPES[name], 10_000))
        for way, each in measured.items():
            speed, padding = f"{each['tokens_per_second']:,.0f}", f"{100 * each['padding']:.1f} %"
            rows.append([name, str(count), way, speed, padding])
    print("\nevaluation\n\n" + table(["shape", "sentences", "way", "tokens/s", "padding"], rows), flush=True)
    for name in chosen.shape:
        share = figures[f"{name}, padding of 10,000 sentences"]
        print(f"{name}, features of 10,000 sentences: {100 * share:.1f} % padding", flush=True)
    write_json(chosen.out, figures)


def measure(shape: Shape, count: int, rounds: int) -> dict[str, dict[str, float]]:
    """Tokens per second and share of padding of each way."""
    torch.manual_seed(1)
    sentences, longest = made_sentences(shape, count), shape.block - 2
    body = encoder_of(shape)
    pretrained = stand_in(body, shape)
    tokens = int(sum(map(len, sentences)))
    words = labelled_words(sentences, longest + 2)
    pairs = labelled_pairs(sentences, longest + 2)
    head = [XlingTransferModel(body, LinearHead(shape.dim, ["a", "b", "c"])).eval()]
    ways: dict[str, tuple[Callable[[], Any], int, float]] = {
        "features, float32": (lambda: encode(pretrained, sentences, False), tokens, padding_of(sentences)),
        "features, bfloat16": (lambda: encode(pretrained, sentences, True), tokens, padding_of(sentences)),
        "features, float32, batches in the order of the text": (
            lambda: encode_in_order(body, sentences, 64),
            tokens,
            padding_in_order(sentences, 64),
        ),
        "scoring of words, float32": (lambda: score(head[0], words), *size_of(words)),
        "scoring of pairs, float32": (lambda: score(head[0], pairs), *size_of(pairs)),
    }
    speeds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, (run, real, _) in ways.items():
            begin = time.perf_counter()
            run()
            speeds[way].append(real / (time.perf_counter() - begin))
    return {
        way: {"tokens_per_second": statistics.median(speeds[way]), "padding": padding}
        for way, (_, _, padding) in ways.items()
    }


def made_sentences(shape: Shape, count: int) -> list[np.ndarray]:
    """Token ids with boundaries; lengths log-normal, cut to what a block holds."""
    generator = np.random.default_rng(1)
    lengths = np.clip(np.exp(generator.normal(3.1, 0.6, count)).astype(int), 1, shape.block - 2)
    return [np.array([2, *generator.integers(4, shape.vocabulary - 1, n), 2], dtype=np.int64) for n in lengths]


def encoder_of(shape: Shape) -> encoders.XlingEncoder:
    """An untrained encoder."""
    vocabularies = {LANGUAGE: encoders.VocabularyInfo(shape.vocabulary)}
    size = encoders.Shape(
        shape.layers, shape.dim, shape.heads, shape.hidden, shape.block, norm_before=shape.norm_before
    )
    return encoders.XlingEncoder(size, Sharing.parse("", shape.layers), vocabularies).to(device())


def stand_in(body: encoders.XlingEncoder, shape: Shape) -> Pretrained:
    """What `hidden_states` needs of a trained model, without a data-bin."""
    model = XlingModel(body, {LANGUAGE: encoders.VocabularyInfo(shape.vocabulary)})
    made = Pretrained(model.to(device()), "")
    dictionary = SimpleNamespace(pad=lambda: PAD)
    vocabularies = SimpleNamespace(dictionary=lambda language: dictionary)
    made._segmenters[LANGUAGE] = cast(Any, SimpleNamespace(vocabularies=vocabularies))
    return made


def device() -> str:
    """A GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def encode(pretrained: Pretrained, sentences: list[np.ndarray], bf16: bool) -> None:
    """Means of all layers' states, as features are made."""
    for _, states, words in hidden_states(pretrained, sentences, LANGUAGE, bf16):
        weight = words[..., None].float()
        torch.stack([(state * weight).sum(1) for state in states]).cpu()


def encode_in_order(body: encoders.XlingEncoder, sentences: list[np.ndarray], size: int) -> None:
    """The same in batches of `size` sentences as they come."""
    body.eval()
    for start in range(0, len(sentences), size):
        tokens = torch.from_numpy(pad_blocks(sentences[start : start + size], PAD)).to(device())
        with torch.inference_mode():
            states = body(tokens, LANGUAGE, tokens == PAD)
        weight = (tokens != PAD)[..., None].float()
        torch.stack([(state * weight).sum(1) for state in states]).cpu()


def padding_of(sentences: list[np.ndarray]) -> float:
    """Share of padding in the batches that `hidden_states` makes."""
    lengths = np.array([len(sentence) for sentence in sentences])
    batches = length_batches(lengths, positions=BATCH_TOKENS)
    return 1 - lengths.sum() / sum(len(batch) * int(lengths[batch].max()) for batch in batches)


def padding_in_order(sentences: list[np.ndarray], size: int) -> float:
    """Share of padding in batches as the sentences come."""
    lengths = np.array([len(sentence) for sentence in sentences])
    starts = range(0, len(lengths), size)
    return 1 - lengths.sum() / sum(len(lengths[at : at + size]) * int(lengths[at : at + size].max()) for at in starts)


def labelled_words(sentences: list[np.ndarray], limit: int) -> LabelledBatches:
    """Sentences with a label for each word of two subwords."""
    items = []
    for sentence in sentences:
        ids = sentence[1:-1].tolist()
        starts = list(range(0, len(ids), 2))
        items.append(sentence_item(ids, starts, np.zeros(len(starts), dtype=np.int64), limit))
    return LabelledBatches(items, sentences, LANGUAGE, PAD)


def labelled_pairs(sentences: list[np.ndarray], limit: int) -> LabelledBatches:
    """Each sentence with the next one of them."""
    pairs = zip(sentences[::2], sentences[1::2])
    items = [pair_item(one[1:-1].tolist(), other[1:-1].tolist(), 0, limit) for one, other in pairs]
    return LabelledBatches(items, items, LANGUAGE, PAD)


def samples(batches: LabelledBatches) -> Iterator[dict[str, Any]]:
    """The batches of scoring."""
    batches.lay_out(64)
    return (batches.sample(chosen) for chosen in batches.members(1))


def size_of(batches: LabelledBatches) -> tuple[int, float]:
    """Real tokens, and the share of padding."""
    sizes = [(sample["ntokens"], sample["net_input"]["src_tokens"].numel()) for sample in samples(batches)]
    real = sum(tokens for tokens, _ in sizes)
    return real, 1 - real / sum(positions for _, positions in sizes)


def score(model: XlingTransferModel, batches: LabelledBatches) -> None:
    """Predict all labels."""
    for sample in samples(batches):
        inputs = {
            name: value.to(device()) if isinstance(value, torch.Tensor) else value
            for name, value in sample["net_input"].items()
        }
        with torch.inference_mode():
            words = inputs["words"]
            cast(Any, model.head).decode(model(**inputs), None if words is None else words >= 0)


if __name__ == "__main__":
    run_command(main)
