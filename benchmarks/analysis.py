"""Speed of `fairseq_xling.analysis` against the usual ways of computing the same, in one run on the same data.

Each line of the table is checked for equal answers before its ratio is printed. Ratios of one run can be compared
on a busy machine (those of CPU seconds best), seconds of different runs cannot. The data are made from a seed:
clustered vectors of different spread with a common offset, so that there are hubs, as in word vectors.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import time
from collections.abc import Callable, Iterator
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from fairseq_xling.analysis import is_tree, maximum_spanning_trees, nearest_neighbors, neighbors
from fairseq_xling.analysis.arrays import unit_rows
from fairseq_xling.analysis.cka import StreamingCKA
from fairseq_xling.analysis.running_topk import _positions_above
from fairseq_xling.command import run_command
from fairseq_xling.formats.errors import InputError

EXAMPLE = """
examples:
  python benchmarks/analysis.py --parts csls --rows 200000 --way faiss        (a quarter of an hour on 2 cores)
  python benchmarks/analysis.py --parts csls --rows 200000 --queries 20000    (a tenth of it: 20,000 rows against all)
"""

PARTS = ("csls", "tile", "memory", "cka", "trees")


def main() -> None:
    """Run the parts that were asked for, print a Markdown table and a line of JSON."""
    options = _options()
    unknown = set(options.parts.split(",")) - set(PARTS)
    if unknown:
        raise InputError(f"unknown part {', '.join(sorted(unknown))}; known are {', '.join(PARTS)}")
    if options.threads:
        torch.set_num_threads(options.threads)
        if find_spec("faiss"):
            import faiss

            faiss.omp_set_num_threads(options.threads)
    print(f"{date.today()}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print("| task | way | seconds | CPU seconds | times ours | times ours, CPU | answers |\n" + "|---" * 7 + "|")
    rows: list[dict[str, Any]] = []
    for part in options.parts.split(","):
        makers = {"csls": csls_rows, "tile": tile_rows, "memory": memory_rows, "cka": cka_rows, "trees": tree_rows}
        for row in makers[part](options):
            rows.append(row)
            cells = [row[name] for name in ("task", "way", "seconds", "cpu_seconds", "ratio", "cpu_ratio", "answers")]
            print("|", " | ".join("" if cell is None else str(cell) for cell in cells), "|", flush=True)
    print("\n" + json.dumps(rows))


def csls_rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The nearest row of Y by CSLS for each row of X: one pass, MUSE's three passes, and those with faiss for two.

    With `queries` only the first rows of X are there, for every way: neighbourhoods of Y are then those among them.
    """
    X, Y = vectors(options.rows, options.columns, options.seed)
    X = X[: options.queries or None].clone()
    task = f"CSLS nearest neighbour, {len(X)} x {len(Y)} x {X.shape[1]}"
    before = memory(reset_peak=True)
    seconds, ours = timed(nearest_neighbors, X, Y, k=10, progress=True)
    more = (memory() - before) / 2**30
    yield _row(task, "nearest_neighbors", seconds, None, f"{more:.2f} GiB besides the input")
    ways = {"MUSE, blocked": near_mean_blocked}
    if find_spec("faiss"):
        ways["MUSE, faiss"] = near_mean_faiss
    ways = {way: near_mean for way, near_mean in ways.items() if options.way in way}
    for way, near_mean in ways.items():
        other, (best, scores) = timed(muse_csls, X, Y, 10, near_mean)
        differ = ours.indices[:, 0] != best
        gap = float((ours.scores[:, 0] - scores).abs().max())
        if gap > 1e-4:
            raise AssertionError(f"{way}: scores differ by {gap}")
        answers = f"{int(differ.sum())} of {len(X)} differ (near ties), scores by at most {gap:.0e}"
        yield _row(task, way, other, seconds, answers)


