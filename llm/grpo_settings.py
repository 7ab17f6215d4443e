"""Our settings as TRL's ``GRPOConfig``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trl import GRPOConfig

from cerolab import AllocationProblem
from cerolab.errors import CerolabError
from llm.processes import num_processes
from llm.settings import TrainSettings


def batch_sizes(settings: TrainSettings, problem: AllocationProblem, processes: int) -> tuple[int, int]:
    """(responses that a process trains on at once, micro-batches of an optimizer step): room for a full round."""
    share = -(-problem.capacity * problem.responses_per_unit // (processes * settings.updates_per_round))
    group = max(2, problem.responses_per_unit)
    at_once = -(-min(settings.batch_size, share) // group) * group
    return at_once, -(-share // at_once)


def grpo_config(
    settings: TrainSettings, problem: AllocationProblem, output_dir: Path, max_new_tokens: int, on_cpu: bool
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
        "use_cpu": on_cpu,
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
        "gradient_checkpointing": settings.gradient_checkpointing,
        "report_to": list(settings.report_to) or "none",
        "logging_steps": settings.logging_rounds * settings.steps_per_round,
        "save_strategy": "steps",
        "save_steps": settings.save_every * settings.steps_per_round,
        "save_total_limit": 2,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        **vllm,
        **settings.trl,
    }
    try:
        return GRPOConfig(**given)
    except (TypeError, ValueError) as error:
        raise CerolabError(f"TRL refuses these settings: {error}") from None
