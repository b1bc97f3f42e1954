"""The demo: trains through `train_scripts/run.sh`, measures, prints the table, writes the report."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tqdm import tqdm

from fairseq_xling.evaluation.demo_figures import layer_figure, loss_figure, translation_figure
from fairseq_xling.evaluation.demo_table import demo_table
from fairseq_xling.evaluation.figure_file import write_figure
from fairseq_xling.evaluation.figure_series import RANDOM
from fairseq_xling.evaluation.pretrained import Pretrained
from fairseq_xling.evaluation.report import Page, write_page
from fairseq_xling.evaluation.structure import RETRIEVAL, SIMILARITY, sentence_structure, word_structure
from fairseq_xling.formats.dictionary import read_pairs
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.files import atomic_write
from fairseq_xling.formats.parallel import read_table
from fairseq_xling.formats.results import Result, Run, append_results, read_results

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = ("default", "no_anchors", "sep_emb_l1-6")
PAIR = "qaa-qab"


class Demo:
    """Everything of one demo lies in one folder.

    Parameters
    ----------
    out : path-like
    seeds : sequence of int
        Of the models; the world is the same.
    updates : int
    processes : int
        Models trained at a time, one thread each.
    options : sequence of str
        More of fairseq-train, for all models.
    """

    def __init__(self, out: Path, seeds: Sequence[int], updates: int, processes: int, options: Sequence[str] = ()):
        self.out, self.seeds, self.updates, self.processes = out.absolute(), list(seeds), updates, max(1, processes)
        self.options = list(options)
        self.runs = [Run(experiment, PAIR, "lab", seed) for seed in self.seeds for experiment in EXPERIMENTS]

    def run(self) -> None:
        """Do all of it; what is done already is skipped."""
        begin = time.monotonic()
        print(f"1/4 the invented world and its vocabularies, in {_shown(self.out)}", flush=True)
        self._script(self.runs[0], "text")
        with ThreadPoolExecutor(self.processes) as pool:
            list(pool.map(lambda run: self._script(run, "vocabulary"), self.runs[: len(EXPERIMENTS)]))
        print(f"2/4 pretraining {len(self.runs)} models, {self.updates} updates each", flush=True)
        self._pretrain()
        print("3/4 measuring them, and the same architectures untrained", flush=True)
        results = self._measure()
        print("4/4 the report\n", flush=True)
        print(demo_table(results, EXPERIMENTS, RANDOM))
        self._report(results)
        print(f"\n{_shown(self.out / 'results.jsonl')}  {_shown(self.out / 'report.html')}")
        print(f"{time.monotonic() - begin:.0f} seconds")

    def _script(self, run: Run, stage: str) -> None:
        """One stage of train_scripts/run.sh; its output goes to a log."""
        command = ["bash", str(ROOT / "train_scripts" / "run.sh"), run.experiment, PAIR, "--scale", "lab"]
        command += ["--seed", str(run.seed), "--stage", stage]
        if stage == "pretrain":
            command += ["--", "--max-update", str(self.updates), "--total-num-update", str(self.updates)]
            command += self.options
        environment = {**os.environ, "RUNS": str(self.out), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
        if done.returncode:
            raise InputError(f"{' '.join(command[1:])} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")

    def _folder(self, run: Run) -> Path:
        return self.out / run.experiment / run.pair / f"seed{run.seed}"

    def _pretrain(self) -> None:
        with (
            ThreadPoolExecutor(self.processes) as pool,
            tqdm(total=len(self.runs) * self.updates, unit="update", mininterval=2, smoothing=0.05) as bar,
        ):
            jobs = [pool.submit(self._script, run, "pretrain") for run in self.runs]
            while not all(job.done() for job in jobs):
                time.sleep(1)
                bar.update(sum(self._updates_done(run) for run in self.runs) - bar.n)
            for job in as_completed(jobs):
                job.result()
            bar.update(bar.total - bar.n)

    def _updates_done(self, run: Run) -> int:
        lines = _metrics(self._folder(run) / "metrics.jsonl")
        return min(max((line["update"] for line in lines), default=0), self.updates)

    def _measure(self) -> list[Result]:
        """Measure each model once: a run whose lines are in results.jsonl with its checkpoint's time is skipped."""
        path, measured = self.out / "results.jsonl", self.out / "measured.json"
        known: dict[str, float] = json.loads(measured.read_text()) if measured.exists() and path.exists() else {}
        kept = [] if not path.exists() else read_results(path)
        parallel = read_table(self._lab("parallel/test.tsv")).sentences
        dictionary = [
            pair for part in ("train", "test") for pair in read_pairs(self._lab(f"dictionaries/{PAIR}.{part}.txt"))
        ]
        for run in tqdm(self.runs, unit="model", disable=len(self.runs) == 1):
            checkpoint = self._folder(run) / "checkpoint_last.pt"
            key, stamp = f"{run.experiment} {run.seed}", checkpoint.stat().st_mtime
            if known.get(key) == stamp:
                continue
            kept = [r for r in kept if (r.experiment.removeprefix(RANDOM), r.seed) != (run.experiment, run.seed)]
            trained = Pretrained.load(checkpoint)
            untrained = Run(RANDOM + run.experiment, run.pair, run.scale, run.seed)
            for model, labels in ((trained, run), (trained.random_twin(run.seed), untrained)):
                kept += sentence_structure(model, labels, parallel, "lab/parallel/test")
                kept += word_structure(model, labels, dictionary, "lab/dictionaries")
            known[key] = stamp
        temporary = path.with_suffix(".tmp")
        temporary.unlink(missing_ok=True)
        append_results(temporary, kept)
        os.replace(temporary, path)
        with atomic_write(measured) as out:
            json.dump(known, out)
        wanted = {(run.experiment, run.seed) for run in self.runs}
        return [r for r in kept if (r.experiment.removeprefix(RANDOM), r.seed) in wanted]

    def _lab(self, name: str) -> Path:
        return self.out / "lab" / name

    def _report(self, results: list[Result]) -> None:
        curves = {
            f"{run.experiment}, seed {run.seed}": _metrics(self._folder(run) / "metrics.jsonl")
            for run in self.runs
            if run.seed == self.seeds[0]
        }
        page = Page("What two languages share that never met")
        page.text(
            "Masked language models of two invented languages that share no sentence and, in no_anchors, no string. "
            "The generator knows which sentences and words mean the same, so what emerges can be measured."
        )
        page.preformatted(demo_table(results, EXPERIMENTS, RANDOM))
        page.figure("Loss while training, for each language", loss_figure(curves))
        retrieval = layer_figure(results, RETRIEVAL, "precision@1", EXPERIMENTS, RANDOM)
        write_figure(retrieval, self.out / "retrieval.png", dpi=110, bbox_inches="tight")
        page.figure("Sentence retrieval: is the nearest sentence of the other language the translation?", retrieval)
        page.figure("Word translation at the embeddings", translation_figure(results, EXPERIMENTS, RANDOM))
        page.figure(
            "Linear CKA of the two languages: high for every trained model, so it is not the yardstick here",
            layer_figure(results, SIMILARITY, "linear_cka", EXPERIMENTS, RANDOM),
        )
        page.heading("How each number was made")
        page.preformatted("\n".join(sorted({f"{r.task}: {r.signature}" for r in results})))
        write_page(self.out / "report.html", page)


def _metrics(path: Path) -> list[dict]:
    """Lines of metrics.jsonl; one that is just being written is left out."""
    lines = []
    if path.exists():
        for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if not isinstance(line, dict) or "update" not in line or not isinstance(line.get("phase"), str):
                continue
            if all(isinstance(value, (int, float)) for key, value in line.items() if key != "phase"):
                lines.append(line)
    return lines


def _shown(path: Path) -> str:
    return os.path.relpath(path)
