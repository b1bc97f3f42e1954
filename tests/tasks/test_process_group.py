"""A process of several ends with its own status."""

import socket
import subprocess
import sys

import pytest

PROGRAM = """
import sys
import torch
import torch.distributed as dist
from fairseq_xling.tasks import process_group

rank, port, size = map(int, sys.argv[1:])
dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
process_group.install()
dist.all_reduce(torch.zeros(1))
dist.all_reduce(torch.zeros(size), async_op=True)  # gloo's thread is the last that holds the tensor
sys.exit(75)
"""


@pytest.mark.parametrize("size", [1, 10**6])
def test_its_status_is_the_one_it_ended_with(size):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-c", PROGRAM]
    both = [
        subprocess.Popen([*words, str(rank), str(port), str(size)], stderr=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    said = [process.communicate(timeout=90)[1] for process in both]
    assert [process.returncode for process in both] == [75, 75], said
