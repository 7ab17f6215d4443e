"""What an update costs over several processes: rows and tokens of the fullest one, and seconds; no GPU is needed.

``python -m benchmarks.processes`` trains a random model of the tiny size with two gloo processes. Half of the groups
have mixed rewards and teach; a round has two optimizer steps, so that log-probabilities from before the update are
needed. Rows and tokens do not depend on the machine; seconds are of each process's own work, without its waiting.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

PROCESSES = 2
GROUPS, GROUP_SIZE, LONGEST, ROUNDS = 16, 8, 64, 6  # groups a process; tokens of the longest response
_SENT = {"bytes": 0}


def train(folder: str) -> dict[str, Any]:
    """Means over rounds of what this process did: forward passes with a gradient, and without one before the update."""
    from datasets import Dataset
    from transformers import PrinterCallback, Qwen3ForCausalLM
    from trl import GRPOConfig

    from cerolab import AllocationProblem, make
    from cerolab.integrations.trl.trainer import AllocatedGRPOTrainer
    from llm.models.tiny import tiny_config, tiny_tokenizer

    groups = GROUPS * PROCESSES
    problem = AllocationProblem(num_prompts=groups * ROUNDS, num_rounds=ROUNDS, budget=groups * ROUNDS,
                                capacity=groups, responses_per_unit=GROUP_SIZE)  # fmt: skip
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(tiny_config()).float()

    def some_teach(completions: list[str], teaches: list[bool], **_: Any) -> list[float]:
        return [float(teach and len(text) % 2) for text, teach in zip(completions, teaches, strict=True)]

    count = problem.num_prompts
    pool = Dataset.from_dict(
        {"prompt": [f"{i}+{i % 97}=" for i in range(count)], "teaches": [i % 2 for i in range(count)]}
    )
    args = GRPOConfig(
        output_dir=folder, per_device_train_batch_size=GROUP_SIZE * GROUPS // 4, gradient_accumulation_steps=2,
        steps_per_generation=4, num_generations=GROUP_SIZE, max_completion_length=LONGEST, learning_rate=1e-4, beta=0.0,
        report_to="none", save_strategy="no", disable_tqdm=True, use_cpu=True, bf16=False, logging_steps=100,
        gradient_checkpointing=False, dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = AllocatedGRPOTrainer(
        model, some_teach, args, pool, allocator=make("uniform", problem), processing_class=tiny_tokenizer()
    )
    trainer.remove_callback(PrinterCallback)
    done = {kind: {"rows": 0, "tokens": 0, "seconds": 0.0} for kind in ("update", "scoring")}
    _count_forward_passes(trainer, done["scoring"])
    _count_updates(trainer, done["update"])
    trainer.train()
    rounds = {kind: {name: value / ROUNDS for name, value in numbers.items()} for kind, numbers in done.items()}
    return rounds | {"bytes": _SENT["bytes"] / ROUNDS}


def _count_forward_passes(trainer: Any, scoring: dict[str, float]) -> None:
    plain = trainer._get_per_token_logps_and_entropies

    def counted(model: Any, ids: Any, mask: Any, *given: Any, **named: Any) -> Any:
        if torch.is_grad_enabled() or getattr(trainer, "_scores_later", False):
            return plain(model, ids, mask, *given, **named)
        began = time.process_time()
        found = plain(model, ids, mask, *given, **named)
        scoring["seconds"] += time.process_time() - began
        scoring["rows"] += len(ids)
        scoring["tokens"] += int(mask.sum())
        return found

    trainer._get_per_token_logps_and_entropies = counted


def _count_updates(trainer: Any, update: dict[str, float]) -> None:
    """The loss and its gradient, without the rollout that the first call of a round begins with."""
    import cerolab.integrations.trl.trainer

    loss = trainer._compute_loss
    step = super(
        cerolab.integrations.trl.trainer.AllocatedGRPOTrainer, trainer
    ).training_step  # TRL's: forward, backward

    def counted(model: Any, inputs: Any) -> Any:
        update["rows"] += len(inputs["advantages"])
        update["tokens"] += int(inputs["prompt_mask"].sum() + inputs["completion_mask"].sum())
        return loss(model, inputs)

    def timed(self: Any, *given: Any, **named: Any) -> Any:
        began = time.process_time()
        found = step(*given, **named)
        update["seconds"] += time.process_time() - began
        return found

    trainer._compute_loss = counted
    cerolab.integrations.trl.trainer.GRPOTrainer.training_step = timed
    exchange = getattr(cerolab.integrations.trl.trainer, "exchanged", None)
    if exchange is not None:

        def weighed(*given: Any) -> Any:
            *most, gather = given

            def noted(tensor: Any) -> Any:
                _SENT["bytes"] += tensor.numel() * tensor.element_size()
                return gather(tensor)

            return exchange(*most, noted)

        cerolab.integrations.trl.trainer.exchanged = weighed


def main() -> None:
    """Start the processes, and print what the fullest of them and all together did in a round."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(PROCESSES),
                   "-m", "benchmarks.processes", folder]  # fmt: skip
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True)
        found = [json.loads((Path(folder) / f"{rank}.json").read_text()) for rank in range(PROCESSES)]
    for kind in ("scoring", "update"):
        for name in ("rows", "tokens", "seconds"):
            values = [one[kind][name] for one in found]
            print(f"{kind} {name}: {' '.join(f'{value:.4g}' for value in values)}; fullest {max(values):.4g}")
    print(f"bytes sent by each process: {max(one['bytes'] for one in found):.0f}")


if __name__ == "__main__":
    if "RANK" in os.environ:
        torch.set_num_threads(1)
        numbers = train(sys.argv[1])
        (Path(sys.argv[1]) / f"{os.environ['RANK']}.json").write_text(json.dumps(numbers))
    else:
        main()
