"""Settings of one training run."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from cerolab import AllocationProblem
from cerolab.errors import InvalidValueError, UnknownNameError
from cerolab.method import Method
from cerolab.records.own import writable
from cerolab.registry import import_plugins
from llm.models import DTYPES

ENGINES = ("transformers", "vllm", "vllm-server")


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
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
        Of the weights: float32 or bfloat16.
    attention
        Attention implementation of transformers: eager, sdpa, flash_attention_2; by default the model's.
    lora_rank
        Rank of LoRA adapters on all linear layers; 0 trains every weight.
    task
        Where the questions come from: "arithmetic(broad)", "arithmetic(hard)", "reasoning_gym(gcd, chain_sum)",
        "gsm8k(train.jsonl)", "math(...)", "dapo_math(...)", "aime(...)"; a file, a folder or a hub dataset.
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
        Held-out questions; 0 takes all.
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
        Responses that a process trains on at once.
    bf16
        Mixed precision in the update.
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
        Trackers, e.g. tensorboard, wandb, trackio.
    logging_rounds
        Rounds between log entries.
    threads
        CPU threads of torch; 0 leaves them as they are.
    trl
        Any other field of TRL's GRPOConfig, e.g. --trl.importance-sampling-level sequence.
    """

    name: str = "train"
    out: Path = Path("results")
    allocator: str = "cero"
    plugins: tuple[str, ...] = ()
    seed: int = 0
    model: str = "tiny"
    trust_remote_code: bool = False
    dtype: str = "float32"
    attention: str | None = None
    lora_rank: int = 0
    task: str = "arithmetic(broad)"
    eval_task: str | None = None
    task_seed: int = 0
    prompt_template: str = "{prompt}"
    max_prompt_tokens: int = 2048
    strict: bool = False
    num_prompts: int = 2000
    num_heldout: int = 1000
    num_rounds: int = 60
    budget: int = 7680
    token_budget: int = 0
    capacity: int = 0
    max_units: int = 2
    responses_per_unit: int = 4
    saturation: float = 1.0
    engine: str = "transformers"
    share_prefill: bool = True
    vllm_url: str | None = None
    vllm_memory: float = 0.3
    max_new_tokens: int = 0
    temperature: float = 1.0
    learning_rate: float = 1e-4
    lr_schedule: str = "constant"
    warmup_rounds: int = 5
    adam_beta2: float = 0.99
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    loss: str = "dapo"
    scale_rewards: str = "group"
    advantage_clip: float = 5.0
    kl: float = 0.0
    clip_low: float = 0.2
    clip_high: float = 0.28
    dual_clip: float = 10.0
    num_iterations: int = 1
    updates_per_round: int = 1
    batch_size: int = 1024
    bf16: bool = True
    gradient_checkpointing: bool = False
    on_bad_reward: str = "error"
    reward_seconds: float = 0.0
    eval_every: int = 10
    eval_samples: int = 0
    final_samples: int = 16
    eval_temperature: float = 0.6
    oracle_every: int = 25
    save_every: int = 25
    save_model: bool = True
    report_to: tuple[str, ...] = ()
    logging_rounds: int = 10
    threads: int = 0
    trl: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse what cannot run, before anything is loaded.

        Raises:
            CerolabError: names the setting, its value and what would be right.
        """
        import_plugins(self.plugins)
        for name, known in (
            ("engine", ENGINES),
            ("dtype", DTYPES),
            ("scale_rewards", ("group", "batch", "none")),
            ("on_bad_reward", ("error", "skip")),
        ):
            if getattr(self, name) not in known:
                raise UnknownNameError(name, getattr(self, name), known)
        for name in ("num_rounds", "budget", "responses_per_unit", "batch_size", "save_every", "oracle_every",
                     "num_iterations", "updates_per_round", "logging_rounds"):  # fmt: skip
            if getattr(self, name) < 1:
                raise InvalidValueError(name, getattr(self, name), "is below 1", "use a positive whole number")
        for name in ("num_prompts", "num_heldout", "token_budget", "capacity", "eval_every", "eval_samples",
                     "final_samples", "threads", "lora_rank", "max_new_tokens", "warmup_rounds",
                     "reward_seconds"):  # fmt: skip
            if getattr(self, name) < 0:
                raise InvalidValueError(name, getattr(self, name), "is negative", "use 0 or more")
        if self.responses_per_unit < 2 and self.max_units < 2:
            raise InvalidValueError(
                "responses_per_unit", self.responses_per_unit, "makes groups of one response", "use at least 2"
            )
        if self.engine == "vllm-server" and not self.vllm_url:
            raise InvalidValueError("vllm_url", self.vllm_url, "is missing", "give the server's address")
        if self.eval_temperature <= 0 or self.temperature <= 0:
            raise InvalidValueError("temperature", self.temperature, "is not positive", "use 1.0, say")
        Method.parse(self.allocator)
        if self.token_budget and not self.max_new_tokens:
            raise InvalidValueError(
                "max_new_tokens", 0, f"is missing under token_budget={self.token_budget}", "give the longest response"
            )
        if self.num_prompts:
            self.problem(self.num_prompts)

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
        if not self.trust_remote_code:
            del kept["trust_remote_code"]  # so that run ids stay what they were
        return {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}


# Where and how often to write and to look, and what the record states elsewhere.
_NOT_SCENARIO = frozenset(
    {"name", "out", "allocator", "plugins", "seed", "num_prompts", "num_rounds", "budget", "token_budget", "capacity",
     "max_units", "responses_per_unit", "saturation", "report_to", "logging_rounds", "threads", "save_every",
     "save_model", "vllm_url", "vllm_memory", "strict", "reward_seconds"}
)  # fmt: skip
