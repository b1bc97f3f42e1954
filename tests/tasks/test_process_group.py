"""A process of several ends with its own status."""

import socket
import subprocess
import sys

import pytest

PROGRAM = """
import atexit
import sys
from pathlib import Path
import torch
import torch.distributed as dist
from fairseq.distributed.utils import get_global_group
from fairseq_xling.tasks import process_group

def say_which_threads_are_left():
    print("left:", *(path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")), file=sys.stderr)

rank, port, size = map(int, sys.argv[1:4])
dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
atexit.register(say_which_threads_are_left)  # after what is registered next
process_group.install()
group = get_global_group() if sys.argv[4] == "fairseq" else None  # the former is one that fairseq goes on to hold
dist.all_reduce(torch.zeros(1), group=group)
dist.all_reduce(torch.zeros(size), group=group, async_op=True)  # gloo's thread is the last that holds the tensor
del group
sys.exit(75)
"""


@pytest.mark.parametrize("group", ["default", "fairseq"])
@pytest.mark.parametrize("size", [1, 10**6])
def test_its_status_is_the_one_it_ended_with(size, group):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-c", PROGRAM]
    both = [
        subprocess.Popen([*words, str(rank), str(port), str(size), group], stderr=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    said = [process.communicate(timeout=90)[1] for process in both]
    assert [process.returncode for process in both] == [75, 75], said
    for line in said:
        assert "left: " in line
        assert "gloo_runloop" not in line  # none that could meet the end of Python
