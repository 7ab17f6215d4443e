"""What a training would be, without running it, loading weights or fetching anything from the hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from cerolab import AllocationProblem
from cerolab.errors import InvalidValueError, RecordError
from cerolab.records import find_runs, provenance, read_run
from llm.cache import cache_directory
from llm.contamination import contamination
from llm.grpo_settings import batch_sizes
from llm.models import model_path
from llm.processes import num_processes
from llm.session import load_fitting
from llm.settings import TrainSettings
from llm.tasks import Task, load_evaluation, load_task

_NAMED_SIZE = re.compile(r"(\d+(?:\.\d+)?)([BM])(?![a-z0-9])", re.IGNORECASE)  # in a name: 1.5B, 135M
_SAME_SPEED = ("model", "lora_rank", "task", "engine", "max_new_tokens", "batch_size", "dtype", "bf16")


def plan(settings: TrainSettings) -> dict[str, str]:
    """Rows of text by heading.

    Raises:
        CerolabError: a setting that cannot be used.
    """
    settings.check()
    parameters, tokenizer, model = _model(settings.model, settings.attention)
    task = _task(settings.task, settings, tokenizer)
    if task is None and not settings.num_prompts:
        raise InvalidValueError("num_prompts", 0, f"takes all of {settings.task}, which is not here", "give a number")
    problem = settings.problem(settings.num_prompts if task is None else len(task.train))
    heldout = task
    if settings.eval_task is not None and settings.num_heldout != 0:
        heldout = _task(settings.eval_task, settings, tokenizer, evaluation=True)
    told = "" if task is None or heldout is None else contamination(task, heldout)
    processes = num_processes()
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
        "memory": _memory(settings, parameters),
        "time": _time(settings, problem),
        "folder": str(settings.directory),
    }


def _model(name: str, attention: str | None) -> tuple[int | None, Any, str]:
    """Parameters as far as known, the tokenizer where it is here, and what to say of the model."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    if name == "tiny":
        from llm.tiny import tiny_config, tiny_tokenizer

        config, tokenizer = tiny_config(), tiny_tokenizer()
    else:
        made = sorted(cache_directory().glob("smollm2-*")) if name == "smollm2" else [model_path(name)]
        path = str(made[0]) if made else "smollm2-135M"
        try:
            here: dict[str, Any] = {
                "local_files_only": True,
                "trust_remote_code": False,
            }  # runs nothing of it
            config = AutoConfig.from_pretrained(path, **here)
            tokenizer = AutoTokenizer.from_pretrained(path, padding_side="left", **here)
        except (OSError, ValueError) as error:
            if Path(path).is_dir():
                problem = f"cannot be loaded ({' '.join(str(error).split())[:200]})"
                raise InvalidValueError("model", name, problem, "give a model's folder") from None
            size = _NAMED_SIZE.search(path)
            if size is None:
                return None, None, "not here"
            parameters = int(float(size[1]) * {"B": 1e9, "M": 1e6}[size[2].upper()])
            return parameters, None, f"not here, about {parameters / 1e6:,.0f} M parameters by its name"
    options: dict[str, Any] = {} if attention is None else {"attn_implementation": attention}
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, **options)
    except Exception as error:  # of each kind of attention, another
        if attention is None:
            raise
        problem = f"cannot be used ({' '.join(str(error).split())[:200]})"
        raise InvalidValueError("attention", attention, problem, "leave it out, or use eager or sdpa") from None
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return parameters, tokenizer, f"{parameters / 1e6:,.1f} M parameters"


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


def _memory(settings: TrainSettings, parameters: int | None) -> str:
    if parameters is None:
        return "not known without the model"
    weight = 4 if settings.dtype == "float32" else 2
    trained = max(parameters // 100, 1) if settings.lora_rank else parameters
    reference = parameters if settings.kl and not settings.lora_rank else 0
    bytes_needed = weight * (parameters + reference + 3 * trained)  # gradients, and AdamW's two moments
    size = f"{bytes_needed / 2**30:.1f} GiB" if bytes_needed >= 2**30 else f"{bytes_needed / 2**20:.0f} MiB"
    text = f"about {size} for weights, gradients and AdamW, without activations"
    return text if settings.engine != "vllm" else f"{text}; vLLM takes {settings.vllm_memory:.0%} of the GPU besides"


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
