"""``python -m llm.evaluate``: avg@n and pass@n of a model on held-out questions, by suite and macro-averaged."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from pydantic import Field
from rich.console import Console
from rich.table import Table

from cerolab.errors import InvalidValueError
from cerolab.records.files import write_json
from cerolab.tools.command_line import launch
from cerolab.tools.settings import Seed, Settings
from llm.generation.prompting import check_template, prompt_length
from llm.models.loading import model_path
from llm.paths import check_new_file
from llm.setting_types import Above0, Count, DType, Positive, Questions, Text
from llm.tasks import check_task, has_one_text, load_evaluation

HELP = """Measure a model on held-out questions: avg@n, the mean reward of n responses, and pass@n, the unbiased chance
that one of them succeeds, in every suite, over all questions, and as the mean over suites (macro).

Example: python -m llm.evaluate --model results/llm/train/RUN/model --task "arithmetic(hard)" --num-heldout 500
"""


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings(Settings):
    """What to measure.

    Parameters
    ----------
    model
        tiny, smollm2, a Hugging Face name, or the folder of a trained model.
    task
        Where the questions come from, as in llm.train.
    num_train
        Size of the pool that generated questions are kept apart from; give that of the training.
    num_heldout
        Questions; by default 1000 generated ones, and all of a file, the second where there are two. Of a single file
        that was trained on, give the number that the training held out.
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

    model: Text = "tiny"
    task: Text = "arithmetic(broad)"
    num_train: Questions = 2000
    num_heldout: Questions | None = None
    task_seed: Seed = 0
    samples: Annotated[int, Field(ge=0, le=100_000)] = 16
    temperature: Above0 = 0.6
    max_new_tokens: Count = 0
    prompt_template: Text = "{prompt}"
    dtype: DType = "float32"
    batch_size: Positive = 512
    seed: Seed = 0
    out: Path | None = None

    def check(self) -> None:
        """Refuse what cannot be measured or written, before anything is loaded.

        Raises:
            CerolabError: names the setting, its value and what would be right.
        """
        if self.out is not None:
            check_new_file("out", self.out)
        check_template(self.prompt_template)
        check_task(self.task, "task", self.model)
        model_path(self.model, made=False)
        if self.samples == 0 and not has_one_text(self.task):
            problem = f"asks for exact success rates, which {self.task} has not"
            raise InvalidValueError("samples", 0, problem, "give a number, 16 say")
        if self.num_heldout == 0:
            raise InvalidValueError("num_heldout", 0, "leaves no question", "leave it out, or give a number")


def evaluate(settings: Annotated[EvaluateSettings, Parameter(name="*")] = EvaluateSettings()) -> None:
    """Measure, print a table, and write the scores where asked to."""
    settings.check()
    from llm.evaluation.evaluator import Evaluator
    from llm.generation.sampling import transformers_generate
    from llm.models.cpu import keep_freed_memory, on_cpu
    from llm.models.loading import load_model

    task = load_evaluation(settings.task, settings.num_heldout, settings.task_seed, settings.num_train)
    model, tokenizer = load_model(settings.model, settings.dtype)
    for question in task.heldout:
        prompt_length(question, settings.prompt_template, tokenizer, settings.task, settings.model)
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
