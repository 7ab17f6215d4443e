"""A model of a few thousand weights, a pool of short prompts and a reward that random responses sometimes earn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from transformers import PrinterCallback, Qwen3Config, Qwen3ForCausalLM
from trl import GRPOConfig, GRPOTrainer

from cerolab import AllocationProblem, Feedback, make
from cerolab.integrations.trl.trainer import AllocatedGRPOTrainer
from llm.models.tiny import tiny_config, tiny_tokenizer
from llm.pretrain import _padded
from llm.tasks import load_task

NUM_PROMPTS = 24


def small_model(seed: int = 0) -> Qwen3ForCausalLM:
    config = Qwen3Config(**{**tiny_config().to_dict(), "hidden_size": 16, "intermediate_size": 32, "head_dim": 8,
                            "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
                            "layer_types": None})  # fmt: skip
    config._attn_implementation = "eager"
    torch.manual_seed(seed)
    return Qwen3ForCausalLM(config).float()


def learned_model(folder: Path, num_prompts: int, num_heldout: int) -> Path:
    """The small model, having learned arithmetic questions half by heart: some are easy, some hopeless."""
    tokenizer, task, model = tiny_tokenizer(), load_task("arithmetic", num_prompts, num_heldout), small_model()
    pairs = [(question.prompt, question.answer) for question in (*task.train, *task.heldout)]
    batch, labels = _padded(pairs, tokenizer.get_vocab(), tokenizer.eos_token_id)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-2)
    for _ in range(100):
        loss = model(**batch, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def pool(num_prompts: int = NUM_PROMPTS) -> Dataset:
    return Dataset.from_dict({"prompt": [f"{i}+{i % 7}=" for i in range(num_prompts)]})


def digits(completions, **_):
    """1 where at least half of the response's characters are digits."""
    return [float(2 * sum(c.isdigit() for c in text) >= max(len(text), 1)) for text in completions]


def config(folder, **given) -> GRPOConfig:
    settings = {
        "output_dir": str(folder), "learning_rate": 1e-2, "lr_scheduler_type": "constant", "temperature": 1.0,
        "per_device_train_batch_size": 32, "gradient_accumulation_steps": 1, "num_generations": 4,
        "max_completion_length": 6, "report_to": "none", "logging_steps": 1, "save_strategy": "no", "bf16": False,
        "disable_tqdm": True, "use_cpu": True, "seed": 3, "gradient_checkpointing": False, "beta": 0.0,
        "dataloader_pin_memory": False,
    }  # fmt: skip
    return GRPOConfig(**{**settings, **given})


def problem(**given) -> AllocationProblem:
    """8 groups of 4 a round."""
    sizes = {"num_prompts": NUM_PROMPTS, "num_rounds": 20, "budget": 160, "capacity": 8, "responses_per_unit": 4}
    return AllocationProblem(**{**sizes, **given})


def order_of_uniform(problem_given=None) -> list[int]:
    """The prompts that the uniform allocator visits, in order."""
    allocator, visited = make("uniform", problem(**(problem_given or {})), seed=0), []
    while not allocator.done:
        wave = allocator.allocate()
        visited += wave.prompts.tolist()
        allocator.observe(wave, Feedback(wave.units * 4, np.zeros(wave.num_groups)))
    return visited


def allocated(folder, allocator=None, method="uniform", problem_given=None, model=None, reward=digits, **given):
    """A trainer with its own keyword arguments taken out of ``given``; the rest are settings of TRL."""
    names = ("on_round", "on_bad_reward", "skip_zero_advantage", "advantage_clip", "feedback_reward", "peft_config",
             "callbacks", "reward_seconds", "feedback_map", "reward_processing_classes", "eval_dataset")  # fmt: skip
    own = {name: given.pop(name) for name in names if name in given}
    allocator = allocator or make(method, problem(**(problem_given or {})), seed=0)
    trainer = AllocatedGRPOTrainer(
        model or small_model(), reward, config(folder, **given), pool(allocator.problem.num_prompts),
        allocator=allocator, processing_class=tiny_tokenizer(), **own,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    return trainer


def stock(folder, order, model=None, reward=digits, peft_config=None, **given) -> GRPOTrainer:
    """TRL's own trainer, over a dataset whose rows stand in the order in which they are to be visited."""
    data = pool()
    trainer = GRPOTrainer(
        model or small_model(), reward, config(folder, shuffle_dataset=False, **given), data.select(order),
        processing_class=tiny_tokenizer(), peft_config=peft_config,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    return trainer


def weights(trainer) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


def run(trainer) -> None:
    """Train from the same random numbers, whatever was drawn before."""
    torch.manual_seed(7)
    trainer.train()
