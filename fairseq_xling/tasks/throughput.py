"""How well a training run uses its device: model FLOPs utilisation and the share of time spent waiting for data."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from fairseq.data.iterators import CountingIterator, EpochBatchIterator
from fairseq.logging import metrics

from fairseq_xling.data.labelled import LabelledBatches
from fairseq_xling.data.masked_lm_dataset import ScheduledBatches, ValidationBatches
from fairseq_xling.formats.errors import InputError
from fairseq_xling.models.shape import Shape

logger = logging.getLogger(__name__)


def step_flops(shape: Shape, tokens: int, length: float, predicted: Mapping[int, int]) -> float:
    """Floating-point operations of a training step: products only, forward once, backward twice.

    What follows attention in the last layer is computed for the predicted tokens only, as the head is.

    Parameters
    ----------
    shape : Shape
    tokens : int
        Of the batch, without padding.
    length : float
        Mean tokens of a block.
    predicted : mapping from int to int
        Predicted tokens by size of the vocabulary.
    """
    after_attention = shape.dim**2 + 2 * shape.dim * shape.hidden
    layer = after_attention + 3 * shape.dim**2 + 2 * length * shape.dim
    left_out = after_attention * (tokens - sum(predicted.values()))
    head = shape.dim * sum(size * count for size, count in predicted.items())
    return 6.0 * (shape.layers * layer * tokens - left_out + head)


def measure_matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of dense square products, the best of a few tries: what the device can do at most, in practice.

    Of random matrices, as a GPU multiplies regular ones faster. Takes about a tenth of a second, and leaves nothing
    behind: torch's own generator stays as it is.
    """
    on_gpu = device.type == "cuda"
    size, tries, products = (8192, 3, 10) if on_gpu else (1024, 4, 1)
    generator = torch.Generator(device).manual_seed(0)
    left, right = (torch.randn(size, size, device=device, generator=generator).to(dtype) for _ in range(2))
    best = float("inf")
    with torch.no_grad():
        for _ in range(tries + 1):  # the first warms up
            begin = _now(on_gpu)
            for _ in range(products):
                left @ right
            best = min(best, _now(on_gpu) - begin)
    return 2 * size**3 * products / best


def _now(on_gpu: bool) -> float:
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter()


class TimedBatches(EpochBatchIterator):
    """fairseq's iterator, which also sums up how long training waits for batches and ends its loaders in time.

    Loader processes end when somebody asks for a batch behind the last one. fairseq stops one request earlier, so they
    are ended here, after the last batch.

    In a checkpoint fairseq notes how many batches of the epoch one process has read. With another number of processes
    the same number means another place: some batches would be read twice, or not at all. So the numbers of processes
    and of batches of the epoch are noted as well.

    Attributes
    ----------
    waited : float
        Seconds since it was last set to 0.
    """

    waited = 0.0

    @classmethod
    def over(
        cls, dataset: ScheduledBatches | ValidationBatches | LabelledBatches, options: Mapping[str, Any], buffered: bool
    ) -> TimedBatches:
        """The batches of a dataset that is laid out.

        Parameters
        ----------
        dataset : BatchDataset
        options : mapping
            Those that fairseq gives to a task's `get_batch_iterator`.
        buffered : bool
            Let a thread fill a buffer of batches.
        """
        epoch = options.get("epoch", 1)
        return cls(
            dataset=dataset,
            collate_fn=dataset.collater,
            batch_sampler=dataset.batches(epoch),
            seed=options.get("seed", 1),
            num_shards=options.get("num_shards", 1),
            shard_id=options.get("shard_id", 0),
            num_workers=options.get("num_workers", 0),
            epoch=epoch,
            buffer_size=options.get("data_buffer_size", 0) if buffered else 0,
            disable_shuffling=True,  # the datasets are in random order already
            persistent_workers=False,
        )

    def state_dict(self) -> dict[str, Any]:
        """fairseq's, with what the position counts."""
        return {**super().state_dict(), "num_shards": self.num_shards, "batches": len(self.frozen_batches)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where a checkpoint was, with any number of processes.

        With batches of another size, or another number of them, it goes on at the same share of the epoch.

        Raises
        ------
        InputError
            The position is beyond the epoch's end: a checkpoint from before this was noted.
        """
        batches, total = state_dict.get("batches"), len(self.frozen_batches)
        place = state_dict.get("iterations_in_epoch", 0)
        if place and batches:
            done = min(place * state_dict["num_shards"], batches)
            if batches != total:
                logger.info(f"an epoch has {total:,} batches, and had {batches:,}: going on at the same share of it")
            place = done * total // batches // self.num_shards
        if place and place >= len(self):
            raise InputError(
                f"the checkpoint was made after {place} batches of its epoch, which now has {len(self)} a process; go "
                "on with the number of processes, --batch-size and size of the epoch that it was made with"
            )
        super().load_state_dict({**state_dict, "iterations_in_epoch": place})

    def _get_iterator_for_epoch(self, *args: Any, **kwargs: Any) -> CountingIterator | None:
        counted = super()._get_iterator_for_epoch(*args, **kwargs)
        if counted is not None:
            counted._itr = _Timed(counted._itr, self, counted.total - counted.n)
        return counted


class _Timed:
    """An iterator over `count` items that notes how long each took."""

    def __init__(self, items: Iterator[Any], owner: TimedBatches, count: int):
        self._items, self._owner, self._left = items, owner, count

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        begin = time.perf_counter()
        item = next(self._items)
        self._owner.waited += time.perf_counter() - begin
        self._left -= 1
        if self._left == 0:
            self._items = iter(())
        return item

    def __getattr__(self, name: str) -> Any:
        return getattr(self._items, name)


class Utilisation:
    """Logs `mfu` and `data_wait` beside fairseq's `wps` (tokens per second).

    Parameters
    ----------
    shape : Shape
    vocabulary_sizes : mapping from language to int
    rate : float
        FLOP/s of one device.
    devices : int
        Devices that work together.
    """

    def __init__(self, shape: Shape, vocabulary_sizes: Mapping[str, int], rate: float, devices: int):
        self.shape, self.vocabulary_sizes = shape, vocabulary_sizes
        self._peak = rate * devices

    def log(self, logging_outputs: Sequence[Mapping[str, Any]], batches: TimedBatches) -> None:
        """Note one update; the values in the log are means over its interval."""
        tokens = sum(int(log["ntokens"]) for log in logging_outputs)
        blocks = sum(int(log["nsentences"]) for log in logging_outputs)
        predicted: dict[int, int] = {}
        for language, size in self.vocabulary_sizes.items():
            count = sum(int(log[f"predicted_{language}"]) for log in logging_outputs)
            predicted[size] = predicted.get(size, 0) + count
        flops = step_flops(self.shape, tokens, tokens / max(blocks, 1), predicted)
        waited, batches.waited = batches.waited, 0.0
        metrics.log_speed("_flops", flops)
        metrics.log_speed("_waited", waited)
        metrics.log_derived("mfu", lambda meters: round(meters["_flops"].avg / self._peak, 4), priority=91)
        metrics.log_derived("data_wait", lambda meters: round(meters["_waited"].avg, 4), priority=92)
