"""Small corpora, and fairseq's own training run on them, in this process or in others."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from fairseq.data.indexed_dataset import MMapIndexedDatasetBuilder

ROOT = Path(__file__).resolve().parents[2]


def write_data(folder, sizes, symbols=60, shared=True, seed=0):
    """A data-bin with `sizes[lang]` random training sentences; symbols w0.. or, per language, <lang>0.."""
    for lang, sentences in sizes.items():
        (folder / lang).mkdir(parents=True)
        names = [f"{'w' if shared else lang}{i}" for i in range(symbols)]
        text = "".join(f"{name} 1\n" for name in names)
        (folder / lang / "dict.txt").write_text(text)
        if shared:
            (folder / "dict.txt").write_text(text)
        generator = np.random.default_rng([seed, len(lang), *lang.encode()])
        for split, count in [("train", sentences), ("valid", 12)]:
            builder = MMapIndexedDatasetBuilder(str(folder / lang / f"{split}.bin"), dtype=np.uint16)
            for _ in range(count):
                length = int(generator.integers(3, 12))
                words = 4 + (np.cumsum(generator.integers(0, 3, size=length)) % symbols)
                builder.add_item(torch.tensor([*words.tolist(), 2]))
            builder.finalize(str(folder / lang / f"{split}.idx"))
    return folder


def arguments(data, save_dir, *extra):
    """Arguments of a small run: 4 layers, dropout, an epoch of a few batches of 4 blocks."""
    return [
        *(str(data), "--user-dir", str(ROOT / "fairseq_xling"), "--task", "xling_masked_lm"),
        *("--arch", "xling_lab", "--criterion", "xling_masked_lm", "--save-dir", str(save_dir), "--cpu"),
        *("--encoder-layers", "4", "--encoder-embed-dim", "16", "--encoder-ffn-embed-dim", "16"),
        *("--tokens-per-sample", "16", "--batch-size", "4", "--epoch-sequences", "20", "--dropout", "0.1"),
        *("--optimizer", "adam", "--lr", "0.01", "--lr-scheduler", "inverse_sqrt", "--warmup-updates", "4"),
        *("--log-format", "json", "--log-interval", "1", "--no-epoch-checkpoints", "--seed", "3"),
        *("--num-workers", "0"),
        *map(str, extra),
    ]


def configuration(data, save_dir, *extra):
    """What fairseq makes of the arguments."""
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    parser = options.get_training_parser()
    return convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, arguments(data, save_dir, *extra)))


def train(data, save_dir, *extra):
    """Run fairseq-train's main function in this process."""
    from fairseq import checkpoint_utils
    from fairseq_cli.train import main

    checkpoint_utils.save_checkpoint.__dict__.pop("best", None)  # fairseq keeps it on the function
    main(configuration(data, save_dir, *extra))
    return load(save_dir)


def command(data, save_dir, *extra):
    """The same as a command line."""
    return [str(Path(sys.executable).with_name("fairseq-train")), *arguments(data, save_dir, *extra)]


def run(data, save_dir, *extra, limit=300):
    """fairseq-train as a program of its own: the finished process."""
    return subprocess.run(command(data, save_dir, *extra), capture_output=True, text=True, timeout=limit, check=False)


def load(save_dir):
    """The last checkpoint, as plain data."""
    from fairseq_xling.checkpoints import read_state

    return read_state(Path(save_dir) / "checkpoint_last.pt")


def assert_equal_states(first, second):
    """Parameters and optimiser state agree bit for bit."""
    assert first["model"].keys() == second["model"].keys()
    for name, value in first["model"].items():
        assert torch.equal(value, second["model"][name]), name
    ours, theirs = (state["last_optimizer_state"]["state"] for state in (first, second))
    for number, values in ours.items():
        for name in ("exp_avg", "exp_avg_sq"):
            assert torch.equal(values[name], theirs[number][name])