def tile_rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Where the time of `nearest_neighbors` goes, block by block, and other sizes of blocks."""
    size = neighbors._TILE
    X, Y = vectors(max(10 * size, options.tile_rows), options.columns, options.seed)
    one, other = (unit_rows(side[:size].double()).float() for side in (X, Y))
    scores = one @ other.T
    half, other_half = one.bfloat16(), other.bfloat16()
    rarely = scores.flatten().kthvalue(int(0.9999 * scores.numel())).values.expand(size)

    def look() -> None:
        _positions_above(scores, rarely, 0), _positions_above(scores, rarely, 1)

    steps = [
        ("product", lambda: torch.mm(one, other.T, out=scores)),
        ("look for scores that count, rows and columns; one in 10,000 does", look),
        ("product in bfloat16, not used", lambda: torch.mm(half, other_half.T)),
    ]
    task = f"one block of {size} x {size} x {X.shape[1]}"
    for name, step in steps:
        step()
        times = [timed(step)[0] for _ in range(20)]
        best = Seconds(*(sorted(values)[len(times) // 2] for values in zip(*times, strict=True)))
        yield _row(task, name, best, None, "median of 20")
    queries = X[: options.tile_rows // 4]
    for tile in (size // 2, size, size * 2):
        neighbors._TILE = tile
        seconds, _ = timed(nearest_neighbors, queries, Y[: options.tile_rows], k=10)
        yield _row(f"CSLS, {len(queries)} x {options.tile_rows} x {X.shape[1]}", f"blocks of {tile}", seconds, None, "")
    neighbors._TILE = size


def memory_rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Largest memory while 200,000 x 200,000 x 768 are searched: both sides held in memory, for some of the queries."""
    X, Y = vectors(200_000, 768, options.seed)
    memory(reset_peak=True)
    held = current_memory()
    queries = X[: options.memory_queries]
    seconds, _ = timed(nearest_neighbors, queries, Y, k=10, progress=True)
    peak = memory()
    inputs = (X.nbytes + Y.nbytes) / 1e9
    rest = (len(X) - len(queries)) * 11 * 12 / 1e9  # of the best pairs of the queries that were left out
    answers = (
        f"peak {peak / 1e9 + rest:.2f} GB for all queries ({peak / 1e9:.2f} measured + {rest:.2f}), of which input "
        f"{inputs:.2f}, search {(peak - held) / 1e9 + rest:.2f}, programs {held / 1e9 - inputs:.2f}"
    )
    yield _row(f"memory, {len(queries)} of {len(X)} x {len(Y)} x 768", "nearest_neighbors", seconds, None, answers)


def muse_csls(X: torch.Tensor, Y: torch.Tensor, k: int, near_mean: Callable) -> tuple[torch.Tensor, torch.Tensor]:
    """CSLS as MUSE's dictionary builder computes it: two passes for the neighbourhoods, a third for the scores."""
    X, Y = X / X.norm(dim=1, keepdim=True), Y / Y.norm(dim=1, keepdim=True)
    near_x, near_y = near_mean(Y, X, k), near_mean(X, Y, k)
    best, values = [], []
    for start in range(0, len(X), 128):
        scores = Y.mm(X[start : start + 128].T).T
        scores.mul_(2)
        scores.sub_(near_x[start : start + 128, None])
        scores.sub_(near_y[None, :])
        top = scores.topk(2, dim=1, largest=True, sorted=True)
        best.append(top.indices[:, 0])
        values.append(top.values[:, 0])
    return torch.cat(best), torch.cat(values)


def near_mean_blocked(base: torch.Tensor, queries: torch.Tensor, k: int) -> torch.Tensor:
    """Mean cosine of each query with its `k` nearest, as MUSE without faiss: blocks of 1024 queries and topk."""
    base = base.T.contiguous()
    blocks = (queries[start : start + 1024].mm(base) for start in range(0, len(queries), 1024))
    return torch.cat([block.topk(k, dim=1).values.mean(dim=1) for block in blocks])


def near_mean_faiss(base: torch.Tensor, queries: torch.Tensor, k: int) -> torch.Tensor:
    """The same as MUSE with faiss on a CPU: an exact inner product index."""
    import faiss

    index = faiss.IndexFlatIP(base.shape[1])
    index.add(base.numpy())
    return torch.from_numpy(index.search(queries.numpy(), k)[0].mean(axis=1))


