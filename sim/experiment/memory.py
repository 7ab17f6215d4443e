"""Whether this machine has the memory for a pool."""

from __future__ import annotations

import os
from pathlib import Path

from cerolab.errors import InvalidValueError

_BYTES_A_PROMPT = 300  # of one run, its world and its optimum: 180 to 290 were measured at M = 1,000,000
_LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container


def check_memory(num_prompts: int) -> None:
    """Refuse a pool for which a run needs more memory than the machine has.

    Raises:
        InvalidValueError: says how much it would need, how much there is, and the largest pool.
    """
    there = memory_bytes()
    need = _BYTES_A_PROMPT * num_prompts
    if need > there:
        raise InvalidValueError(
            "num_prompts",
            num_prompts,
            f"needs about {need / 1e9:,.0f} GB of memory a run, and this machine has {there / 1e9:,.0f}",
            f"give at most {there // _BYTES_A_PROMPT:,}",
        )


def memory_bytes() -> int:
    """Memory of this machine or container."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(whole, int(_LIMIT.read_text()))
    except (OSError, ValueError):  # no container, or one without a limit
        return whole
