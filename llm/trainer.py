"""GRPO in which an allocator decides, round by round, which prompts get a group and how large it is.

The only module that knows TRL's internals; written against TRL 1.16. A round is one generation batch of TRL, that is
``steps_per_generation * num_iterations`` calls of ``training_step``. The allocator is asked when the round starts,
never by a prefetching loader, so that it always knows the feedback of the round before.
"""

from __future__ import annotations

import copy
import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import TrainerCallback
from transformers.trainer import TRAINER_STATE_NAME
from trl import GRPOConfig, GRPOTrainer
from trl.trainer.utils import shuffle_sequence_dict

from cerolab import Allocator, BudgetLedger, Feedback, Wave
from cerolab.errors import InvalidValueError
from cerolab.groups import mixed_groups, whole_groups
from cerolab.records.rounds import RoundView
from llm import checkpoint
from llm.advantages import combined_reward, round_advantages
from llm.batches import Rows, deal, join, pick, trim, worth_training
from llm.checkpoint_files import reading, writing
from llm.compatibility import check_settings, steps_per_round
from llm.feedback import wave_feedback
from llm.layout import Layout, local_rows
from llm.precision import check_precision, warn_of_lost_steps
from llm.rewards import guarded
from llm.sharding import check_sharding
from llm.time_limit import check_thread

logger = logging.getLogger(__name__)

_ROW_LOSSES = ("grpo", "dr_grpo", "sapo", "luspo")  # means over rows; the others normalise by tokens


