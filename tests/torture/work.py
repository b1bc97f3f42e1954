"""What is killed: the project's commands on tiny inputs, called in this process, and what their result is known by."""

from __future__ import annotations

import hashlib
import importlib
import json
import runpy
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.tasks.pretraining import write_data
from tests.torture.world import ROOT, wiki_dump, write_results
from tests.transfer import world


@dataclass(frozen=True)
class Scenario:
    """A command.

    Attributes
    ----------
    name : str
    inputs : tuple of str
        Folders of `prepare` that are copied into the folder of a run, as it may write beside them.
    work : callable
        Does it in a folder, or goes on with it.
    events : int
        File operations of an undisturbed run, about; kills are drawn among them.
    """

    name: str
    inputs: tuple[str, ...]
    work: Callable[[Path], None]
    events: int

    def copy_inputs(self, source: Path, folder: Path, keep: bool = False) -> None:
        """Lay out the inputs; all of them lie at `source`, which is not written to. `keep` the folder, a disk."""
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        (folder / "at").symlink_to(source)
        for name in self.inputs:
            shutil.copytree(source / name, folder / name)


def import_everything() -> None:
    """So that forked children do not each import for themselves."""
    for path in sorted((ROOT / "fairseq_xling").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if path.name not in ("__init__.py", "__main__.py") and path.parent.name != "kernels":  # those need Triton
            importlib.import_module(name)
    import tests.torture.training  # noqa: F401


def prepare(folder: Path) -> Path:
    """Inputs of all scenarios; all modules are imported, as a child that became nobody may not read them."""
    import_everything()
    from fairseq_xling.formats.dictionary import write_weighted

    folder.mkdir(parents=True)
    write_data(folder / "random", {"en": 60, "fr": 30})
    world.make_databin(folder, "union")
    pretrained = folder / "pretrained"
    world.make_pretrained(folder / "union", pretrained, "--max-positions", 24)
    world.write_ner(folder / "ner")
    (folder / "wiki.xml").write_text(wiki_dump())
    (folder / "table").mkdir()
    write_results(folder / "table" / "results.jsonl")
    for lang in world.LETTERS:
        for split in ("train", "valid"):
            target = folder / "condition" / "text" / "wiki" / f"{lang}.{split}.txt"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / "text" / f"{lang}.{split}.txt", target)
    pairs = {a: {b: 1.0} for a, b in zip(world.lexicon("en"), world.lexicon("fr"))}
    write_weighted(folder / "condition" / "dictionaries" / "en-fr.weighted.tsv", pairs)
    return folder


def command(path: str, *arguments: object) -> None:
    """A command of the project with its own command line, in this process."""
    sys.argv = [path, *map(str, arguments)]
    runpy.run_path(str(ROOT / path), run_name="__main__")


def fairseq_train(arguments: list[str]) -> None:
    """fairseq-train's main function in this process."""
    from fairseq import checkpoint_utils, options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf
    from fairseq_cli.train import main

    checkpoint_utils.save_checkpoint.__dict__.pop("best", None)  # fairseq keeps it on the function
    parser = options.get_training_parser()
    main(convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, arguments)))


def pretrain(folder: Path) -> None:
    from tests.tasks import pretraining

    saves = ("--save-interval-updates", 2, "--keep-interval-updates", 2)
    fairseq_train(pretraining.arguments(folder / "at/random", folder / "save", "--max-update", 12, *saves))


def fine_tune(folder: Path) -> None:
    source = folder / "at"
    arguments = world.arguments(
        "tagging", source / "ner", source / "union", source / "pretrained/checkpoint_last.pt", folder / "save",
        "--max-update", 9, "--save-interval-updates", 2, "--keep-interval-updates", 1,
    )  # fmt: skip
    fairseq_train(arguments)


def data_bin(folder: Path) -> None:
    source = folder / "at/text"
    text = (f"en={source}/en", f"fr={source}/fr")
    options = ("--mode", "separate", "--bpe-size", 45, "--shrink", "--workers", 2)
    command("preprocess/build_databin.py", folder / "bin", "--text", *text, *options)


def condition(folder: Path) -> None:
    options = ("--scale", "lab", "--text", folder / "condition", "--out", folder / "bin", "--workers", 2)
    command("preprocess/condition.py", "extra_anchors", "en-fr", *options)


def extract(folder: Path) -> None:
    source = folder / "at"
    model = f"en={source}/pretrained/checkpoint_last.pt"
    text = source / "text/en.train.txt"
    command("eval/extract.py", model, text, folder / "features", "--sentences", "--data", source / "union")
    command("eval/extract.py", model, text, folder / "words", "--words", "--data", source / "union")


def tables(folder: Path) -> None:
    command("eval/table1.py", folder / "at/table/results.jsonl", "--scale", "lab", "--out", folder / "tables")


def lab(folder: Path) -> None:
    sys.argv = ["lab", str(folder / "lab"), "--seed", "3", "--sentences", "40", "--gold", "0.02"]
    runpy.run_module("fairseq_xling.lab", run_name="__main__")


SCENARIOS = (
    Scenario("pretraining", (), pretrain, 60),
    Scenario("fine-tuning", (), fine_tune, 50),
    Scenario("data-bin", (), data_bin, 45),
    Scenario("condition", ("condition",), condition, 60),
    Scenario("extraction", (), extract, 16),
    Scenario("tables", (), tables, 15),
    Scenario("lab", (), lab, 80),
)


def state(folder: Path) -> dict[str, str]:
    """Every file of a run by its relative path, and what its content is known by.

    Checkpoints are known by their tensors, update and best value (they hold times and paths as well), logs of numbers
    by phase, update and loss, text and arrays by all their bytes.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or (path.is_dir() and any(path.iterdir())):
            continue
        found[name] = "a folder" if path.is_dir() else _known_by(path, folder)
    return found


def _known_by(path: Path, folder: Path) -> str:
    if path.suffix == ".pt":
        return _checkpoint(path)
    if path.name == "metrics.jsonl":
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        kept = [(line["phase"], line["update"], line.get("loss")) for line in lines]
        return hashlib.sha256(json.dumps(kept).encode()).hexdigest()
    return hashlib.sha256(path.read_bytes().replace(str(folder).encode(), b"@")).hexdigest()


def _checkpoint(path: Path) -> str:
    from fairseq_xling.checkpoints import read_state

    content = read_state(path)
    digest = hashlib.sha256()
    for name, value in sorted(content["model"].items()):
        digest.update(name.encode() + value.contiguous().numpy().tobytes())
    for number, values in sorted(content["last_optimizer_state"]["state"].items()):
        for name in ("exp_avg", "exp_avg_sq"):
            digest.update(f"{number}{name}".encode() + values[name].contiguous().numpy().tobytes())
    extra = content["extra_state"]
    counts = content["optimizer_history"][-1]["num_updates"], extra["train_iterator"], extra.get("best")
    digest.update(json.dumps(counts, default=str, sort_keys=True).encode())
    return digest.hexdigest()
