"""What PyTorch needs to read a checkpoint where several processes train without a GPU."""

from __future__ import annotations

from typing import Any

import torch

_PRIORITY = 9  # before PyTorch's own for the CPU; each of these numbers may be taken once only
_known: list[str] = []


def know_numbered_cpus() -> None:
    """Let ``torch.load`` take "cpu:0" for the CPU.

    accelerate calls a process's CPU so, transformers loads the optimizer's state to it, and PyTorch only knows "cpu".
    """
    if _known:
        return
    _known.append("cpu")
    torch.serialization.register_package(_PRIORITY, lambda _: None, _to_cpu)


def _to_cpu(storage: Any, location: str) -> Any:
    return storage if location.startswith("cpu:") else None
