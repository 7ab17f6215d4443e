"""Settings of one training run."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from cerolab import AllocationProblem, make
from cerolab.errors import InvalidValueError
from cerolab.records.own import writable
from cerolab.registry import import_plugins
from cerolab.tools.method import Method
from cerolab.tools.settings import CommandLineOnly, FolderName, NoRepeats, Seed, Settings, one_of
from llm.generation.prompting import check_template
from llm.models.loading import model_path
from llm.paths import check_folder
from llm.setting_types import Above0, Count, DType, NonNegative, Positive, Questions, Share, Text
from llm.tasks import NUM_HELDOUT, check_task, has_an_end, has_one_text, has_own_heldout

ENGINES = ("transformers", "vllm", "vllm-server")
LOSSES = ("grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo")
# Settings of TRL that can run code, read pickles, or send something to other machines.
FOREIGN = (
    "accelerator_config", "deepspeed", "fsdp_config", "generation_kwargs", "hub_model_id", "hub_revision", "hub_token",
    "log_completions_hub_repo", "model_init_kwargs", "output_dir", "parallelism_config", "push_to_hub",
    "resume_from_checkpoint", "trackio_bucket_id", "trackio_space_id", "trackio_static_space_id", "trust_remote_code",
    "vllm_server_base_url", "vllm_server_host", "vllm_server_port",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainSettings(Settings):
    """Everything that a training can be told.

    Parameters
    ----------
    name
        Name of the experiment; the run goes to OUT/llm/NAME/RUN_ID. The same settings go on where they were.
    out
        Folder of all results.
    allocator
        Who decides which prompts get rollouts, options in brackets: "cero(price=0.3)".
    plugins
        Modules to import first, which register allocators of your own.
    seed
        Of sampling, of the allocator, and of LoRA's weights.
    model
        tiny, smollm2, a Hugging Face name or a local folder.
    trust_remote_code
        Run code that a model brings along; without it such a model is refused.
    dtype
        Of the weights: float32, or bfloat16, in which a small learning rate is rounded away; bf16 is as fast.
    attention
        Attention implementation of transformers: eager, sdpa, flash_attention_2; by default the model's.
    lora_rank
        Rank of LoRA adapters on all linear layers; 0 trains every weight.
    task
        Where the questions come from: "arithmetic(broad)", "arithmetic(hard)", "reasoning_gym(gcd, chain_sum)",
        "gsm8k(train.jsonl)", "math(...)", "dapo_math(...)", "aime(...)"; in brackets a file, a folder or a hub dataset.
    eval_task
        Held-out questions from another task; by default the task's own.
    task_seed
        Of the draw of questions.
    prompt_template
        What the model reads; {prompt} is the question.
    max_prompt_tokens
        Longer prompts are dropped with a count.
    strict
        Refuse a task with bad rows or too long prompts instead of dropping them.
    num_prompts
        Pool size M; 0 takes all questions of the task.
    num_heldout
        Held-out questions; by default all of a set of its own (eval_task, or a task's second file), 1000 of generated
        ones, and of a single file 1000 or a fifth; 0 for no evaluation.
    num_rounds
        Rounds K of the horizon.
    budget
        Allocation units B over the horizon; B * responses_per_unit responses are generated at most.
    token_budget
        Tokens that may be generated over the horizon, beside the budget of units; 0 for none. Needs max_new_tokens, and
        a budget of units above what the tokens are likely to pay for.
    capacity
        Units C that a round can execute; 0 takes 1.03 times the mean, the paper's ratio.
    max_units
        Units N_max that a prompt can get in a round.
    responses_per_unit
        Responses g of a unit.
    saturation
        lambda of the utility.
    engine
        Who generates: transformers, vllm (in this process) or vllm-server.
    share_prefill
        transformers engine: read each distinct prompt once; much faster with short responses.
    vllm_url
        Address of the server of engine vllm-server.
    vllm_memory
        Share of the GPU's memory for vLLM.
    max_new_tokens
        Longest response; 0 takes the task's own limit.
    temperature
        Of the rollouts.
    learning_rate
        Of AdamW.
    lr_schedule
        constant, linear, cosine and whatever else transformers knows.
    warmup_rounds
        Rounds in which the learning rate rises.
    adam_beta2, weight_decay, max_grad_norm
        Of AdamW; norm that gradients are clipped to.
    loss
        TRL's loss type: grpo, dr_grpo, dapo, bnpo, cispo, sapo, luspo, vespo.
    scale_rewards
        What divides advantages: group, batch or none.
    advantage_clip
        Bound on the size of an advantage; 0 for none.
    kl
        Weight beta of the KL penalty.
    clip_low, clip_high, dual_clip
        Bounds of the importance ratio: 1 - clip_low, 1 + clip_high, and for negative advantages dual_clip (0: none).
    num_iterations
        Passes over a round's responses.
    updates_per_round
        Optimizer steps of a pass.
    batch_size
        Responses that a process trains on at once; 0 takes 1024 with the model tiny, 8 with another.
    bf16
        Mixed precision in the update: computed in bfloat16, from weights of dtype.
    gradient_checkpointing
        Less memory, more time.
    on_bad_reward
        error, or skip: leave ungraded what a reward function fails on, with a count.
    reward_seconds
        Seconds that grading one response may take before it counts as failed; 0 for no limit.
    eval_every
        Rounds between evaluations; 0 evaluates before and after only.
    eval_samples
        Responses a held-out question; 0 takes exact success rates where the task has one right text (arithmetic).
    final_samples
        Responses a held-out question after training; 0 as eval_samples.
    eval_temperature
        Of the evaluation.
    oracle_every
        Rounds between the uncounted measurements that the allocator "oracle" decides on.
    save_every
        Rounds between checkpoints.
    save_model
        Keep the trained model in the run's folder.
    report_to
        Trackers, e.g. wandb, trackio or tensorboard; each is a package to install first.
    logging_rounds
        Rounds between log entries.
    threads
        CPU threads of torch; 0 leaves them as they are.
    trl
        Any other field of TRL's GRPOConfig, e.g. --trl.importance-sampling-level sequence.
    """

    name: FolderName = "train"
    out: Path = Path("results")
    allocator: Text = "cero"
    plugins: Annotated[tuple[Text, ...], CommandLineOnly()] = ()
    seed: Seed = 0
    model: Text = "tiny"
    trust_remote_code: Annotated[bool, CommandLineOnly()] = False
    dtype: DType = "float32"
    attention: Text | None = None
    lora_rank: Count = 0
    task: Text = "arithmetic(broad)"
    eval_task: Text | None = None
    task_seed: Seed = 0
    prompt_template: Text = "{prompt}"
    max_prompt_tokens: Positive = 2048
    strict: bool = False
    num_prompts: Questions = 2000
    num_heldout: Questions | None = None
    num_rounds: Positive = 60
    budget: Annotated[int, Field(ge=1, le=10**12)] = 7680
    token_budget: Annotated[int, Field(ge=0, le=10**15)] = 0
    capacity: Annotated[int, Field(ge=0, le=10**12)] = 0
    max_units: Positive = 2
    responses_per_unit: Positive = 4
    saturation: Above0 = 1.0
    engine: Annotated[str, one_of("engine", ENGINES)] = "transformers"
    share_prefill: bool = True
    vllm_url: Annotated[Text | None, CommandLineOnly()] = None
    vllm_memory: Annotated[float, Field(gt=0.0, le=1.0)] = 0.3
    max_new_tokens: Count = 0
    temperature: Above0 = 1.0
    learning_rate: NonNegative = 1e-4
    lr_schedule: Text = "constant"
    warmup_rounds: Count = 5
    adam_beta2: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.99
    weight_decay: NonNegative = 0.0
    max_grad_norm: NonNegative = 1.0
    loss: Annotated[str, one_of("loss", LOSSES)] = "dapo"
    scale_rewards: Annotated[str, one_of("scale_rewards", ("group", "batch", "none"))] = "group"
    advantage_clip: NonNegative = 5.0
    kl: NonNegative = 0.0
    clip_low: Share = 0.2
    clip_high: NonNegative = 0.28
    dual_clip: NonNegative = 10.0
    num_iterations: Positive = 1
    updates_per_round: Positive = 1
    batch_size: Count = 0
    bf16: bool = True
    gradient_checkpointing: bool = False
    on_bad_reward: Annotated[str, one_of("on_bad_reward", ("error", "skip"))] = "error"
    reward_seconds: Annotated[float, Field(ge=0.0, le=1e9)] = 0.0
    eval_every: Count = 10
    eval_samples: Count = 0
    final_samples: Count = 16
    eval_temperature: Above0 = 0.6
    oracle_every: Positive = 25
    save_every: Positive = 25
    save_model: bool = True
    report_to: Annotated[tuple[Text, ...], NoRepeats] = ()
    logging_rounds: Positive = 10
    threads: Annotated[int, Field(ge=0, le=4096)] = 0
    trl: Annotated[dict[str, Any], CommandLineOnly(FOREIGN)] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse what cannot run, before anything is loaded.

        Raises:
            CerolabError: names the setting, its value and what would be right.
        """
        check_folder("out", self.out)
        import_plugins(self.plugins)
        method = Method.parse(self.allocator)
        self._check_generation()
        self._check_questions()
        self._check_allocator(method, self.problem(self.num_prompts or max(self.budget, self.capacity)))
        from llm.training.grpo_settings import check_trl  # imports TRL, which takes seconds

        check_trl(self)

    def _check_allocator(self, method: Method, problem: AllocationProblem) -> None:
        """Make the allocator once, for a few prompts: it knows what its options can be."""
        options = dict(method.options)
        if method.name == "random_matched":  # it replays a run that may not be there yet
            return
        num_prompts = min(problem.num_prompts, 64)
        capacity = min(problem.capacity, num_prompts * problem.max_units)
        budget = min(problem.budget, capacity * problem.num_rounds)
        if method.name == "oracle":
            options["rate"] = lambda: np.zeros(num_prompts)
        few = replace(problem, num_prompts=num_prompts, capacity=capacity, budget=budget)
        make(method.name, few, self.seed, **options)

    def _check_generation(self) -> None:
        model_path(self.model, made=False)
        check_template(self.prompt_template)
        if self.responses_per_unit < 2 and self.max_units < 2:
            raise InvalidValueError(
                "responses_per_unit", self.responses_per_unit, "makes groups of one response", "use at least 2"
            )
        if self.engine == "vllm-server" and not (self.vllm_url or "").startswith(("http://", "https://")):
            raise InvalidValueError("vllm_url", self.vllm_url, "is no address", "give the server's, http://host:port")
        if self.token_budget and not self.max_new_tokens:
            raise InvalidValueError(
                "max_new_tokens", 0, f"is missing under token_budget={self.token_budget}", "give the longest response"
            )

    def _check_questions(self) -> None:
        for name in ("task", "eval_task"):
            if (text := getattr(self, name)) is not None:
                check_task(text, name, self.model)
        if not self.num_prompts and not has_an_end(self.task):
            raise InvalidValueError(
                "num_prompts", 0, f"takes all questions, and {self.task} has no end", "give 2000, say"
            )
        asked = self.eval_task or self.task
        if self.eval_samples == 0 and self.num_heldout != 0 and not has_one_text(asked):
            raise InvalidValueError(
                "eval_samples", 0, f"asks for exact success rates, which {asked} has not", "give a number, 16 say"
            )

    def problem(self, num_prompts: int) -> AllocationProblem:
        """The allocation problem over a pool of ``num_prompts``."""
        mean = -(-self.budget // self.num_rounds)
        return AllocationProblem(
            num_prompts=num_prompts,
            num_rounds=self.num_rounds,
            budget=self.budget,
            capacity=self.capacity or min(num_prompts * self.max_units, -(-mean * 33 // 32)),
            max_units=self.max_units,
            responses_per_unit=self.responses_per_unit,
            saturation=self.saturation,
            token_budget=self.token_budget or None,
            max_tokens=self.max_new_tokens if self.token_budget else None,
        )

    @property
    def num_pool_heldout(self) -> int | None:
        """Questions that the task of the training holds out itself: none where others are asked."""
        return self.num_heldout if self.eval_task is None else 0

    @property
    def micro_batch(self) -> int:
        """Responses that a process trains on at once, at most."""
        return self.batch_size or (1024 if self.model == "tiny" else 8)

    @property
    def steps_per_round(self) -> int:
        """Optimizer steps of a round."""
        return self.updates_per_round * self.num_iterations

    @property
    def directory(self) -> Path:
        """Folder of the experiment; of the user's own where the allocator is, and that one has committed records."""
        return writable(self.out / "llm" / self.name, (not Method.parse(text).plugin for text in (self.allocator,)))

    def scenario(self) -> dict[str, Any]:
        """What the run's outcome depends on besides the allocator, its problem and the seed; JSON-ready."""
        kept = {item.name: getattr(self, item.name) for item in fields(self) if item.name not in _NOT_SCENARIO}
        kept["batch_size"] = self.micro_batch
        if not self.trust_remote_code:
            del kept["trust_remote_code"]  # so that run ids stay what they were
        if self.num_heldout is None and self.eval_task is None and not has_own_heldout(self.task):
            kept["num_heldout"] = NUM_HELDOUT
        if self.trl:
            from cerolab.integrations.trl.options import trl_options

            kept["trl"] = trl_options(self.trl)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}


# Where and how often to write and to look, and what the record states elsewhere.
_NOT_SCENARIO = frozenset(
    {"name", "out", "allocator", "plugins", "seed", "num_prompts", "num_rounds", "budget", "token_budget", "capacity",
     "max_units", "responses_per_unit", "saturation", "report_to", "logging_rounds", "threads", "save_every",
     "save_model", "vllm_url", "vllm_memory", "strict", "reward_seconds"}
)  # fmt: skip
