"""Allocators inside TRL's GRPO trainer; the only part of cerolab that knows TRL's internals.

    from cerolab.integrations.trl import AllocatedGRPOTrainer

Nothing is imported before it is asked for: vLLM loads its plug-in from below this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cerolab.integrations.trl.trainer import AllocatedGRPOTrainer

__all__ = ["AllocatedGRPOTrainer"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cerolab.integrations.trl import trainer

    return getattr(trainer, name)
