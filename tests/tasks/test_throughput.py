"""Model FLOPs utilisation and the share of waiting: counted, timed, and in the log."""

import json
import time

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fairseq_xling.formats.errors import InputError
from fairseq_xling.models.encoder import VocabularyInfo, XlingEncoder
from fairseq_xling.models.masked_lm import XlingModel
from fairseq_xling.models.shape import Shape
from fairseq_xling.sharing import Sharing
from fairseq_xling.tasks.allocator import keep_freed_memory
from fairseq_xling.tasks.throughput import TimedBatches, measure_matrix_rate, step_flops

from .pretraining import arguments, write_data


def test_operations_are_those_that_torch_counts():
    shape = Shape(layers=3, dim=8, heads=2, hidden=12, max_positions=20, dropout=0.0, attention_dropout=0.0)
    vocabularies = {"en": VocabularyInfo(30), "fr": VocabularyInfo(50)}
    model = XlingModel(XlingEncoder(shape, Sharing.parse("emb", 3), vocabularies), vocabularies)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        scores = model(torch.randint(4, 50, (5, 20)), "fr", masked=torch.arange(0, 100, 9))
        F.cross_entropy(scores, torch.zeros(12, dtype=torch.int64)).backward()
    assert step_flops(shape, 100, 20.0, {30: 0, 50: 12}) == counter.get_total_flops()


def test_the_rate_of_products_is_measured_without_drawing_random_numbers():
    state = torch.get_rng_state()
    rate = measure_matrix_rate(torch.device("cpu"), torch.float32)
    assert 1e8 < rate < 1e14
    assert torch.equal(torch.get_rng_state(), state)


def test_waiting_for_batches_is_timed():
    class Slow(torch.utils.data.Dataset):
        def __getitem__(self, key):
            time.sleep(0.01)
            return key

        def __len__(self):
            return 8

    batches = TimedBatches(Slow(), lambda items: items[0], [[number] for number in range(8)], disable_shuffling=True)
    items = batches.next_epoch_itr(shuffle=False)
    assert list(items.take(5)) == [0, 1, 2, 3, 4]
    assert batches.waited >= 0.05
    assert batches.iterations_in_epoch == 5


class Numbers(torch.utils.data.Dataset):
    """Item n is the number n."""

    def __getitem__(self, key):
        return key


def an_epoch(batches, processes):
    """The iterators of all processes over an epoch of `batches` batches, each of which gives its number."""
    return [
        TimedBatches(
            Numbers(), lambda items: items[0], [[number] for number in range(batches)],
            disable_shuffling=True, num_shards=processes, shard_id=rank,
        )
        for rank in range(processes)
    ]  # fmt: skip


def taken(iterators, count=None):
    """The numbers of the next `count` batches of each process, or of all that are left (fairseq fills up with {})."""
    numbers = []
    for iterator in iterators:
        items = iterator.next_epoch_itr(shuffle=False)
        numbers += items if count is None else [next(items) for _ in range(count)]
    return sorted(number for number in numbers if number != {})


@pytest.mark.parametrize(("before", "count", "after"), [(1, 14, 2), (2, 5, 1), (4, 3, 2), (2, 6, 3), (1, 6, 1)])
def test_another_number_of_processes_goes_on_with_the_batches_that_are_left(before, count, after):
    first = an_epoch(24, before)
    seen = taken(first, count)
    assert seen == list(range(before * count))
    second = an_epoch(24, after)
    for iterator in second:
        iterator.load_state_dict(first[0].state_dict())
    assert taken(second) == list(range(before * count, 24))


def test_an_epoch_of_another_number_of_batches_goes_on_at_the_same_share(caplog):
    (first,), (second,) = an_epoch(20, 1), an_epoch(10, 1)
    taken([first], 14)
    with caplog.at_level("INFO"):
        second.load_state_dict(first.state_dict())
    assert taken([second]) == [7, 8, 9]
    assert "an epoch has 10 batches, and had 20" in caplog.text


def test_a_position_that_does_not_exist_in_a_checkpoint_that_does_not_say_more():
    (first,), (second,) = an_epoch(20, 1), an_epoch(10, 1)
    taken([first], 14)
    state = {name: value for name, value in first.state_dict().items() if name not in ("num_shards", "batches")}
    with pytest.raises(InputError, match="made after 14 batches of its epoch, which now has 10 a process"):
        second.load_state_dict(state)


def test_the_allocator_is_asked_without_failing():
    assert keep_freed_memory() in (True, False)


def test_both_stand_in_the_log(tmp_path):
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf
    from fairseq_cli.train import main

    data = write_data(tmp_path / "bin", {"en": 300, "fr": 200})
    words = arguments(
        *(data, tmp_path / "run", "--max-update", 12, "--log-interval", 4, "--epoch-sequences", 80),
        *("--disable-validation", "--no-save", "--matrix-rate", "1e-4"),
    )
    main(convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), words)))
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    inner = [line for line in lines if line["phase"] == "train_inner"]
    assert len(inner) == 3
    shape = Shape(layers=4, dim=16, heads=2, hidden=16)
    per_token = step_flops(shape, 64, 16.0, {65: 9}) / 64
    for line in inner[1:]:
        assert 0 <= line["data_wait"] < 1
        assert line["mfu"] * 1e8 == pytest.approx(line["wps"] * per_token, rel=0.3)
