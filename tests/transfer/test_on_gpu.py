"""Fine-tuning and zero-shot scoring on a GPU."""

import pytest
import torch

from fairseq_xling.evaluation.grid import train as fairseq_train
from fairseq_xling.evaluation.zero_shot import FineTuned

from . import world
from .test_fine_tuning import FOLDER

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.parametrize("precision", [(), ("--bf16-autocast",)], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("task", ["classification", "tagging", "parsing"])
def test_each_task_learns(task, precision, data, shared_model, tmp_path):
    databin, pretrained = shared_model
    words = world.arguments(task, data / FOLDER[task], databin, pretrained, tmp_path / "run", "--max-epoch", 12)
    options = ("--optimizer", "xling_two_rates", "--clip-norm", "1", *precision)
    fairseq_train([*(word for word in words if word != "--cpu"), *options])
    scores = FineTuned.load(tmp_path / "run" / "checkpoint_best.pt").evaluate("en", "test")
    main = scores.scores[0]
    assert main.metric == world.TASKS[task]
    assert main.value > scores.baselines.chance[main.metric] + 0.3