def cka_rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Linear CKA from sums over batches, and from the two centred n x n Gram matrices; both in float64."""
    X, Y = vectors(options.samples, 768, options.seed)
    X, Y = X.double(), Y.double()
    for debiased, gram in ((False, gram_cka), (True, gram_debiased_cka)):
        task = f"{'debiased ' * debiased}linear CKA, {len(X)} x 768"
        seconds, ours = timed(streaming_cka, X, Y, debiased)
        other, value = timed(gram, X, Y)
        if abs(ours - value) > 1e-9:
            raise AssertionError(f"CKA {ours} against {value}")
        yield _row(task, "StreamingCKA, batches of 256", seconds, None, f"{ours:.6f}")
        yield _row(task, "n x n Gram form", other, seconds, f"{value:.6f}")


def streaming_cka(X: torch.Tensor, Y: torch.Tensor, debiased: bool) -> float:
    """CKA batch by batch, as features come from a model."""
    stream = StreamingCKA(debiased)
    for some_x, some_y in zip(X.split(256), Y.split(256), strict=True):
        stream.update(some_x, some_y)
    return stream.value()


def gram_cka(X: torch.Tensor, Y: torch.Tensor) -> float:
    """CKA from centred Gram matrices."""
    K, L = (X - X.mean(0)), (Y - Y.mean(0))
    K, L = K @ K.T, L @ L.T
    return float((K * L).sum() / (K.norm() * L.norm()))


def gram_debiased_cka(X: torch.Tensor, Y: torch.Tensor) -> float:
    """Debiased CKA from Gram matrices without their diagonals."""
    K, L = X @ X.T, Y @ Y.T
    K.fill_diagonal_(0)
    L.fill_diagonal_(0)
    n = len(X)

    def hsic(K: torch.Tensor, L: torch.Tensor) -> torch.Tensor:
        return (K * L).sum() + K.sum() * L.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (K.sum(0) @ L.sum(0))

    return float(hsic(K, L) / (hsic(K, K) * hsic(L, L)).sqrt())


def tree_rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Maximum spanning trees of 25 words on one thread: scores like a parser's, and the worst case, noise."""
    generator = np.random.default_rng(options.seed)
    for name, gap in (("peaked scores (+4 on a tree)", 4.0), ("peaked scores (+2.5)", 2.5), ("random scores", 0.0)):
        sentences = [tree_scores(generator, 25, gap) for _ in range(options.sentences)]
        seconds, _ = timed(maximum_spanning_trees, sentences)
        greedy = np.mean([is_tree(scores.argmax(axis=1)[1:]) for scores in sentences])
        answers = f"{len(sentences) / seconds.cpu:.0f} sentences/s; {greedy:.0%} have a tree of best heads"
        yield _row(f"{len(sentences)} trees of 25 words", name, seconds, None, answers)


def tree_scores(generator: np.random.Generator, words: int, gap: float) -> np.ndarray:
    """Standard normal scores, with `gap` added on the arcs of a random tree."""
    scores = generator.normal(size=(words + 1, words + 1))
    order = generator.permutation(words) + 1
    heads = [0] + [order[generator.integers(position)] for position in range(1, words)]
    scores[order, heads] += gap
    np.fill_diagonal(scores, -np.inf)
    return scores


def vectors(n: int, d: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Clustered vectors with hubs (n, d), and noisy copies of them in another order of size."""
    generator = torch.Generator().manual_seed(seed)
    clusters = max(1, n // 50)
    centres = torch.randn(clusters, d, generator=generator) + torch.randn(d, generator=generator) * 0.7
    X = centres[torch.randint(clusters, (n,), generator=generator)]
    X = X + torch.randn(n, d, generator=generator) * torch.rand(n, 1, generator=generator) * 2
    Y = X + torch.randn(n, d, generator=generator) * torch.rand(n, 1, generator=generator) * 1.5
    return X, Y


class Seconds(NamedTuple):
    """Time by the clock, and time of all threads on a processor: the second says more where others compute too."""

    wall: float
    cpu: float


def timed(work: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[Seconds, Any]:
    """How long a call takes, and its result."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work(*arguments, **options)
    return Seconds(time.perf_counter() - wall, time.process_time() - cpu), result


def _row(task: str, way: str, seconds: Seconds, ours: Seconds | None, answers: str) -> dict[str, Any]:
    return {
        "task": task,
        "way": way,
        "seconds": round(seconds.wall, 3),
        "cpu_seconds": round(seconds.cpu, 3),
        "ratio": None if ours is None else round(seconds.wall / ours.wall, 2),
        "cpu_ratio": None if ours is None else round(seconds.cpu / ours.cpu, 2),
        "answers": answers,
    }


def memory(reset_peak: bool = False) -> int:
    """Largest memory of this process in bytes, since the last reset where Linux allows one."""
    if reset_peak:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def current_memory() -> int:
    """Memory of this process now, in bytes; where Linux does not tell it, the largest so far."""
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) * 1024
    return memory()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EXAMPLE,
    )
    parser.add_argument("--parts", default=",".join(PARTS), help="which comparisons, of %(default)s")
    parser.add_argument("--rows", type=int, default=40000, help="words per language for CSLS (%(default)s)")
    parser.add_argument("--queries", type=int, help="only so many rows of X, against all of Y (all)")
    parser.add_argument("--way", default="", help="only MUSE's way of CSLS with this in its name")
    parser.add_argument("--tile-rows", type=int, default=20480, help="rows of Y for the tile part (%(default)s)")
    parser.add_argument("--memory-queries", type=int, default=4096, help="queries of the memory part (%(default)s)")
    parser.add_argument("--columns", type=int, default=300, help="dimensions for CSLS (%(default)s)")
    parser.add_argument("--samples", type=int, default=10000, help="samples for CKA (%(default)s)")
    parser.add_argument("--sentences", type=int, default=2000, help="trees of each kind (%(default)s)")
    parser.add_argument("--threads", type=int, help="threads of torch and faiss (default: theirs)")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    run_command(main)
