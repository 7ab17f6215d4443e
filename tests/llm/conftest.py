"""One thread a process: sums in one order everywhere, and tests side by side do not fight for the cores."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start

import pytest
import torch


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """Folder of the small model with its tokenizer."""
    from llm.models.tiny import tiny_tokenizer
    from tests.llm.small import small_model

    folder = tmp_path_factory.mktemp("model")
    small_model().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)
