"""``python -m llm.evaluate``: avg@n and pass@n of a model on held-out questions, by suite and macro-averaged."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from cerolab.cli import launch
from cerolab.errors import InvalidValueError
from cerolab.records.files import write_json

HELP = """Measure a model on held-out questions: avg@n, the mean reward of n responses, and pass@n, the unbiased chance
that one of them succeeds, in every suite, over all questions, and as the mean over suites (macro).

Example: python -m llm.evaluate --model results/llm/train/RUN/model --task "arithmetic(hard)" --num-heldout 500
"""


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """What to measure.

    Parameters
    ----------
    model
        tiny, smollm2, a Hugging Face name, or the folder of a trained model.
    task
        Where the questions come from, as in llm.train.
    num_train
        Size of the pool that the held-out questions are kept apart from; give that of the training.
    num_heldout
        Held-out questions; 0 takes all.
    task_seed
        Of the draw of questions.
    samples
        Responses a question; 0 takes exact success rates where the task has one right text.
    temperature
        Of the sampling.
    max_new_tokens
        Longest response; 0 takes the task's own limit.
    prompt_template
        What the model reads; {prompt} is the question.
    dtype
        Of the weights.
    batch_size
        Responses sampled at once.
    seed
        Of the sampling.
    out
        JSON file to write the scores to.
    """

    model: str = "tiny"
    task: str = "arithmetic(broad)"
    num_train: int = 2000
    num_heldout: int = 1000
    task_seed: int = 0
    samples: int = 16
    temperature: float = 0.6
    max_new_tokens: int = 0
    prompt_template: str = "{prompt}"
    dtype: str = "float32"
    batch_size: int = 512
    seed: int = 0
    out: Path | None = None


def evaluate(settings: Annotated[EvaluateSettings, Parameter(name="*")] = EvaluateSettings()) -> None:
    """Measure, print a table, and write the scores where asked to."""
    from llm.cpu import keep_freed_memory, on_cpu
    from llm.evaluation import Evaluator
    from llm.models import load_model
    from llm.prompting import check_template
    from llm.sampling import transformers_generate
    from llm.tasks import load_task

    for name, least in (("samples", 0), ("batch_size", 1)):
        if getattr(settings, name) < least:
            raise InvalidValueError(name, getattr(settings, name), f"is below {least}", "use 16, say")
    if settings.temperature <= 0:
        raise InvalidValueError("temperature", settings.temperature, "is not positive", "use 0.6, say")
    check_template(settings.prompt_template)
    task = load_task(settings.task, settings.num_train, settings.num_heldout, settings.task_seed)
    if not task.heldout:
        raise InvalidValueError("num_heldout", settings.num_heldout, "leaves no question", "hold some out")
    model, tokenizer = load_model(settings.model, settings.dtype)
    if on_cpu():
        keep_freed_memory()
    else:
        model = model.to("cuda")
    evaluator = Evaluator(
        task,
        task.heldout,
        tokenizer,
        settings.prompt_template,
        settings.seed,
        settings.max_new_tokens or task.max_new_tokens,
    )
    generate = transformers_generate(model, tokenizer, settings.batch_size)
    found = evaluator.scores(model, generate, settings.samples, settings.temperature, "evaluate", one_by_one=True)
    table = Table(title=f"{settings.model} on {task.name}, {len(task.heldout):,} questions")
    for heading in ("suite", f"avg@{settings.samples or 'exact'}", f"pass@{settings.samples or 16}"):
        table.add_column(heading, justify="left" if heading == "suite" else "right")
    for score in found:
        if score.problem == "all":
            table.add_row(score.suite, f"{score.avg_at_n:.4f}", f"{score.pass_at_n:.4f}")
    Console().print(table)
    if settings.out is not None:
        given = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(settings).items()}
        write_json(settings.out, {"settings": given, "scores": [asdict(score) for score in found]})


if __name__ == "__main__":
    launch(evaluate, "python -m llm.evaluate", HELP)
