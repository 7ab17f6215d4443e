"""One thread a process: sums in one order everywhere, and tests side by side do not fight for the cores."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)
