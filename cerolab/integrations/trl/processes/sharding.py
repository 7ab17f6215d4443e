"""How accelerate spreads the model over the processes, and what of that an allocated training can honour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from accelerate.utils import DistributedType, parse_flag_from_env
from torch import nn
from trl import GRPOConfig

from cerolab import AllocationProblem
from cerolab.errors import CerolabError, InvalidValueError

_KNOWN = {str(kind.value) for kind in (DistributedType.NO, DistributedType.FSDP, DistributedType.DEEPSPEED)}


def sharding(args: GRPOConfig) -> tuple[str, bool]:
    """What accelerate will come to, as far as it is known before it starts.

    A config file of accelerate leaves TRL's settings empty: its launcher hands it on in the environment.

    Returns:
        accelerate's ``distributed_type``, and whether weights will lie in pieces on the processes.
    """
    if args.fsdp or parse_flag_from_env("ACCELERATE_USE_FSDP"):
        return str(DistributedType.FSDP.value), True
    if args.deepspeed or parse_flag_from_env("ACCELERATE_USE_DEEPSPEED"):
        plugin = getattr(args, "deepspeed_plugin", None)
        return str(DistributedType.DEEPSPEED.value), plugin is not None and plugin.zero_stage == 3
    return str(DistributedType.NO.value), False


def generate_together(args: GRPOConfig) -> bool:
    """Whether vLLM answers all processes at once, so that each must ask as often as the others."""
    return bool(args.use_vllm and (args.vllm_mode == "server" or args.vllm_tensor_parallel_size > 1))


def check_sharding(
    kind: str,
    in_pieces: bool,
    args: GRPOConfig,
    problem: AllocationProblem,
    processes: int,
    split: Sequence[str] = (),
) -> None:
    """Refuse what would hang or train something else.

    Args:
        kind: accelerate's ``distributed_type``, or what ``sharding`` expects of it.
        in_pieces: whether each process holds a part of each weight, as with FSDP and ZeRO-3.
        args: TRL's settings.
        problem: whose groups are spread over the processes.
        processes: of the training.
        split: dimensions of accelerate's mesh whose processes share the work on one row, as "tp" and "cp".

    Raises:
        CerolabError: a backend that was never tried.
        InvalidValueError: an engine or a group size that the processes cannot share.
    """
    if kind not in _KNOWN and not kind.startswith("MULTI_"):
        raise CerolabError(f"{kind} was never tried with AllocatedGRPOTrainer; use DDP, FSDP2 or DeepSpeed ZeRO")
    if split:
        raise CerolabError(
            f"accelerate's {', '.join(split)} of its parallelism_config cannot be used with AllocatedGRPOTrainer: the "
            "processes that share a row would get rows of their own; use DDP, FSDP2 or DeepSpeed ZeRO"
        )
    if in_pieces and not args.use_vllm:
        raise InvalidValueError(
            "use_vllm",
            False,
            f"leaves generation to transformers, where with {'FSDP' if kind == 'FSDP' else 'ZeRO-3'} every token needs "
            "all processes; theirs differ in number and length here",
            "set use_vllm=True, or use DDP or ZeRO-2, where each process has all weights",
        )
    if generate_together(args) and problem.responses_per_unit % processes:
        raise InvalidValueError(
            "responses_per_unit",
            problem.responses_per_unit,
            f"is no multiple of the {processes} processes, which generate together here",
            "use vLLM colocate with tensor_parallel_size=1, or another number of processes",
        )


def check_reward_models(reward_functions: Iterable[Any]) -> None:
    """Refuse reward models whose weights lie in pieces: a process without true rows would leave the others waiting.

    Raises:
        CerolabError: there is one.
    """
    if any(isinstance(function, nn.Module) for function in reward_functions):
        raise CerolabError(
            "a reward model cannot be used with DeepSpeed ZeRO-3: grading needs all processes, and one may have no "
            "response to grade; use ZeRO-2, or call the model from a reward function"
        )