class AllocatedGRPOTrainer(GRPOTrainer):
    """TRL's ``GRPOTrainer`` with an allocator in place of the uniform sampler; everything else is TRL's.

    Prompt i of the allocator is row i of ``train_dataset``. One round is one generation batch: with the default
    ``steps_per_generation = gradient_accumulation_steps`` and ``num_iterations = 1`` one optimizer step, so that
    ``max_steps`` becomes the number of rounds K. Training ends with the horizon, or when the budget is spent.
    A round that admits nobody makes no update: the optimizer finds no gradient.

    Args:
        model, reward_funcs, args, train_dataset, **trl: as ``GRPOTrainer`` takes them.
        allocator: a fresh ``cerolab.make(...)``, over as many prompts as the dataset has rows; with several
            processes, the same one in each.
        feedback_reward: name of the reward function whose rewards in [0, 1] the allocator learns from; by default
            the weighted sum of all.
        advantage_clip: bound on the size of an advantage; None for none.
        skip_zero_advantage: leave out the rows of groups whose rewards are all the same, where that changes nothing
            but the time (no KL, loss not "bnpo", no entropy quantile).
        on_bad_reward: "error", or "skip" to leave ungraded what a reward function fails on; see ``llm.rewards``.
        reward_seconds: that a call of a reward function may take before it counts as failed; 0 for no limit.
        on_round: called with a ``RoundView`` when a round is over, after its update.

    Attributes:
        ledger: ``BudgetLedger``, the responses that the engine really made.
        steps_per_round: optimizer steps of a round.

    Raises:
        InvalidValueError: a setting that does not fit the allocator's problem, or that this trainer cannot honour.
        RewardError: a response that no reward function graded (``on_bad_reward="error"``).
    """

    def __init__(
        self,
        model: Any,
        reward_funcs: Any,
        args: GRPOConfig,
        train_dataset: Any,
        *,
        allocator: Allocator,
        feedback_reward: str | None = None,
        advantage_clip: float | None = None,
        skip_zero_advantage: bool = True,
        on_bad_reward: str = "error",
        reward_seconds: float = 0.0,
        on_round: Callable[[RoundView], None] | None = None,
        **trl: Any,
    ) -> None:
        check_settings(args, train_dataset, allocator.problem, trl, on_bad_reward)
        self.allocator, self.ledger = allocator, BudgetLedger(allocator.problem)
        self.steps_per_round = steps_per_round(args)
        self._last_loaded_step = -1
        args = copy.copy(args)
        args.max_steps = allocator.problem.num_rounds * self.steps_per_round
        self._calls_per_round = args.steps_per_generation * args.num_iterations
        self._on_bad_reward, self.on_round, self._advantage_clip = on_bad_reward, on_round, advantage_clip
        check_thread(reward_seconds)
        reward_funcs = guarded(reward_funcs, on_bad_reward, reward_seconds)
        super().__init__(model, reward_funcs, args=args, train_dataset=train_dataset, **trl)
        self._check_accelerator()
        warn_of_lost_steps(self)
        self.num_generations = 1  # one row a response in every engine; groups are ours
        self._feedback_column = self._column_of(feedback_reward)
        self._may_skip = (
            skip_zero_advantage and self.beta == 0 and self.loss_type != "bnpo" and self.top_entropy_quantile == 1.0
        )
        self._micro_batches: list[Rows | None] = []
        self._view: RoundView | None = None
        self._rewards_NF = torch.empty(0)  # of the last wave, over all processes
        self._wave_rows = 0  # rows of the wave that are no fillers, over all processes
        self._true_rows = 0  # and of this process
        self._lengths = torch.empty(0)
        self._step_ended = 0.0
        self._moved = False  # whether this optimizer step has a gradient
        self.add_callback(_RoundEnd(self))

    def _check_accelerator(self) -> None:
        """What accelerate came to, whoever asked for it: TRL's settings, a launcher or its config file."""
        kind, processes = str(self.accelerator.distributed_type.value), self.accelerator.num_processes
        in_pieces = self._dist.is_fsdp or self._dist.is_zero3
        check_sharding(kind, in_pieces, self.args, self.allocator.problem, processes)
        check_precision(str(self.accelerator.mixed_precision))

    def _column_of(self, name: str | None) -> int | None:
        if name is None:
            return None
        if name not in self.reward_func_names:
            raise InvalidValueError(
                "feedback_reward", name, "is no reward function", f"name one of {', '.join(self.reward_func_names)}"
            )
        return int(self.reward_func_names.index(name))

    # --- the clock: TRL's loop counts training steps, rounds are made on time -------------------------------------

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Ticks; a loader of prompts would be read ahead of the feedback."""
        ticks = self.args.max_steps * self.args.gradient_accumulation_steps
        return DataLoader([{}] * ticks, batch_size=1, collate_fn=lambda tick: tick)  # type: ignore[arg-type]

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """One micro-batch of the round; at its start the round is generated."""
        if self._step % self._calls_per_round == 0:
            self.model.train()
            self._micro_batches = self._round()
        batch = self._micro_batches[self._step % self.args.steps_per_generation]
        began = time.perf_counter()
        if batch is None:  # no backward: gradients stay None and the optimizer leaves the policy as it is
            self._step += 1
            loss = torch.zeros((), device=self.accelerator.device)
        else:
            self._moved = True
            loss = super().training_step(model, batch, num_items_in_batch)
        self._step_ended = time.perf_counter()
        if self._view is not None:
            self._view.seconds["train"] += self._step_ended - began
        return loss

    def _run_epoch(self, *given: Any, **named: Any) -> None:
        """TRL's, unless a checkpoint has brought back a training that had spent its budget."""
        if self.allocator.done:
            self.control.should_training_stop = True
        else:
            super()._run_epoch(*given, **named)

    def _prepare_inputs(self, inputs: Any) -> Any:
        return inputs if self.model.training else super()._prepare_inputs(inputs)

    # --- a round --------------------------------------------------------------------------------------------------

    def _round(self) -> list[Rows | None]:
        """Allocate, generate, grade and observe, wave after wave; returns the round's micro-batches."""
        view = self._view = RoundView.before(self.allocator, self.ledger)
        waves: list[tuple[Rows, Layout]] = []
        rewards, tokens = [], []
        while True:
            with self._timed("allocate"):
                allocation = self.allocator.allocate()
            self.ledger.spend(allocation)
            layout = Layout(allocation, self.allocator.problem.responses_per_unit, self.accelerator.num_processes)
            reward_NF, token_N = torch.empty(0, len(self.reward_funcs)), torch.empty(0)
            if allocation.num_groups:
                with self._timed("rollout"):
                    rows, reward_NF, token_N = self._roll_out(layout)
                waves.append((rows, layout))
            tokens.append(np.bincount(layout.entry_N, token_N.cpu(), allocation.num_groups).astype(np.int64))
            self.ledger.count_tokens(int(tokens[-1].sum()))
            feedback = replace(self._feedback(layout, reward_NF), num_tokens=tokens[-1])
            with self._timed("observe"):
                self.allocator.observe(allocation, feedback)
            view.waves.append(Wave(allocation, feedback))
            rewards.append(reward_NF)
            if allocation.last_wave:
                break
        view.tokens = np.concatenate(tokens)
        view.trained = self.allocator.training_mask(view.waves)
        self.ledger.end_round(updated=bool(view.trained.any()))
        return self._cut(waves, rewards, view)

    def close_round(self, control: Any) -> None:
        """After an optimizer step: where it was the round's last, report the round; stop when the budget is spent."""
        if not self._moved and self._last_loaded_step == self.state.global_step - 1:
            self._last_loaded_step = self.state.global_step  # no update: vLLM still has these weights
        self._moved = False
        view = self._view
        if view is None or self.state.global_step % self.steps_per_round:
            return
        view.seconds["train"] += time.perf_counter() - self._step_ended
        self._view = None
        if self.on_round is not None and self.is_world_process_zero():
            self.on_round(view)
        if self.allocator.done and self.state.global_step < self.state.max_steps:
            control.should_training_stop = True
            control.should_save |= self.args.save_strategy != "no"

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        if self._view is not None:
            self._view.seconds[phase] += time.perf_counter() - began

    def _roll_out(self, layout: Layout) -> tuple[Rows, Tensor, Tensor]:
        """Rows of a wave on this process, then rewards [N, F] and tokens [N] of all processes without fillers."""
        process = self.accelerator.process_index
        mine = layout.prompts_of(process)
        self._wave_rows, self._true_rows = layout.size, layout.true_rows_of(process)
        examples = {int(prompt): self.train_dataset[int(prompt)] for prompt in np.unique(mine)}
        rows = self._generate_and_score_completions([examples[int(prompt)] for prompt in mine])
        lengths = self.accelerator.gather(self._lengths.to(self.accelerator.device))
        return rows, self._rewards_NF[: layout.size].cpu(), lengths[: layout.size].cpu()

    def _generate_single_turn(self, prompt_ids: Any, *given: Any, **named: Any) -> Any:
        """TRL's, without the fillers: they get an empty response, the engine never sees them."""
        if not self.model.training:
            return super()._generate_single_turn(prompt_ids, *given, **named)
        true, fillers = self._true_rows, len(prompt_ids) - self._true_rows
        ids, logps = (
            super()._generate_single_turn(prompt_ids[:true], *given, **named) if true else self._generate_nothing()
        )
        self._lengths = torch.tensor([len(row) for row in ids] + [0] * fillers)
        ids = [*ids, *([self.eos_token_ids[0]] for _ in range(fillers))]  # one token, so that TRL's logs have a length
        return ids, None if logps is None else [*logps, *([0.0] for _ in range(fillers))]

    def _generate_nothing(self) -> tuple[list[list[int]], list[list[float]] | None]:
        """All rows here are fillers; the process still takes part in the exchange of weights with vLLM.

        It syncs where the others do: after an update, and whenever vLLM has thrown its weights away to sleep.
        """
        if not self.use_vllm:
            return [], None
        engine = self.vllm_generation
        sleepy = engine.mode == "colocate" and engine.enable_sleep_mode
        if self.state.global_step != self._last_loaded_step or (sleepy and engine._llm_weights_sleeping):
            engine.sync_weights()
            self._last_loaded_step = self.state.global_step
        if sleepy and not engine._llm_weights_sleeping:  # wakes all of it first, as where something is generated
            engine.llm.wake_up(tags=["kv_cache"])
            engine.llm.sleep(level=2)
            engine._llm_weights_sleeping = True
        return [], []

    def generate_with_vllm(self, prompts: list[list[int]], temperature: float, max_new_tokens: int) -> list[list[int]]:
        """Responses of the present policy outside of training, one a prompt, by the vLLM that serves the rollouts."""
        engine = self.vllm_generation
        engine.sync_weights()
        self._last_loaded_step = self.state.global_step
        kept = engine.temperature, engine.max_completion_length
        engine.temperature, engine.max_completion_length = temperature, max_new_tokens
        try:
            return list(engine.generate(prompts=prompts, images=None, num_generations=1)[1])
        finally:
            engine.temperature, engine.max_completion_length = kept

    def _calculate_rewards(self, *given: Any) -> Tensor:
        """TRL's, over all processes; kept for the round."""
        rewards_NF = super()._calculate_rewards(*given)
        if self.model.training:
            rewards_NF[self._wave_rows :] = torch.nan  # fillers, which TRL's logs then leave out
            self._rewards_NF = rewards_NF
        return rewards_NF

    def _feedback(self, layout: Layout, reward_NF: Tensor) -> Feedback:
        """What the allocator is told of a wave."""
        if self._feedback_column is None:
            reward_N = combined_reward(reward_NF, self.reward_weights.cpu()).double().numpy()
        else:
            reward_N = reward_NF[:, self._feedback_column].double().numpy()
        self._metrics["train"]["rewards/ungraded"].append(float(np.isnan(reward_N).sum()))
        return wave_feedback(layout, reward_N, self._on_bad_reward)

    # --- from rows to micro-batches ---------------------------------------------------------------------------------

    def _cut(self, waves: list[tuple[Rows, Layout]], rewards: list[Tensor], view: RoundView) -> list[Rows | None]:
        """Advantages by group over the whole round, then micro-batches: None where there is nothing to do."""
        self._log_round(view)
        idle: list[Rows | None] = [None] * self.args.steps_per_generation
        if not waves:
            return idle
        trained_N, prompt_N = _rows_of(view, self.allocator.problem.responses_per_unit)
        advantage_N, flat_N = round_advantages(
            torch.cat(rewards),
            self.reward_weights.cpu(),
            prompt_N,
            trained_N,
            str(self.scale_rewards),
            self.multi_objective_aggregation,
            self._advantage_clip,
        )
        self._repair_logs(advantage_N, flat_N, [layout for _, layout in waves])
        if not trained_N.any():
            return idle
        rows = join([rows for rows, _ in waves], self._tokenizer.pad_token_id)
        place_N = local_rows([layout for _, layout in waves], self.accelerator.process_index)  # -1: a filler
        local_N = advantage_N[place_N.clamp(min=0)].masked_fill(place_N < 0, 0.0)
        rows["advantages"] = local_N.to(self.accelerator.device)
        candidates = torch.nonzero((place_N >= 0) & trained_N[place_N.clamp(min=0)]).flatten()
        order = shuffle_sequence_dict({"row": candidates})["row"]  # TRL's own shuffle: the same draw as stock
        return self._micro_batches_of(rows, order)

    def _micro_batches_of(self, rows: Rows, order: Tensor) -> list[Rows | None]:
        """Deal the rows to the round's optimizer steps, leave out what teaches nothing, even out the processes."""
        accumulation, size = self.args.gradient_accumulation_steps, self.args.per_device_train_batch_size
        steps, processes = self.args.steps_per_generation // accumulation, self.accelerator.num_processes
        shares = deal(order, steps)
        advantage_N = rows["advantages"].cpu()
        kept = [worth_training(share, advantage_N) if self._may_skip else share for share in shares]
        mask = rows["completion_mask"] * rows.get("tool_mask", 1)
        counts = [*map(len, kept), *map(len, shares), int(mask[order].sum())]
        counts_P = self.accelerator.gather(torch.tensor(counts, device=self.accelerator.device)).view(processes, -1)
        most, (*totals, tokens) = counts_P.max(0).values.tolist(), counts_P.sum(0).tolist()[steps:]
        micro_batches: list[Rows | None] = []
        for index, widest, total in zip(kept, most[:steps], totals, strict=True):
            count = min(-(-widest // size), accumulation)
            padded = torch.cat([index, torch.full((widest - len(index),), -1)])
            micro_batches += [None] * (accumulation - count)  # first: processes exchange gradients in the last one
            for chunk in deal(padded, count) if count else []:
                batch = trim(pick(rows, chunk))
                batch["num_items_in_batch"] = torch.tensor(tokens, device=self.accelerator.device)
                batch["loss_scale"] = torch.tensor(1.0)
                if self.loss_type in _ROW_LOSSES:  # from a mean over the micro-batch to one over the step's rows
                    batch["loss_scale"] = torch.tensor(len(chunk) * accumulation * processes / total)
                elif self.loss_type == "bnpo":
                    batch["loss_scale"] = torch.tensor(accumulation / count)
                micro_batches.append(batch)
        return micro_batches

    def _compute_loss(self, model: Any, inputs: Rows) -> Tensor:
        """TRL's loss, from a mean over the rows at hand to one over the rows of the whole optimizer step."""
        loss: Tensor = super()._compute_loss(model, inputs)
        return loss * inputs["loss_scale"].to(loss.device) if self.model.training else loss

    # --- logs and checkpoints ---------------------------------------------------------------------------------------

    def _log_round(self, view: RoundView) -> None:
        """The allocator's numbers, in TRL's own logging."""
        metrics = self._metrics["train"]
        whole = whole_groups(view.waves)
        groups, mixed = whole.allocation.num_groups, int(mixed_groups(whole).sum())
        for name, value in self.allocator.metrics().items():
            metrics[f"allocator/{name}"].append(value)
        metrics["allocator/groups"].append(groups)
        metrics["allocator/effective_group_rate"].append(mixed / groups if groups else float("nan"))
        metrics["allocator/responses_spent"].append(self.ledger.responses)
        metrics["allocator/responses_left"].append(self.ledger.remaining_responses)

    def _repair_logs(self, advantage_N: Tensor, flat_N: Tensor, layouts: list[Layout]) -> None:
        """What TRL logged of groups of one size, replaced by what holds for ours."""
        zero_std = self._metrics["train"]["frac_reward_zero_std"]
        del zero_std[-len(layouts) :]
        zero_std.append(flat_N.float().mean().item())
        logged, start = self._logs["advantages"], 0
        values: list[float] = []
        for layout in layouts:
            values += [*advantage_N[start : start + layout.size].tolist(), *[0.0] * layout.fillers]
            start += layout.size
        for _ in range(min(len(values), len(logged))):
            logged.pop()
        logged.extend(values)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """TRL's, then the allocator's state and the ledger's as its last file."""
        folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            with writing(folder):
                (folder / checkpoint.FILE).unlink(
                    missing_ok=True
                )  # one that is written anew is not whole until the end
                super()._save_checkpoint(model, trial)
                self.accelerator.wait_for_everyone()  # each process writes its random numbers
                if self.args.should_save:
                    checkpoint.save(folder, self.allocator, self.ledger)
        finally:
            self.args.save_total_limit = limit
        if self.args.should_save:
            checkpoint.keep_newest(folder, limit, self.state.best_model_checkpoint)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        with reading(Path(resume_from_checkpoint)):
            json.loads((Path(resume_from_checkpoint) / TRAINER_STATE_NAME).read_text())  # TRL reads it next
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, folder: str | None) -> None:
        if folder is None:
            return
        with reading(Path(folder)):
            super()._load_optimizer_and_scheduler(folder)
        checkpoint.load(Path(folder), self.allocator, self.ledger)

    def _load_scaler(self, folder: str | None) -> None:
        if folder is not None:
            with reading(Path(folder)):
                super()._load_scaler(folder)

    def _load_rng_state(self, folder: str | None) -> None:
        if folder is not None:
            with reading(Path(folder)):
                super()._load_rng_state(folder)


def _rows_of(view: RoundView, responses_per_unit: int) -> tuple[Tensor, Tensor]:
    """Of the round's responses, wave after wave: whether they are trained on, and their prompt."""
    prompts = np.concatenate([wave.allocation.prompts for wave in view.waves])
    responses = np.concatenate([wave.allocation.units for wave in view.waves]) * responses_per_unit
    return torch.from_numpy(np.repeat(view.trained, responses)), torch.from_numpy(np.repeat(prompts, responses))


class _RoundEnd(TrainerCallback):
    """Closes a round after its last update."""

    def __init__(self, trainer: AllocatedGRPOTrainer):
        self._trainer = trainer

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self._trainer.close_round(control)
