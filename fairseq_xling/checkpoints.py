"""Checkpoints are read as data: no code runs, and names and types are checked before anything is built.

`torch.load` with ``weights_only=True`` refuses pickled code, but fairseq goes on to ``eval()`` architecture
strings of some of its own models (fconv, lightconv, wav2vec). So a checkpoint may only name the tasks and
models listed here, and its configuration may only hold plain values. Importing `fairseq_xling` puts
`load_checkpoint` in the place of fairseq's own reader, so that ``--restore-file``, ``--finetune-from-model``,
``fairseq-validate`` and ``load_model_ensemble_and_task`` all go through it.
"""

from __future__ import annotations

import argparse
import errno
import json
import pickle
from collections.abc import Mapping
from os import PathLike
from typing import Any

import torch
from fairseq import checkpoint_utils
from omegaconf import OmegaConf

from fairseq_xling.formats.errors import InputError

ALLOWED_TASKS = {"translation"}
"""Tasks beside those whose name begins with ``xling_``: back-translation uses fairseq's own."""

ALLOWED_MODELS = {"transformer", "transformer_iwslt_de_en", "transformer_tiny"}
"""Models beside those whose name begins with ``xling_``; none of them evaluates strings."""

OWN = "xling_"

_load_models = checkpoint_utils.load_model_ensemble_and_task


def load_checkpoint(
    path: str | PathLike[str], arg_overrides: dict[str, Any] | None = None, load_on_all_ranks: bool = False
) -> dict[str, Any]:
    """Read and check a checkpoint; takes the place of fairseq's ``load_checkpoint_to_cpu``.

    Parameters
    ----------
    path : path-like
    arg_overrides : dict, optional
        Configuration values to replace, e.g. ``{"data": folder}``.
    load_on_all_ranks : bool
        Accepted for fairseq's sake; reading a local file needs no coordination.

    Raises
    ------
    InputError
        Missing, truncated, carries code, names a task or model that is not allowed, holds values that are not plain.
    """
    state = read_state(path)
    config = OmegaConf.create(state["cfg"])
    if arg_overrides:
        checkpoint_utils.overwrite_args_by_name(config, arg_overrides)
    state["cfg"] = config
    return checkpoint_utils._upgrade_state_dict(state)


def read_state(path: str | PathLike[str], mmap: bool = False) -> dict[str, Any]:
    """The checked content of a checkpoint, tensors on the CPU; errors as in `load_checkpoint`.

    With `mmap` tensors stay in the file until they are looked at, which is quick where only options are wanted.
    """
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # fairseq's form of options without a dataclass
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except FileNotFoundError:
        raise InputError("no such checkpoint", path) from None
    except pickle.UnpicklingError as error:
        raise InputError(f"not a plain checkpoint, refused: {_first_reason(error)}", path) from None
    except Exception as error:  # torch's unpickler meets broken bytes with whatever error comes first
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # those: a seek to nowhere
            raise
        reason = str(error).partition("\n")[0][:120] or type(error).__name__
        raise InputError(f"truncated or not a checkpoint ({reason})", path) from None
    _check_state(state, path)
    return state


def load_models(filenames: Any, *arguments: Any, **options: Any) -> Any:
    """fairseq's `load_model_ensemble_and_task`, where weights and configuration that do not fit are bad input.

    Raises
    ------
    InputError
        As `load_checkpoint`; a model that cannot be built as configured, or weights of other names or sizes.
    """
    names = ", ".join(str(name) for name in ([filenames] if isinstance(filenames, str) else filenames))
    try:
        return _load_models(filenames, *arguments, **options)
    except InputError as error:
        raise error if error.path is not None else InputError(error.message, names) from None
    except OSError:
        raise
    except Exception as error:  # values of the wrong type end in whatever error comes first
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"the checkpoint does not fit the model that it names: {reason}", names) from None


