"""Training the tiny model: the allocated trainer against TRL's own on the same responses, and with its defaults."""

import copy
import time
from statistics import median

import pytest

from benchmarks.yardstick import note_ratio
from cerolab import AllocationProblem, Feedback, make

GROUPS, GROUP_SIZE, ROUNDS, REPEATS = 64, 8, 5, 5
NUM_PROMPTS = GROUPS * ROUNDS


def problem():
    return AllocationProblem(
        num_prompts=NUM_PROMPTS,
        num_rounds=ROUNDS,
        budget=GROUPS * ROUNDS,
        capacity=GROUPS,
        responses_per_unit=GROUP_SIZE,
    )


def uniform_order():
    """The prompts as the uniform allocator visits them, so that both trainers see the same ones."""
    allocator, visited = make("uniform", problem()), []
    while not allocator.done:
        wave = allocator.allocate()
        visited += wave.prompts.tolist()
        allocator.observe(wave, Feedback(wave.units * GROUP_SIZE, wave.units * 0))
    return visited


def clock():
    """A callback with the seconds of the training loop alone, without the making of trainer and optimizer.

    On a CPU the seconds of this process, one thread, which other work on the machine hardly touches.
    """
    import torch
    from transformers import TrainerCallback

    now = time.perf_counter if torch.cuda.is_available() else time.process_time

    class Clock(TrainerCallback):
        began = seconds = 0.0

        def on_train_begin(self, *_, **__):
            self.began = now()

        def on_train_end(self, *_, **__):
            self.seconds = now() - self.began

    return Clock()


def train(kind, model, tokenizer, task, folder):
    """Seconds and generated tokens of one training of ``ROUNDS`` rounds."""
    import torch
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import GRPOConfig, GRPOTrainer

    from cerolab.integrations.trl.rows.prefill import share_prefill
    from cerolab.integrations.trl.trainer import AllocatedGRPOTrainer

    def correct(completions, row, **_):
        return [task.verify(text, task.train[at]) for text, at in zip(completions, row, strict=True)]

    pool = Dataset.from_dict({"prompt": [q.prompt for q in task.train], "row": list(range(NUM_PROMPTS))})
    args = GRPOConfig(
        output_dir=str(folder), max_steps=ROUNDS, per_device_train_batch_size=GROUPS * GROUP_SIZE,
        num_generations=GROUP_SIZE, max_completion_length=task.max_new_tokens, learning_rate=1e-4, beta=0.0,
        lr_scheduler_type="constant", logging_steps=1, save_strategy="no", report_to="none", disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(), bf16=True, gradient_checkpointing=False, shuffle_dataset=False,
        dataloader_pin_memory=False,
    )  # fmt: skip
    timed = clock()
    given = {"args": args, "processing_class": tokenizer, "callbacks": [timed]}
    model = copy.deepcopy(model)
    if kind == "stock":
        trainer = GRPOTrainer(model, correct, train_dataset=pool.select(uniform_order()), **given)
    else:
        given |= {"train_dataset": pool, "allocator": make("uniform", problem())}
        trainer = AllocatedGRPOTrainer(model, correct, skip_zero_advantage=kind == "defaults", **given)
        if kind == "defaults":  # as python -m llm.train has them
            share_prefill(trainer.model)
    trainer.remove_callback(PrinterCallback)
    torch.manual_seed(0)
    trainer.train()
    lengths = [entry["completions/mean_length"] for entry in trainer.state.log_history if "loss" in entry]
    return timed.seconds, sum(lengths) * GROUPS * GROUP_SIZE


@pytest.mark.slow
def test_training(benchmark, tmp_path):
    """The three kinds in turn, again and again, so that a busy moment of the machine hits none of them alone."""
    pytest.importorskip("trl")
    import torch

    from llm.models.cpu import keep_freed_memory
    from llm.models.loading import load_model
    from llm.tasks import load_task

    keep_freed_memory()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the fastest at this size
    model, tokenizer = load_model("tiny")
    task = load_task("arithmetic(broad)", NUM_PROMPTS, 0)
    seconds = {"stock": [], "allocated": [], "defaults": []}  # a million generated tokens, each repeat

    def play():
        for repeat in range(REPEATS + 1):
            tokens = {}
            for kind in seconds:
                spent, tokens[kind] = train(kind, model, tokenizer, task, tmp_path)
                if repeat:  # the first warms up
                    seconds[kind].append(1e6 * spent / tokens[kind])
            assert tokens["stock"] == pytest.approx(tokens["allocated"], rel=1e-3)  # the same responses

    try:
        benchmark.pedantic(play, rounds=1)
    finally:
        torch.set_num_threads(threads)
    benchmark.extra_info["seconds_per_million_tokens"] = {kind: median(all_) for kind, all_ in seconds.items()}
    for kind in ("allocated", "defaults"):
        pairs = zip(seconds[kind], seconds["stock"], strict=True)
        ratios = [round(ours / theirs, 4) for ours, theirs in pairs]
        benchmark.extra_info[f"{kind}_to_stock"] = ratios
        note_ratio(benchmark, f"training, {kind} / TRL's own", median(ratios))
