"""GRPO in which an allocator decides, round by round, which prompts get a group and how large it is.

Written against TRL 1.16, whose internals only this package knows. A round is one generation batch of TRL, that is
``steps_per_generation * num_iterations`` calls of ``training_step``. The allocator is asked when the round starts,
never by a prefetching loader, so that it always knows the feedback of the round before.
"""

from __future__ import annotations

import copy
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import broadcast
from torch import Tensor
from transformers import TrainerCallback
from transformers.trainer import TRAINER_STATE_NAME
from trl import GRPOConfig, GRPOTrainer
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer import grpo_trainer
from trl.trainer.utils import shuffle_sequence_dict

from cerolab import Allocator, BudgetLedger, Feedback, Wave
from cerolab.errors import StateError
from cerolab.groups import mixed_groups, whole_groups
from cerolab.integrations.trl import checkpoint
from cerolab.integrations.trl.checkpoint_files import writing
from cerolab.integrations.trl.clock import Clock, rounds_of_epoch
from cerolab.integrations.trl.compatibility import check_settings, check_unused, default_args, steps_per_round
from cerolab.integrations.trl.feedback import FeedbackRule
from cerolab.integrations.trl.feedback_map import make_map
from cerolab.integrations.trl.metrics.clip_ratios import NAMES, TWO_SIDED, ClipLog, ClipRange
from cerolab.integrations.trl.metrics.rollout_log import SAMPLING, Sizes, length_metrics, sampling_metrics
from cerolab.integrations.trl.precision import check_precision, warn_of_lost_steps
from cerolab.integrations.trl.processes.agreement import Agreement
from cerolab.integrations.trl.processes.serialization import know_numbered_cpus
from cerolab.integrations.trl.processes.sharding import check_reward_models, check_sharding
from cerolab.integrations.trl.rewards import guarded, renamed, ungrade_models
from cerolab.integrations.trl.rows.advantages import round_advantages
from cerolab.integrations.trl.rows.batches import Rows, deal, join, pick, trim
from cerolab.integrations.trl.rows.dealing import NOBODY, dealt, empty_plan, rows_of_steps, slots, widths
from cerolab.integrations.trl.rows.exchange import exchanged
from cerolab.integrations.trl.rows.importance import importance_ratio
from cerolab.integrations.trl.rows.layout import Layout, local_rows
from cerolab.integrations.trl.time_limit import check_thread
from cerolab.integrations.trl.waiting import HoldingHandler, Waiting
from cerolab.records.rounds import RoundView

logger = logging.getLogger(__name__)

_ROW_LOSSES = ("grpo", "dr_grpo", "sapo", "luspo")  # means over rows; the others normalise by tokens


