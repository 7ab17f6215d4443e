"""How accelerate spreads the model over the processes, and what of that an allocated training can honour."""

from __future__ import annotations

from accelerate.utils import DistributedType, parse_flag_from_env
from trl import GRPOConfig

from cerolab import AllocationProblem
from cerolab.errors import CerolabError, InvalidValueError

_LAUNCH = "accelerate launch --use_fsdp --fsdp_version 2, or fsdp=True"


def sharding(args: GRPOConfig) -> str:
    """What accelerate will be asked for, by TRL's settings or by its launcher: "FSDP", "DEEPSPEED", or else "NO".

    A config file of accelerate leaves TRL's settings empty: the launcher hands it on in the environment.
    """
    if args.deepspeed or parse_flag_from_env("ACCELERATE_USE_DEEPSPEED"):
        return str(DistributedType.DEEPSPEED.value)
    if args.fsdp or parse_flag_from_env("ACCELERATE_USE_FSDP"):
        return str(DistributedType.FSDP.value)
    return str(DistributedType.NO.value)


def check_sharding(kind: str, args: GRPOConfig, problem: AllocationProblem, processes: int) -> None:
    """Refuse what would hang or train something else.

    Args:
        kind: accelerate's ``distributed_type``, or what ``sharding`` expects of it.
        args: TRL's settings.
        problem: whose groups are spread over the processes.
        processes: of the training.

    Raises:
        CerolabError: a backend that was not made to work.
        InvalidValueError: responses that the processes cannot share.
    """
    if kind == DistributedType.FSDP.value:
        if not args.use_vllm:
            raise InvalidValueError(
                "fsdp",
                True,
                "cannot generate with transformers: each token asks all processes for the weights, and their responses "
                "differ in number and length",
                "set use_vllm=True (vllm_mode colocate or server), or train without FSDP",
            )
    elif kind != DistributedType.NO.value and not kind.startswith("MULTI_"):
        raise CerolabError(
            f"{kind.lower()} cannot be used with AllocatedGRPOTrainer: it was not made to work, see "
            f"docs/many-gpus.md; shard by FSDP2 instead ({_LAUNCH})"
        )
    together = args.use_vllm and (args.vllm_mode == "server" or args.vllm_tensor_parallel_size > 1)
    if together and problem.responses_per_unit % processes:
        raise InvalidValueError(
            "responses_per_unit",
            problem.responses_per_unit,
            f"is no multiple of the {processes} processes, which generate together here",
            "use vLLM colocate with tensor_parallel_size=1, or another number of processes",
        )