_SIZES = {
    "layers": "{}_layers",
    "dim": "{}_embed_dim",
    "hidden": "{}_ffn_embed_dim",
    "max_positions": "max_positions",
    "heads": "{}_attention_heads",
}
"""Names of a model's sizes, in a fine-tuned model's description and as options of its encoder or decoder."""


def _check_sizes(state: Mapping[str, Any], path: str | PathLike[str]) -> None:
    """Refuse sizes of a model that the weights cannot have: a small file must not ask for all of the memory."""
    model = state["cfg"]["model"]
    try:
        described = json.loads(model.get("description") or "{}")
        described = described if isinstance(described, dict) else {}
        shape = described["shape"] if isinstance(described.get("shape"), dict) else {}
    except (ValueError, TypeError, RecursionError):
        raise InputError("the checkpoint's description of its model is damaged", path) from None
    sides = [[shape.get(short, model.get(name.format("encoder"))) for short, name in _SIZES.items()]]
    sides += [[model.get(name.format("decoder")) for name in _SIZES.values()]]  # a translation model has one
    head = [model.get("arc_dim"), model.get("label_dim")] if described.get("head") == "parsing" else [None, None]
    values = [[1 if value is None else value for value in part] for part in (*sides, head)]
    for part in values:
        if not all(isinstance(value, (int, float)) and 0 < value < 2**40 for value in part):
            raise InputError(f"the checkpoint names sizes that no model has: {str(part)[:80]}", path)
    storages = {value.untyped_storage().data_ptr(): value.untyped_storage() for value in state["model"].values()}
    stored = sum(storage.nbytes() for storage in storages.values())
    least = sum(
        layers * width * (4 * width + 2 * hidden) + longest * width for layers, width, hidden, longest, _ in values[:2]
    )
    arcs, relations = values[2]
    if least + arcs**2 + relations**2 > max(stored, 1 << 20):  # a byte a weight
        raise InputError("the checkpoint names a model far larger than its weights", path)


def _first_reason(error: Exception) -> str:
    for line in str(error).splitlines():
        if "Unsupported" in line or "GLOBAL" in line:
            return line.strip()[:200]
    return str(error).partition("\n")[0][:200]


def _check_state(state: Any, path: str | PathLike[str]) -> None:
    if not isinstance(state, dict) or not isinstance(state.get("model"), dict):
        raise InputError("not a fairseq checkpoint: it has no model", path)
    if not all(isinstance(value, torch.Tensor) for value in state["model"].values()):
        raise InputError("the model of this checkpoint holds something other than tensors", path)
    if not isinstance(state.get("cfg"), dict):
        raise InputError("not a checkpoint of this project: it has no configuration", path)
    state["args"] = None  # legacy configuration; never used
    state["cfg"] = _plain(state["cfg"], path)
    for part, allowed in (("task", ALLOWED_TASKS), ("model", ALLOWED_MODELS)):
        section = state["cfg"].get(part)
        name = section.get("_name") if isinstance(section, Mapping) else None
        if not isinstance(name, str) or not (name.startswith(OWN) or name in allowed):
            raise InputError(
                f"the checkpoint names the {part} {str(name)[:80]!r}, which is not one that may be loaded", path
            )
    _check_sizes(state, path)


def _plain(value: Any, path: str | PathLike[str]) -> Any:
    """A copy of a configuration, namespaces as mappings; an error where it holds anything but plain values."""
    if isinstance(value, argparse.Namespace):
        value = vars(value)
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _plain(item, path) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, path) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        if "${" in value:  # OmegaConf would resolve it: environment variables, other values
            raise InputError(
                "the checkpoint's configuration holds a reference (${...}); plain values were expected", path
            )
        return value
    raise InputError(f"the checkpoint's configuration holds a {type(value).__name__}; plain values were expected", path)


def install() -> None:
    """Make fairseq read checkpoints through `load_checkpoint` and `load_models`."""
    checkpoint_utils.load_checkpoint_to_cpu = load_checkpoint
    checkpoint_utils.load_model_ensemble_and_task = load_models