class AllocatedGRPOTrainer(GRPOTrainer):
    """TRL's ``GRPOTrainer`` with an allocator in place of the uniform sampler; everything else is TRL's.

    Prompt i of the allocator is row i of ``train_dataset``. One round is one generation batch: with the default
    ``steps_per_generation = gradient_accumulation_steps`` and ``num_iterations = 1`` one optimizer step, so that
    ``max_steps`` becomes the number of rounds K. Training ends with the horizon, or when the budget is spent.
    A round that admits nobody makes no update: the optimizer finds no gradient. ``num_train_epochs`` cuts the horizon
    into epochs of whole rounds. What TRL or a callback asks for inside a round (to evaluate, to save, to stop) is done
    at its end.

    Args:
        model, reward_funcs, args, train_dataset, **trl: as ``GRPOTrainer`` takes them.
        allocator: a fresh ``cerolab.make(...)``, over as many prompts as the dataset has rows; with several
            processes, the same one in each.
        feedback_reward: name of the reward function that the allocator learns from; by default the weighted sum of
            all.
        feedback_map: how rewards outside [0, 1] become what the allocator learns from: "range", the range seen so far;
            "rank", ranks among the last rewards; "none", an error. See ``cerolab.integrations.trl.feedback_map``.
        advantage_clip: bound on the size of an advantage; None for none.
        skip_zero_advantage: leave out the rows of groups whose rewards are all the same, where that changes nothing
            but the time: where no term of the loss depends on them (see ``_may_skip_rows``).
        on_bad_reward: "error", or "skip" to leave ungraded what a reward function fails on; see
            ``cerolab.integrations.trl.rewards``.
        reward_seconds: that a call of a reward function may take before it counts as failed; 0 for no limit.
        on_round: called with a ``RoundView`` when a round is over, after its update.

    Attributes:
        ledger: ``BudgetLedger``, the responses that the engine really made.
        steps_per_round: optimizer steps of a round.

    Raises:
        InvalidValueError: a setting that does not fit the allocator's problem, or that this trainer cannot honour.
        RewardError: a response that no reward function graded (``on_bad_reward="error"``).
    """

    environments: list[Any] | None  # TRL's
    callback_handler: Any
    _current_train_step_time: float

    def __init__(
        self,
        model: Any,
        reward_funcs: Any = None,
        args: GRPOConfig | None = None,
        train_dataset: Any = None,
        *,
        allocator: Allocator,
        feedback_reward: str | None = None,
        feedback_map: str = "range",
        advantage_clip: float | None = None,
        skip_zero_advantage: bool = True,
        on_bad_reward: str = "error",
        reward_seconds: float = 0.0,
        on_round: Callable[[RoundView], None] | None = None,
        **trl: Any,
    ) -> None:
        args = default_args(model) if args is None else copy.copy(args)
        check_unused(allocator)
        check_settings(args, train_dataset, allocator.problem, trl, on_bad_reward)
        self.allocator, self.ledger = allocator, BudgetLedger(allocator.problem)
        self.steps_per_round = steps_per_round(args)
        self._last_loaded_step = -1
        args.max_steps = allocator.problem.num_rounds * self.steps_per_round
        self._calls_per_round = args.steps_per_generation * args.num_iterations
        self._on_bad_reward, self.on_round, self._advantage_clip = on_bad_reward, on_round, advantage_clip
        self.feedback_map = make_map(feedback_map)
        check_thread(reward_seconds)
        know_numbered_cpus()
        reward_funcs = [] if reward_funcs is None else guarded(reward_funcs, on_bad_reward, reward_seconds)
        given = len(reward_funcs)
        super().__init__(model, reward_funcs, args=args, train_dataset=train_dataset, **trl)
        self._check_accelerator()
        warn_of_lost_steps(self)
        self.num_generations = 1  # one row a response in every engine; groups are ours
        self.reward_funcs[given:] = guarded(self.reward_funcs[given:], on_bad_reward, reward_seconds)  # environments'
        self.reward_func_names: list[str] = renamed(self.reward_funcs, self.reward_func_names)
        self._rule = FeedbackRule(self.reward_func_names, feedback_reward, self.feedback_map, on_bad_reward)
        self._may_skip = skip_zero_advantage and self._may_skip_rows()
        self._clip_range = ClipRange(
            self.loss_type,
            self.epsilon_low,
            self.epsilon_high,
            self.args.delta,
            self.importance_sampling_level == "sequence",
        )
        self._clip_log, self._waiting = ClipLog(), Waiting()
        self._agreement: Agreement | None = None
        if self.accelerator.num_processes > 1:
            self._agreement = Agreement(allocator.problem, self.train_dataset, self._gathered)
        self._micro_batches: list[Rows | None] = []
        self._view: RoundView | None = None
        self._rewards_NF = torch.empty(0)  # of the last wave, over all processes
        self._scoring_deferred = False
        self._wave_rows = 0  # rows of the wave that are no fillers, over all processes
        self._true_rows = 0  # and of this process
        self._sizes = Sizes(*torch.empty(4, 0))  # of its responses, over all processes
        self._logps_NT = torch.empty(0)
        self._step_ended = 0.0
        self._has_gradient = False  # in this optimizer step
        self.callback_handler = HoldingHandler(self.callback_handler, self._hold)
        self.add_callback(_RoundEnd(self))

    def _may_skip_rows(self) -> bool:
        """Whether a row without an advantage adds nothing to the loss.

        All policy losses are sums of advantage times something of the row, divided by numbers that are known before.
        But "bnpo" divides by the tokens of the micro-batch, a quantile of entropies is one of all tokens at hand, and
        the penalty for leaving the reference, the entropy bonus and the router's auxiliary loss are of every row.
        """
        of_every_row = self.beta != 0 or self.aux_loss_enabled or self._entropy_bonus_enabled
        return not of_every_row and self.loss_type != "bnpo" and self.top_entropy_quantile == 1.0

    def _check_accelerator(self) -> None:
        """What accelerate came to, whoever asked for it: TRL's settings, a launcher or its config file."""
        kind, processes = str(self.accelerator.distributed_type.value), self.accelerator.num_processes
        in_pieces = self._dist.is_fsdp or self._dist.is_zero3
        mesh = self.accelerator.parallelism_config
        split = () if mesh is None else tuple(mesh.non_dp_dim_names)
        check_sharding(kind, in_pieces, self.args, self.allocator.problem, processes, split)
        if self._dist.is_zero3:
            check_reward_models(self.reward_funcs)
        check_precision(str(self.accelerator.mixed_precision))

    # --- the clock: TRL's loop counts training steps, rounds are made on time -------------------------------------

    def get_train_dataloader(self) -> Clock:
        """Ticks; a loader of prompts would be read ahead of the feedback."""
        rounds = rounds_of_epoch(self.allocator.problem.num_rounds, self.args.num_train_epochs)
        return Clock(rounds * self.steps_per_round * self.args.gradient_accumulation_steps)

    def train(self, resume_from_checkpoint: str | bool | None = None, *given: Any, **named: Any) -> Any:
        """TRL's, from the first round, or from a checkpoint.

        Raises:
            InvalidValueError: the allocator has been used and no checkpoint is named.
        """
        if not resume_from_checkpoint:
            check_unused(self.allocator)
        self._step, self._last_loaded_step = 0, -1  # a training before this one may have been cut short
        self._micro_batches, self._view, self._waiting = [], None, Waiting()
        self._clip_log, self._has_gradient, self._current_train_step_time = ClipLog(), False, 0.0
        self._metrics["train"].clear()
        return super().train(resume_from_checkpoint, *given, **named)

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """One micro-batch of the round; at its start the round is generated."""
        began = time.perf_counter()
        if self._step % self._calls_per_round == 0:
            self.model.train()
            self._micro_batches = self._round()
        batch = self._micro_batches[self._step % self.args.steps_per_generation]
        rolled_out = time.perf_counter()
        self._current_train_step_time += rolled_out - began  # TRL's time of a step has the rollout in it
        if batch is None:  # no backward: gradients stay None and the optimizer leaves the policy as it is
            self._step += 1
            loss = torch.zeros((), device=self.accelerator.device)
            if self._step % self.args.gradient_accumulation_steps == 0:
                self._metrics["train"]["step_time"].append(self._current_train_step_time)
                self._current_train_step_time = 0.0
        else:
            self._has_gradient = True
            loss = super().training_step(model, batch, num_items_in_batch)
        self._step_ended = time.perf_counter()
        if self._view is not None:
            self._view.seconds["train"] += self._step_ended - rolled_out
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
        waves: list[tuple[Rows, Layout, Sizes]] = []
        rewards, tokens = [], []
        while True:
            with self._timed("allocate"):
                allocation = self.allocator.allocate()
                if self._agreement is not None:
                    self._agreement.check(view.index, len(view.waves), allocation)
            self.ledger.spend(allocation)
            layout = Layout(allocation, self.allocator.problem.responses_per_unit, self.accelerator.num_processes)
            reward_NF, token_N = torch.empty(0, len(self.reward_funcs)), torch.empty(0)
            if allocation.num_groups:
                if not waves:
                    self._clear_tables()
                with self._timed("rollout"):
                    rows, reward_NF, sizes = self._roll_out(layout)
                token_N = sizes.made_N
                waves.append((rows, layout, sizes))
            tokens.append(np.bincount(layout.entry_N, token_N, allocation.num_groups).astype(np.int64))
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
        if not self._has_gradient and self._last_loaded_step == self.state.global_step - 1:
            self._last_loaded_step = self.state.global_step  # no update: vLLM still has these weights
        self._has_gradient = False
        view = self._view
        if view is None or self.state.global_step % self.steps_per_round:
            return
        view.seconds["train"] += time.perf_counter() - self._step_ended
        self._view = None
        self._waiting.release(control)
        if self.on_round is not None and self.is_world_process_zero():
            self.on_round(view)
        if self.allocator.done and self.state.global_step < self.state.max_steps:
            control.should_training_stop = True  # and what TRL does at max_steps
            control.should_save |= self.args.save_strategy == "steps"
            control.should_evaluate |= (
                self.args.eval_strategy == "steps" and self.args.eval_delay <= self.state.global_step
            )

    def _maybe_log_save_evaluate(self, *given: Any, **named: Any) -> None:
        """TRL's; inside a round only the logging."""
        self._hold(self.control)
        super()._maybe_log_save_evaluate(*given, **named)
        self._hold(self.control)  # what a callback of the logging asked for

    def _hold(self, control: Any) -> None:
        """Inside a round: what has been asked for waits for its end."""
        if self._view is not None:
            self._waiting.hold(control)

    def _gathered(self, here: Tensor) -> Tensor:
        """A small tensor of each process, put together along the first axis."""
        gathered: Tensor = self.accelerator.gather(here.to(self.accelerator.device))
        return gathered.cpu()

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        if self._view is not None:
            self._view.seconds[phase] += time.perf_counter() - began

    def _roll_out(self, layout: Layout) -> tuple[Rows, Tensor, Sizes]:
        """Rows of a wave on this process, then rewards [N, F] and sizes [N] of all processes without fillers."""
        process = self.accelerator.process_index
        mine = layout.prompts_of(process)
        self._wave_rows, self._true_rows = layout.size, layout.true_rows_of(process)
        examples = {int(prompt): self.train_dataset[int(prompt)] for prompt in np.unique(mine)}
        self._scoring_deferred = self._may_skip
        try:
            rows = self._generate_and_score_completions([examples[int(prompt)] for prompt in mine])
        finally:
            self._scoring_deferred = False
        self._forget_fillers(rows, layout)
        return rows, self._rewards_NF[: layout.size].cpu(), self._sizes

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: Tensor, attention_mask: Tensor, logits_to_keep: int, *given: Any, **named: Any
    ) -> Any:
        """TRL's; of rows that may be left out only once it is known which are kept, see ``_score``."""
        if self._scoring_deferred:
            return torch.full((len(input_ids), logits_to_keep), torch.nan, device=input_ids.device), None, None
        found = super()._get_per_token_logps_and_entropies(
            model, input_ids, attention_mask, logits_to_keep, *given, **named
        )
        self._logps_NT = found[0].detach()  # for the clip ratios
        return found

    def _generate(self, prompts: list[Any]) -> Any:
        """TRL's; of the responses of all processes it keeps the lengths, and logs them without fillers."""
        seen = self.state.num_input_tokens_seen
        made = super()._generate(prompts)
        if not self.model.training:
            return made
        prompt_ids, completion_ids, tool_mask = made[:3]
        endings, true = {*self.eos_token_ids, self._tokenizer.pad_token_id}, self._true_rows
        masks = completion_ids if tool_mask is None else tool_mask
        here = [
            [len(prompt), len(row), len(row) if tool_mask is None else sum(mask), row[-1] in endings, place < true]
            for place, (prompt, row, mask) in enumerate(zip(prompt_ids, completion_ids, masks, strict=True))
        ]
        known_NK = self._gathered(torch.tensor(here))
        true_N = known_NK[:, 4].bool()
        prompt_N, response_N, made_N, ended_N, _ = known_NK[true_N].T
        self._sizes = Sizes(prompt_N, response_N, made_N, ended_N.bool())
        if not true_N.all():
            metrics = self._metrics["train"]
            for name, value in length_metrics(self._sizes).items():
                metrics[name][-1] = value
            self.state.num_input_tokens_seen = seen + int(prompt_N.sum() + made_N.sum())
            metrics["num_tokens"] = [self.state.num_input_tokens_seen]
        return made

    def _generate_single_turn(self, prompt_ids: Any, *given: Any, **named: Any) -> Any:
        """TRL's, without the fillers: they get an empty response, the engine never sees them.

        After a call of a tool it is asked again, for the rows that called one; no filler does.
        """
        if not self.model.training:
            return super()._generate_single_turn(prompt_ids, *given, **named)
        true, fillers = self._true_rows, max(0, len(prompt_ids) - self._true_rows)
        ids, logps = (
            super()._generate_single_turn(prompt_ids[:true], *given, **named) if true else self._generate_nothing()
        )
        ids = [*ids, *([self.eos_token_ids[0]] for _ in range(fillers))]  # one token: TRL looks at the last one
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
        """Responses of the present policy outside of training, one a prompt, by the vLLM that serves the rollouts.

        With several processes as many prompts in each (``cerolab.integrations.trl.processes.shares``): a shared engine
        deals the responses so.
        """
        engine = self.vllm_generation
        engine.sync_weights()
        self._last_loaded_step = self.state.global_step
        kept = engine.temperature, engine.max_completion_length
        engine.temperature, engine.max_completion_length = temperature, max_new_tokens
        try:
            return list(engine.generate(prompts=prompts, images=None, num_generations=1)[1])
        finally:
            engine.temperature, engine.max_completion_length = kept

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids: Any) -> Tensor:
        """TRL's, over all processes, of true rows only; nan for fillers. Kept for the round."""
        if not self.model.training:
            rewards_NF: Tensor = super()._calculate_rewards(inputs, prompts, completions, completion_ids)
            ungrade_models(rewards_NF, self.reward_funcs, self.reward_func_names, self._on_bad_reward)
            return rewards_NF
        true = self._true_rows
        shape = len(prompts), len(self.reward_funcs)
        rewards_NF = torch.full(shape, torch.nan, device=self.accelerator.device)
        if self.environments is not None:  # one a row
            self.environments = self.environments[:true]
        if true:
            with _rewards_stay_here():
                rewards_NF[:true] = super()._calculate_rewards(
                    inputs[:true], prompts[:true], completions[:true], completion_ids[:true]
                )
        for values in self._pending_extra_logs.values():  # a row's, as TRL gathers them
            values += [None] * (len(prompts) - len(values))
        self._rewards_NF = self.accelerator.gather(rewards_NF)
        true_NF = self._rewards_NF[: self._wave_rows]
        ungrade_models(true_NF, self.reward_funcs, self.reward_func_names, self._on_bad_reward)
        return self._rewards_NF

    def _feedback(self, layout: Layout, reward_NF: Tensor) -> Feedback:
        """What the allocator is told of a wave."""
        feedback, numbers = self._rule(layout, reward_NF, self.reward_weights.cpu())
        for name, value in numbers.items():
            self._metrics["train"][name].append(value)
        return feedback

    # --- from rows to micro-batches ---------------------------------------------------------------------------------

    def _cut(
        self, waves: list[tuple[Rows, Layout, Sizes]], rewards: list[Tensor], view: RoundView
    ) -> list[Rows | None]:
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
        self._repair_logs(advantage_N, flat_N, len(waves))
        if not trained_N.any():
            return idle
        rows = join([rows for rows, _, _ in waves], self._tokenizer.pad_token_id)
        scores = "old_per_token_logps" in rows
        if self._may_skip:  # they are made of the rows that are kept
            rows.pop("old_per_token_logps", None)
        layouts, sizes = [layout for _, layout, _ in waves], Sizes.joined([sizes for _, _, sizes in waves])
        place_N = local_rows(layouts, self.accelerator.process_index)  # -1: a filler
        local_N = advantage_N[place_N.clamp(min=0)].masked_fill(place_N < 0, 0.0)
        rows["advantages"] = local_N.to(self.accelerator.device)
        candidates = torch.nonzero(trained_N).flatten()
        plan, slot_N = self._plan(candidates, advantage_N, sizes)
        rows["slot"] = slot_N[place_N.clamp(min=0)].masked_fill(place_N < 0, NOBODY).to(self.accelerator.device)
        used = plan[plan != NOBODY]
        multiple = self.pad_to_multiple_of or 1
        longest = (
            -(-int(sizes.prompt_N[used].max()) // multiple) * multiple,
            -(-max(int(sizes.response_N[used].max()), 2) // multiple) * multiple,  # 2: see ``trim``
        )
        mine, index = exchanged(rows, layouts, self.accelerator.process_index, plan, longest, self.accelerator.gather)
        counted_N = sizes.made_N * (sizes.ended_N | (not self.mask_truncated_completions))
        clip_sizes = self._clip_range.sizes_of_parts(counted_N, slot_N, used, self.args.steps_per_generation)
        clip_sizes_S = clip_sizes.view(2, len(plan), -1).unbind(1)
        return self._micro_batches_of(
            mine, index, widths(plan), len(candidates), int(counted_N[candidates].sum()), clip_sizes_S, scores
        )

    def _plan(self, candidates: Tensor, advantage_N: Tensor, sizes: Sizes) -> tuple[Tensor, Tensor]:
        """The rows of each process in each optimizer step; the first process decides for all.

        Returns:
            int64 [S, P, W], see ``cerolab.integrations.trl.rows.dealing``; int64 [N], in which of the round's
            micro-batches TRL would have a row.
        """
        steps = self.args.steps_per_generation // self.args.gradient_accumulation_steps
        processes, device = self.accelerator.num_processes, self.accelerator.device
        plan, slot_N = empty_plan(len(candidates), steps, processes), torch.full((len(advantage_N),), NOBODY)
        if self.accelerator.process_index == 0:
            order = shuffle_sequence_dict({"row": candidates})["row"]  # TRL's own shuffle: the same draw as stock
            tokens_N = sizes.prompt_N + sizes.response_N
            plan = dealt(order, advantage_N, tokens_N, steps, processes, self._may_skip)
            slot_N = slots(order, steps, self.args.gradient_accumulation_steps, len(advantage_N))
        return (
            (broadcast(plan.to(device)).cpu(), broadcast(slot_N.to(device)).cpu()) if processes > 1 else (plan, slot_N)
        )

    def _micro_batches_of(
        self,
        rows: Rows,
        index_SW: Tensor,
        widest_S: list[int],
        total: int,
        tokens: int,
        clip_sizes_S: Sequence[Tensor],
        scores: bool,
    ) -> list[Rows | None]:
        """Cut a process's rows of each optimizer step; None where nothing is left to do.

        Args:
            rows: of this process.
            index_SW: which of them are of each step; -1 for a filler.
            widest_S: how many each process has, with fillers.
            total, tokens: of the whole round over all processes, rows that are left out and all.
            clip_sizes_S: see ``ClipRange.sizes_of_parts``.
            scores: whether the loss needs log-probabilities from before the update.
        """
        accumulation, size = self.args.gradient_accumulation_steps, self.args.per_device_train_batch_size
        processes = self.accelerator.num_processes
        micro_batches: list[Rows | None] = []
        for index, widest, rows_of_step, clip_sizes in zip(
            index_SW, widest_S, rows_of_steps(total, len(index_SW)), clip_sizes_S, strict=True
        ):
            count = min(-(-widest // size), accumulation)
            micro_batches += [None] * (accumulation - count)  # first: processes exchange gradients in the last one
            for chunk in deal(index[:widest], count) if count else []:
                batch = trim(pick(rows, chunk), self.pad_to_multiple_of)
                if scores and self._may_skip:
                    batch["clip_sizes"] = clip_sizes
                batch["num_items_in_batch"] = torch.tensor(tokens, device=self.accelerator.device)
                batch["loss_scale"] = torch.tensor(1.0)
                share = len(chunk) * accumulation * processes / rows_of_step
                if self.loss_type in _ROW_LOSSES:  # from a mean over the micro-batch to one over the step's rows
                    batch["loss_scale"] = torch.tensor(share)
                elif self.loss_type == "bnpo":
                    batch["loss_scale"] = torch.tensor(accumulation / count)
                elif self.aux_loss_enabled or self._entropy_bonus_enabled:  # means over the micro-batch, beside it
                    batch["loss_scale"] = torch.tensor(share)
                    batch["num_items_in_batch"] = batch["num_items_in_batch"] * share
                micro_batches.append(batch)
        if scores:
            self._score([batch for batch in micro_batches if batch is not None])
        return micro_batches

    def _score(self, batches: list[Rows]) -> None:
        """Log-probabilities before the round's first update, where that was left until now; ratios to the engine's."""
        if self._may_skip:
            with torch.no_grad(), disable_gradient_checkpointing(self.model, self.args.gradient_checkpointing_kwargs):
                for batch in batches:
                    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
                    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
                    width = batch["completion_ids"].size(1)
                    found = self._get_per_token_logps_and_entropies(self.model, ids, mask, width)
                    batch["old_per_token_logps"] = found[0]
        if not (self.use_vllm and self.vllm_importance_sampling_correction):
            return
        for batch in batches:
            batch["importance_sampling_ratio"] = importance_ratio(
                *(batch["old_per_token_logps"], batch["sampling_per_token_logps"], _counted(batch)),
                self.vllm_importance_sampling_mode,
                self.vllm_importance_sampling_clip_min,
                self.vllm_importance_sampling_clip_max,
            )
        if self._may_skip:  # of rows that were left out nobody knows them
            trained = [_scored(batch, batch["completion_mask"].any(1)) for batch in batches]
            for name, value in sampling_metrics(trained, self.accelerator.gather).items():
                self._metrics["train"][f"trained_rows/{name}"].append(value)

    def _compute_loss(self, model: Any, inputs: Rows) -> Tensor:
        """TRL's loss, from a mean over the rows at hand to one over the rows of the whole optimizer step."""
        loss: Tensor = super()._compute_loss(model, inputs)
        if not self.model.training:
            return loss
        if self._may_skip:
            self._log_trained_rows(inputs)
        return loss * inputs["loss_scale"].to(loss.device)

    def _log_trained_rows(self, inputs: Rows) -> None:
        """What TRL has just logged of the rows at hand: clip ratios become those of all rows, others get their name."""
        metrics = self._metrics["train"]
        for name in ("entropy", "vespo/phi_seq_mean"):  # of rows that were left out nobody knows them
            if name in metrics:
                metrics[f"trained_rows/{name}"] += metrics.pop(name)
        if not self._clip_range.known or "clip_sizes" not in inputs:  # not logged, or nothing is clipped
            return
        mask_NT = _counted(inputs)
        log_ratio_NT = self._logps_NT - inputs["old_per_token_logps"]
        clipped = self._clip_range.clipped(log_ratio_NT, inputs["advantages"], mask_NT)
        parts = self.args.gradient_accumulation_steps
        part_N = torch.where(inputs["slot"] == NOBODY, NOBODY, inputs["slot"] % parts)
        self._clip_log.add(part_N, *clipped, self._clip_range.sizes(mask_NT))
        two_sided = self.loss_type in TWO_SIDED
        names = {f"clip_ratio/{name}": name for name in NAMES} if two_sided else {"cispo_clip_ratio": "high_mean"}
        for name in names:
            metrics[name].pop()
        if (self._step + 1) % parts == 0:  # the optimizer step's last micro-batch
            size_B, trained_B = inputs["clip_sizes"]
            found = self._clip_log.take(size_B, size_B == trained_B, self._gathered)
            for name, column in names.items():
                metrics[name] += found[column]

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

    def _tables(self) -> list[Any]:
        """TRL's tables of single responses, a column each."""
        columns = [self._logs["prompt"], self._logs["completion"], self._logs["advantages"]]
        return [*columns, *self._logs["rewards"].values(), *self._logs["extra"].values()]

    def _clear_tables(self) -> None:
        """They are of the last generation batch, which has their size in TRL and may be smaller here."""
        for column in self._tables():
            column.clear()

    def _forget_fillers(self, rows: Rows, layout: Layout) -> None:
        """Take out of TRL's logs what fillers, which come last, brought in."""
        for column in self._tables():
            for _ in range(min(layout.fillers, len(column))):
                column.pop()
        ratio = rows.pop("importance_sampling_ratio", None)  # made again for each micro-batch
        if ratio is not None and self._may_skip:
            for name in SAMPLING:  # of no log-probabilities yet
                self._metrics["train"].pop(name, None)
        elif ratio is not None and self.accelerator.num_processes > 1:
            true = _scored(rows | {"importance_sampling_ratio": ratio}, slice(self._true_rows))
            for name, value in sampling_metrics([true], self.accelerator.gather).items():
                self._metrics["train"][name][-1] = value

    def _repair_logs(self, advantage_N: Tensor, flat_N: Tensor, waves: int) -> None:
        """What TRL logged of groups of one size, replaced by what holds for ours."""
        zero_std, logged = self._metrics["train"]["frac_reward_zero_std"], self._logs["advantages"]
        del zero_std[-waves:]
        zero_std.append(flat_N.float().mean().item())
        for _ in range(min(len(advantage_N), len(logged))):
            logged.pop()
        logged.extend(advantage_N.tolist())

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """TRL's, then the allocator's state and the ledger's as its last file."""
        if self._view is not None:  # the policy is behind what allocator and ledger know
            logger.warning("a checkpoint was asked for inside round %d: it is taken at its end", self._view.index)
            self._waiting.asked.add("should_save")
            return
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
                    checkpoint.save(folder, self.allocator, self.ledger, self.feedback_map)
        finally:
            self.args.save_total_limit = limit
        if self.args.should_save:
            checkpoint.keep_newest(folder, limit, self.state.best_model_checkpoint)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        with checkpoint.reading(Path(resume_from_checkpoint)):
            json.loads((Path(resume_from_checkpoint) / TRAINER_STATE_NAME).read_text())  # TRL reads it next
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, folder: str | None) -> None:
        if folder is None:
            return
        with checkpoint.reading(Path(folder)):
            super()._load_optimizer_and_scheduler(folder)
        rounds, inside = divmod(self.state.global_step, self.steps_per_round)
        if inside:
            raise StateError(
                f"checkpoint {folder} was taken inside a round: after {inside} of the {self.steps_per_round} optimizer "
                f"steps of round {rounds}, whose responses it does not hold; go on from another one"
            )
        checkpoint.load(Path(folder), self.allocator, self.ledger, self.feedback_map)

    def _load_scaler(self, folder: str | None) -> None:
        if folder is not None:
            with checkpoint.reading(Path(folder)):
                super()._load_scaler(folder)

    def _load_rng_state(self, folder: str | None) -> None:
        if folder is not None:
            with checkpoint.reading(Path(folder)):
                super()._load_rng_state(folder)


def _rows_of(view: RoundView, responses_per_unit: int) -> tuple[Tensor, Tensor]:
    """Of the round's responses, wave after wave: whether they are trained on, and their prompt."""
    prompts = np.concatenate([wave.allocation.prompts for wave in view.waves])
    responses = np.concatenate([wave.allocation.units for wave in view.waves]) * responses_per_unit
    return torch.from_numpy(np.repeat(view.trained, responses)), torch.from_numpy(np.repeat(prompts, responses))


def _counted(rows: Rows) -> Tensor:
    """Which tokens of the completions count in the loss."""
    return rows["completion_mask"] * rows.get("tool_mask", 1)


def _scored(rows: Rows, chosen: Any) -> tuple[Tensor, ...]:
    """What ``sampling_metrics`` wants of the chosen rows."""
    names = "old_per_token_logps", "sampling_per_token_logps", "importance_sampling_ratio"
    return (*(rows[name][chosen] for name in names), _counted(rows)[chosen])


@contextmanager
def _rewards_stay_here() -> Iterator[None]:
    """TRL gathers the rewards of all processes where it has called the functions; true rows may differ in number."""
    gather = grpo_trainer.gather
    grpo_trainer.gather = lambda rewards: rewards
    try:
        yield
    finally:
        grpo_trainer.gather = gather


class _RoundEnd(TrainerCallback):
    """Closes a round after its last update."""

    def __init__(self, trainer: AllocatedGRPOTrainer):
        self._trainer = trainer

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self._trainer.close_round(control)
