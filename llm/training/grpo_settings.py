"""Our settings as TRL's ``GRPOConfig``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, get_scheduler
from trl import GRPOConfig

from cerolab import AllocationProblem
from cerolab.errors import CerolabError, InvalidValueError
from cerolab.integrations.trl.compatibility import check_args
from cerolab.integrations.trl.options import check_trackers, trl_options
from cerolab.integrations.trl.processes.launcher import num_processes
from llm.models.cpu import on_cpu
from llm.settings import TrainSettings

# What TRL's settings call it: newer versions of transformers took another name.
CHECKPOINTING = ("gradient_checkpointing", "activation_checkpointing")[hasattr(GRPOConfig, "activation_checkpointing")]


def batch_sizes(settings: TrainSettings, problem: AllocationProblem, processes: int) -> tuple[int, int]:
    """(responses that a process trains on at once, micro-batches of an optimizer step): room for a full round."""
    share = -(-problem.capacity * problem.responses_per_unit // (processes * settings.updates_per_round))
    group = max(2, problem.responses_per_unit)
    at_once = -(-min(settings.micro_batch, share) // group) * group
    return at_once, -(-share // at_once)


def check_trl(settings: TrainSettings) -> None:
    """Refuse what TRL or transformers would refuse once the model is loaded, or only in the first round.

    Raises:
        CerolabError: names the setting.
    """
    check_trackers(settings.report_to)
    problem = settings.problem(settings.num_prompts or max(settings.budget, settings.capacity))
    args = grpo_config(settings, problem, settings.directory, settings.max_new_tokens or 1, on_cpu())
    check_args(args, problem)
    _check_extras(args)
    _check_optimizer(args, problem.num_rounds * settings.steps_per_round)


def grpo_config(
    settings: TrainSettings, problem: AllocationProblem, output_dir: Path, max_new_tokens: int, use_cpu: bool
) -> GRPOConfig:
    """TRL's settings for a run; ``settings.trl`` has the last word.

    Raises:
        CerolabError: TRL refuses a setting; its message is passed on.
    """
    at_once, accumulation = batch_sizes(settings, problem, num_processes())
    vllm: dict[str, Any] = {}
    if settings.engine != "transformers":
        vllm = {
            "use_vllm": True,
            "vllm_mode": "server" if settings.engine == "vllm-server" else "colocate",
            "vllm_server_base_url": settings.vllm_url,
            "vllm_gpu_memory_utilization": settings.vllm_memory,
            "vllm_max_model_length": settings.max_prompt_tokens + max_new_tokens,
        }
    given = {
        "output_dir": str(output_dir),
        "seed": settings.seed,
        "use_cpu": use_cpu,
        "per_device_train_batch_size": at_once,
        "gradient_accumulation_steps": accumulation,
        "steps_per_generation": accumulation * settings.updates_per_round,
        "num_iterations": settings.num_iterations,
        "num_generations": max(2, problem.responses_per_unit),
        "max_completion_length": max_new_tokens,
        "temperature": settings.temperature,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.lr_schedule,
        "warmup_steps": settings.warmup_rounds * settings.steps_per_round,
        "adam_beta2": settings.adam_beta2,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "loss_type": settings.loss,
        "scale_rewards": settings.scale_rewards,
        "beta": settings.kl,
        "epsilon": settings.clip_low,
        "epsilon_high": settings.clip_high,
        "delta": settings.dual_clip or None,
        "bf16": settings.bf16,
        CHECKPOINTING: settings.gradient_checkpointing,
        "report_to": list(settings.report_to) or "none",
        "logging_steps": settings.logging_rounds * settings.steps_per_round,
        "save_strategy": "steps",
        "save_steps": settings.save_every * settings.steps_per_round,
        "save_total_limit": 2,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        **vllm,
        **trl_options(settings.trl),
    }
    try:
        return GRPOConfig(**given)
    except Exception as error:  # each setting is checked in its own way
        raise CerolabError(f"TRL refuses these settings: {_line(error)}") from None


def _check_optimizer(args: GRPOConfig, steps: int) -> None:
    """Make the optimizer and its schedule once, for a parameter of no consequence."""
    if any(part in str(args.optim) for part in ("galore", "apollo", "lomo")):  # they want the model itself
        return
    try:
        kind, options = Trainer.get_optimizer_cls_and_kwargs(args)
        optimizer = kind([torch.zeros(1, requires_grad=True)], **options)
    except Exception as error:  # of each optimizer, another
        raise CerolabError(f"the optimizer {args.optim} refuses its settings: {_line(error)}") from None
    name = args.lr_scheduler_type
    try:
        schedule = get_scheduler(name, optimizer, args.warmup_steps, steps, args.lr_scheduler_kwargs)
        optimizer.step()
        schedule.step()
    except Exception as error:
        problem, remedy = f"cannot be used ({_line(error)})", "use constant, linear or cosine, say"
        raise InvalidValueError("lr_schedule", str(getattr(name, "value", name)), problem, remedy) from None


def _check_extras(args: GRPOConfig) -> None:
    """What TRL refuses when it is given the model."""
    for name, wrong, problem in (
        ("eval_strategy", args.eval_strategy != "no", "evaluates by TRL; this training evaluates itself (eval_every)"),
        ("sync_ref_model", args.sync_ref_model and not args.beta, "has no reference model to keep up at kl=0"),
        ("reward_weights", len(args.reward_weights or [0]) != 1, "weighs several rewards, and there is one"),
        ("use_liger_kernel", args.use_liger_kernel and find_spec("liger_kernel") is None, "needs liger-kernel"),
        ("model_init_kwargs", bool(args.model_init_kwargs), "is not used: the model is loaded here"),
    ):
        if wrong:
            raise InvalidValueError(f"trl.{name}", getattr(args, name), problem, "leave it out")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
