"""What a training would be, without running it, loading weights or fetching anything from the hub."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cerolab import AllocationProblem
from cerolab.errors import InvalidValueError, RecordError
from cerolab.integrations.trl.processes.launcher import num_processes
from cerolab.integrations.trl.processes.sharding import sharding
from cerolab.records import find_runs, provenance, read_run
from llm.evaluation.contamination import contamination
from llm.generation.prompting import prompt_length
from llm.models.cache import cache_directory
from llm.models.cpu import on_cpu
from llm.models.loading import model_path
from llm.settings import TrainSettings
from llm.tasks import Task, load_evaluation, load_task
from llm.training.grpo_settings import batch_sizes, grpo_config
from llm.training.memory import GIB, Load, fits, parts, readable, remedies
from llm.training.session import load_fitting
from llm.training.shapes import Shape, known_config, shape_of

_SAME_SPEED = ("model", "lora_rank", "task", "engine", "max_new_tokens", "batch_size", "dtype", "bf16")


def plan(settings: TrainSettings, processes: int = 0, gpu_memory: float = 0.0) -> dict[str, str]:
    """Rows of text by heading.

    Args:
        settings: of the training.
        processes: that it is to have; 0 takes those that its launcher started.
        gpu_memory: GiB of the memory of each; 0 looks at this machine.

    Raises:
        CerolabError: a setting that cannot be used.
    """
    settings.check()
    shape, tokenizer, model = _model(settings.model, settings.attention)
    task = _task(settings.task, settings, tokenizer)
    if task is None and not settings.num_prompts:
        raise InvalidValueError("num_prompts", 0, f"takes all of {settings.task}, which is not here", "give a number")
    problem = settings.problem(settings.num_prompts if task is None else len(task.train))
    heldout = task
    if settings.eval_task is not None and settings.num_heldout != 0:
        heldout = _task(settings.eval_task, settings, tokenizer, evaluation=True)
    told = "" if task is None or heldout is None else contamination(task, heldout)
    processes = processes or num_processes()
    at_once, accumulation = batch_sizes(settings, problem, processes)
    pool = f"{problem.num_prompts:,} prompts of {settings.task}"
    limit = settings.max_new_tokens or (None if task is None else task.max_new_tokens)
    return {
        "model": f"{settings.model}, {model}, {settings.dtype}",
        "pool": f"{pool}, not here" if task is None else f"{pool}; dropped: {dict(task.dropped) or 'none'}",
        "held out": f"{settings.eval_task or settings.task}, not here"
        if heldout is None
        else f"{len(heldout.heldout):,} questions" + ("" if heldout.heldout else ": nothing is evaluated"),
        **({"warning": told} if told else {}),
        "rounds": f"{problem.num_rounds:,}, {problem.mean_spend:.1f} units each on average, {problem.capacity} at most",
        "responses": f"{problem.budget_responses:,} of up to {'?' if limit is None else f'{limit:,}'} tokens"
        + (f", {problem.token_budget:,} tokens in all" if problem.token_budget else ""),
        "updates": f"up to {problem.num_rounds * settings.steps_per_round:,}, "
        f"micro-batches of {at_once} responses, {accumulation} an update, {processes} process{'es' * (processes > 1)}",
        **_memory(settings, problem, shape, processes, _longest(settings, task, tokenizer, limit), gpu_memory),
        "time": _time(settings, problem),
        "folder": str(settings.directory),
    }


def _model(name: str, attention: str | None) -> tuple[Shape | None, Any, str]:
    """The shape as far as known, the tokenizer where it is here, and what to say of the model."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    tokenizer, where = None, ""
    if name == "tiny":
        from llm.models.tiny import tiny_config, tiny_tokenizer

        config, tokenizer = tiny_config(), tiny_tokenizer()
    else:
        made = sorted(cache_directory().glob("smollm2-*")) if name == "smollm2" else [model_path(name)]
        path = str(made[0]) if made else name
        here: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}  # runs nothing of it
        try:
            config = AutoConfig.from_pretrained(path, **here)
            tokenizer = AutoTokenizer.from_pretrained(path, padding_side="left", **here)
        except (OSError, ValueError) as error:
            if Path(path).is_dir():
                problem = f"cannot be loaded ({' '.join(str(error).split())[:200]})"
                raise InvalidValueError("model", name, problem, "give a model's folder") from None
            config, where = known_config(name), "not here, "
            if config is None:
                return None, None, f"not here; `hf download {name} config.json` lets its size be known"
    options: dict[str, Any] = {} if attention is None else {"attn_implementation": attention}
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, **options)
    except Exception as error:  # of each kind of attention, another
        if attention is None:
            raise
        problem = f"cannot be used ({' '.join(str(error).split())[:200]})"
        raise InvalidValueError("attention", attention, problem, "leave it out, or use eager or sdpa") from None
    shape = shape_of(config, model)
    return shape, tokenizer, f"{where}{shape.parameters / 1e6:,.1f} M parameters"


