"""Training without a GPU: settings of the C library that make small models about twice as fast."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's mallopt


def on_cpu() -> bool:
    """Whether there is no GPU to train on."""
    import torch

    return not torch.cuda.is_available()


def keep_freed_memory() -> None:
    """Let this process reuse the memory that it frees.

    By default glibc gives blocks of some megabytes back to the system and asks for them again at the next tensor,
    page by page. Does nothing where the C library is another one.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # no glibc
        return
    mallopt(_MMAP_THRESHOLD, 1 << 30)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
