"""Settings that go together. The command line and a settings file override any of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PAPER_SCHEDULE = {
    "num_rounds": 500,
    "warmup_rounds": 0,
    "budget": 64_000,
    "capacity": 132,
    "max_units": 2,
    "responses_per_unit": 4,
}
# CERO (arXiv 2606.05606), sec. 6 and app. G. Mini-batches of 32 groups: four updates a round of 128.
_PAPER = {
    **_PAPER_SCHEDULE,
    "task": "dapo_math(BytedTsinghua-SIA/DAPO-Math-17k)",
    "num_prompts": 8960,
    "eval_task": "aime(HuggingFaceH4/aime_2024)",
    "max_prompt_tokens": 2048,
    "max_new_tokens": 2048,
    "engine": "vllm",
    "learning_rate": 1e-6,
    "adam_beta2": 0.999,
    "updates_per_round": 4,
    "batch_size": 4,
    "gradient_checkpointing": True,
    "eval_every": 50,
    "eval_samples": 16,
    "trl": {"vllm_importance_sampling_mode": "token_truncate", "vllm_importance_sampling_clip_max": 2.0},
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "tiny": {},  # the defaults
    "tiny-paper": {
        **_PAPER_SCHEDULE,
        "name": "tiny-paper",
        "num_prompts": 8000,
        "num_heldout": 4000,
        "learning_rate": 1e-4,
        "warmup_rounds": 10,
        "eval_every": 25,
        "eval_temperature": 1.0,  # that of the rollouts: what the training works on
        "final_samples": 0,
        "save_every": 50,
        "save_model": False,
        "threads": 1,
    },
    "smollm2": {
        "name": "smollm2",
        "model": "smollm2",
        "task": "reasoning_gym(easy)",
        "num_prompts": 4000,
        "num_heldout": 500,
        "num_rounds": 20,
        "budget": 160,
        "max_units": 2,
        "learning_rate": 2e-6,
        "batch_size": 8,
        "eval_every": 10,
        "eval_samples": 4,
        "save_every": 5,
        "max_new_tokens": 24,
    },
    "paper-1.5b": {**_PAPER, "name": "paper-1.5b", "model": "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"},
    "paper-4b": {**_PAPER, "name": "paper-4b", "model": "Qwen/Qwen3-4B-Base"},
    "paper-7b": {**_PAPER, "name": "paper-7b", "model": "Qwen/Qwen2.5-7B-Instruct"},
}