def _task(text: str, settings: TrainSettings, tokenizer: Any, evaluation: bool = False) -> Task | None:
    """The task; None where it is a data set of the hub that is not in the cache."""
    try:
        if tokenizer is not None:
            return load_fitting(text, settings, tokenizer, evaluation)
        if evaluation:
            return load_evaluation(text, settings.num_heldout, settings.task_seed)
        return load_task(text, settings.num_prompts, settings.num_pool_heldout, settings.task_seed)
    except InvalidValueError as error:
        if error.field != "data set":
            raise
        return None


def _longest(settings: TrainSettings, task: Task | None, tokenizer: Any, limit: int | None) -> int | None:
    """Tokens of the longest prompt and response together; None where the task alone knows."""
    if limit is None:
        return None
    if task is None or tokenizer is None:
        return settings.max_prompt_tokens + limit
    lengths = (prompt_length(q, settings.prompt_template, tokenizer, settings.task, settings.model) for q in task.train)
    return max(lengths) + limit


def _memory(
    settings: TrainSettings,
    problem: AllocationProblem,
    shape: Shape | None,
    processes: int,
    tokens: int | None,
    gpu_memory: float,
) -> dict[str, str]:
    """What a process needs, compared with what it has, and what to change where that is too little."""
    if shape is None or tokens is None:
        return {"memory": "not known without " + ("the model's configuration" if shape is None else "max_new_tokens")}
    load = _load(settings, problem, processes, tokens)
    device, named = (gpu_memory * GIB, "the GPU") if gpu_memory else _device()
    found = parts(shape, load)
    if load.vllm:
        found[f"vLLM ({load.vllm:.0%} of {named})"] = load.vllm * device
    needed = sum(found.values())
    room = "fits" if fits(shape, load, device) else "does not fit"
    rows = {
        "memory": f"about {readable({'': needed}).strip()} a process, {room} in {device / GIB:.1f} GiB of {named}: "
        f"{readable(found)}; micro-batches of {load.rows} rows of {tokens:,} tokens"
    }
    if not fits(shape, load, device):
        group = max(2, problem.responses_per_unit)
        rows["to make it fit"] = " or ".join(remedies(shape, load, device, group))
    if settings.dtype != "float32" and not settings.lora_rank:
        rows["precision"] = (
            f"weights in {settings.dtype} above {512 * settings.learning_rate:.1g} do not notice a step of "
            f"{settings.learning_rate:g}; use --dtype float32 with --bf16"
        )
    return rows


def _load(settings: TrainSettings, problem: AllocationProblem, processes: int, tokens: int) -> Load:
    args = grpo_config(settings, problem, settings.directory, settings.max_new_tokens or 1, on_cpu())
    rows, accumulation = batch_sizes(settings, problem, processes)
    attention = settings.attention or ("eager" if settings.model == "tiny" else "sdpa")
    together = settings.engine == "vllm" and not args.vllm_enable_sleep_mode
    return Load(
        processes=processes,
        in_pieces=processes > 1 and sharding(args)[1],
        weight_bytes=4 if settings.dtype == "float32" else 2,
        bf16=settings.bf16,
        checkpointing=settings.gradient_checkpointing,
        eager=attention == "eager",
        lora_rank=settings.lora_rank,
        reference=bool(settings.kl and not settings.lora_rank),
        rows=rows,
        tokens=tokens,
        generated=0 if settings.engine != "transformers" else rows * accumulation * settings.updates_per_round,
        vllm=settings.vllm_memory if together else 0.0,
    )


def _device() -> tuple[float, str]:
    """(bytes, name) of what a process of this machine has: its GPU, or all of the memory."""
    if on_cpu():
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")), "this machine"
    import torch

    device = torch.cuda.get_device_properties(0)
    return float(device.total_memory), str(device.name)


def _time(settings: TrainSettings, problem: AllocationProblem) -> str:
    """From the seconds a response of a finished run of this experiment on such a machine, or an honest no."""
    wanted, machine = settings.scenario(), provenance()["machine"]
    try:
        runs = [read_run(path, unfinished=True) for path in find_runs([settings.directory])]
    except RecordError:  # no such folder, no run
        runs = []
    for run in runs:
        scenario, results = run.info["scenario"], run.info["results"]
        alike = all(scenario.get(name) == wanted[name] for name in _SAME_SPEED)
        if run.info["status"] == "finished" and alike and run.info["provenance"]["machine"] == machine:
            seconds = sum(results[f"seconds_{phase}"] for phase in ("allocate", "rollout", "train"))
            total = seconds / results["responses"] * problem.budget_responses
            return f"about {_readable(total)} without evaluations, at the speed of {run.path.name}"
    return "not known: no finished run of this experiment to go by; the progress bar tells after some rounds"


def _readable(seconds: float) -> str:
    for size, unit in ((3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"
