"""What an allocated training can honour of TRL's settings; the rest is refused before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from datasets import Dataset, IterableDataset
from trl import GRPOConfig
from trl.trainer.utils import get_config_model_id

from cerolab import AllocationProblem, Allocator
from cerolab.errors import CerolabError, InvalidValueError, UnknownNameError
from cerolab.integrations.trl.precision import check_precision
from cerolab.integrations.trl.processes.sharding import check_sharding, generate_together, sharding

TRL_VERSION = "1.16"  # cerolab.integrations.trl.trainer overrides internals of this minor version


def steps_per_round(args: GRPOConfig) -> int:
    """Optimizer steps that TRL makes of one generation batch, which is one round.

    Raises:
        InvalidValueError: a round would end in the middle of an optimizer step.
    """
    calls = args.steps_per_generation * args.num_iterations
    if args.steps_per_generation % args.gradient_accumulation_steps:
        raise InvalidValueError(
            "steps_per_generation",
            args.steps_per_generation,
            f"is no multiple of gradient_accumulation_steps={args.gradient_accumulation_steps}",
            "a round must end with an optimizer step: make them equal, or steps_per_generation a multiple",
        )
    return int(calls // args.gradient_accumulation_steps)


def default_args(model: Any) -> GRPOConfig:
    """The settings that TRL takes where none are given."""
    name = model if isinstance(model, str) else get_config_model_id(model.config)
    return GRPOConfig(f"{name.split('/')[-1]}-GRPO")


def check_unused(allocator: Allocator) -> None:
    """Refuse to start a training with an allocator that has spent something already.

    Raises:
        InvalidValueError: names it and what to do.
    """
    rounds = getattr(allocator, "round_index", 0)  # of the base class; the interface does not ask for them
    spent = allocator.problem.budget - getattr(allocator, "remaining", allocator.problem.budget)
    if rounds or spent:
        raise InvalidValueError(
            "allocator",
            allocator,
            f"has been used: {rounds} rounds and {spent} units are gone",
            "make a fresh one for a new training; to go on with an old one, give a new trainer a fresh allocator and "
            "call train(resume_from_checkpoint=...)",
        )


def check_settings(
    args: GRPOConfig, dataset: Any, problem: AllocationProblem, trl: Mapping[str, Any], on_bad_reward: str
) -> None:
    """Refuse what would be wrong, each with its remedy.

    Raises:
        InvalidValueError: a setting that does not fit the problem.
        CerolabError: TRL's version, or a feature that has no meaning here.
    """
    if not version("trl").startswith(f"{TRL_VERSION}."):
        raise CerolabError(
            f"trl {version('trl')} is installed; cerolab.integrations.trl.trainer is written for trl {TRL_VERSION}"
        )
    if trl.get("rollout_func"):
        raise CerolabError(
            "rollout_func cannot be used with AllocatedGRPOTrainer: rows are made from the allocation; "
            "use trl.GRPOTrainer"
        )
    if on_bad_reward not in ("error", "skip"):
        raise UnknownNameError("on_bad_reward", on_bad_reward, ("error", "skip"))
    check_args(args, problem)
    _check_tools(args, dataset, trl)
    _check_dataset(dataset, problem)


def check_args(args: GRPOConfig, problem: AllocationProblem) -> None:
    """Refuse settings of TRL that would be wrong whatever the data and the model.

    Raises:
        InvalidValueError: a setting that does not fit the problem.
        CerolabError: a feature that has no meaning here.
    """
    check_precision(args.mixed_precision)
    check_sharding(*sharding(args), args, problem, args.world_size)
    _check_sizes(args, problem)


def _check_tools(args: GRPOConfig, dataset: Any, trl: Mapping[str, Any]) -> None:
    named = [name for name in ("tools", "environment_factory") if trl.get(name)]
    together = generate_together(args)
    together |= args.vllm_enable_sleep_mode and sharding(args)[1]  # each turn gathers the weights anew
    if named and together and args.world_size > 1:
        raise CerolabError(
            f"{named[0]} cannot be used where {args.world_size} processes generate together: they would call tools in "
            "different numbers of turns and wait for each other; use vLLM colocate with tensor_parallel_size=1, "
            "without sleep mode"
        )
    if dataset is None and callable(trl.get("environment_factory")):
        raise InvalidValueError(
            "train_dataset",
            None,
            "lets the environment choose its tasks, and there is nothing to allocate",
            "give a data set with a row for each task: reset() gets its columns",
        )


def _check_dataset(dataset: Any, problem: AllocationProblem) -> None:
    if isinstance(dataset, IterableDataset):
        raise InvalidValueError(
            "train_dataset", type(dataset).__name__, "cannot be indexed", "give a map-style dataset, one row a prompt"
        )
    if not isinstance(dataset, Dataset):  # TRL refuses it
        return
    if len(dataset) != problem.num_prompts:
        raise InvalidValueError(
            "train_dataset",
            f"{len(dataset)} rows",
            f"is not the pool of num_prompts={problem.num_prompts}",
            "row i is prompt i of the allocator",
        )
    images = {"image", "images"} & set(dataset[0])
    if images:
        raise InvalidValueError("train_dataset", sorted(images), "are images", "only text is supported yet")


def _check_sizes(args: GRPOConfig, problem: AllocationProblem) -> None:
    processes = args.world_size
    rows = args.per_device_train_batch_size * args.steps_per_generation * processes
    needed = problem.capacity * problem.responses_per_unit
    if rows < needed:
        raise InvalidValueError(
            "per_device_train_batch_size",
            args.per_device_train_batch_size,
            f"* steps_per_generation={args.steps_per_generation} * processes={processes} holds {rows} responses, "
            f"fewer than a round may have: capacity * responses_per_unit = {needed}",
            f"raise one of them, or lower capacity to {rows // problem.responses_per_unit}",
        )
    if problem.max_tokens is not None and (args.max_completion_length or problem.max_tokens + 1) > problem.max_tokens:
        raise InvalidValueError(
            "max_completion_length",
            args.max_completion_length,
            f"is above max_tokens={problem.max_tokens}, the most that the token budget reserves for a response",
            "make them equal",
        )
    steps = steps_per_round(args)
    if args.max_steps not in (-1, problem.num_rounds * steps):
        raise InvalidValueError(
            "max_steps",
            args.max_steps,
            f"is not num_rounds * {steps} = {problem.num_rounds * steps} optimizer steps",
            "leave it out",
        )
