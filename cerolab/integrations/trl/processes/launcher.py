"""Which process of a distributed training this is, from what its launcher set."""

from __future__ import annotations

import os


def num_processes() -> int:
    """Processes of the training; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process is the one that writes and reports."""
    return int(os.environ.get("RANK", "0")) == 0
