"""Whether an optimizer step moves weights of few bits: in bfloat16 most weights do not notice a step of 1e-6.

bfloat16 has 8 bits of a number, so that neighbours near w are about w / 128 to w / 256 apart. What is added to a weight
and is smaller than half of that is rounded away, step after step. Weights in float32 with autocast (``bf16=True``)
compute as fast and lose nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import torch
from accelerate.utils import DistributedType
from torch import Tensor

from cerolab.errors import InvalidValueError

logger = logging.getLogger(__name__)

_FEW_BITS = (torch.bfloat16, torch.float16)
_LOOKED_AT = 100_000  # weights of a tensor, evenly spread over it
_ENOUGH = 0.9  # share of the weights


def share_that_moves(weights: Iterable[Tensor], step: float) -> float:
    """Share of the weights that differ once ``step`` is added to or taken from them, in their own number format.

    Args:
        weights: tensors of floating-point numbers; of large ones 100,000 weights are looked at.
        step: size of the change. One step of Adam changes each weight by about the learning rate, the first by it.
    """
    moved, total = 0.0, 0
    for weight in weights:
        flat = weight.detach().flatten()
        if not flat.numel() or flat.is_meta:  # of another process
            continue
        seen = flat[:: -(-flat.numel() // _LOOKED_AT) | 1]  # odd, so as not to walk down a few columns
        wide = seen.double()
        moves = [(wide + change).to(seen.dtype) != seen for change in (step, -step)]
        moved += flat.numel() * float(torch.stack(moves).double().mean())
        total += flat.numel()
    return moved / total if total else 1.0


def check_precision(mixed: str) -> None:
    """Refuse what accelerate's mixed precision cannot be here, whoever asked for it.

    Raises:
        InvalidValueError: float16.
    """
    if mixed == "fp16":
        problem = "scales the loss, and its scaler fails in a round without an update"
        raise InvalidValueError("fp16", True, problem, "set bf16=True instead, or compute in float32")


def warn_of_lost_steps(trainer: Any) -> None:
    """Warn where a step of the optimizer would be rounded away in a trainer's weights, before it starts.

    Adam's kin and Lion are known to take steps of about the learning rate; others are let pass. Under FSDP with mixed
    precision and under DeepSpeed the optimizer has weights of its own in float32.
    """
    accelerator, optimizer = trainer.accelerator, trainer.optimizer
    if not trainer.is_world_process_zero():
        return
    fsdp = accelerator.distributed_type == DistributedType.FSDP and accelerator.mixed_precision != "no"
    if fsdp or accelerator.distributed_type == DistributedType.DEEPSPEED:
        return
    if optimizer is None:
        kind, rate = str(getattr(trainer.args.optim, "value", trainer.args.optim)), trainer.args.learning_rate
    else:
        kind, rate = type(optimizer).__name__, max(group["lr"] for group in optimizer.param_groups)
    weights = [weight for weight in trainer.model.parameters() if weight.requires_grad and weight.dtype in _FEW_BITS]
    if not rate or not any(name in kind.lower() for name in ("adam", "lion")):
        return
    share = share_that_moves(weights, rate)
    if share < _ENOUGH:
        logger.warning(
            "a step of learning_rate=%g moves %.2g %% of the weights: they are in %s, where the rest rounds it away; "
            "load the model in float32 (dtype='float32') and compute in bfloat16 by bf16=True",
            rate,
            100 * share,
            str(weights[0].dtype).removeprefix("torch."),
        )
