"""Running a session: who allocates, what is looked at and written down, how a run goes on where it stopped."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PrinterCallback
from trl import GRPOConfig

from cerolab import AllocationProblem, Allocator, make
from cerolab.errors import RecordError
from cerolab.integrations.trl import checkpoint
from cerolab.integrations.trl.callbacks import EvaluateBeforeRounds, FlushBeforeCheckpoints
from cerolab.integrations.trl.processes.launcher import is_first
from cerolab.integrations.trl.rows.prefill import share_prefill
from cerolab.integrations.trl.time_limit import check_thread
from cerolab.integrations.trl.trainer import AllocatedGRPOTrainer
from cerolab.records import RunWriter, provenance, read_run
from cerolab.records.own import committed_beside, other_versions
from cerolab.records.reader import is_partial
from cerolab.tools.method import Method
from cerolab.types import FloatArray
from llm.evaluation.oracle_rates import MeasuredRates
from llm.generation.prompting import prompt_of
from llm.generation.sampling import Generate, transformers_generate
from llm.grading.reward import graded_by
from llm.models.cpu import on_cpu
from llm.settings import TrainSettings
from llm.training.grpo_settings import grpo_config
from llm.training.recorder import TrainRecorder
from llm.training.session import Session, run_settings

logger = logging.getLogger(__name__)


def run_training(session: Session, quiet: bool = False) -> Path:
    """Train, evaluate and record; goes on from the last checkpoint where there is one.

    Returns:
        The run's folder.

    Raises:
        CerolabError: the run is finished already, another process is at it, or a setting does not fit.
    """
    began = time.perf_counter()
    settings, main = session.settings, is_first()
    check_thread(settings.reward_seconds)
    checkpoints = session.directory / "checkpoints"
    args = grpo_config(settings, session.problem, checkpoints, session.max_new_tokens, on_cpu())
    rates = MeasuredRates(lambda _: np.empty(0), settings.oracle_every, checkpoints)
    allocator = _allocator(session, rates)
    last = checkpoint.latest(checkpoints)
    if main and last is None:
        _say_other_versions(session)
    resumed = 0 if last is None else int(last.name.split("-")[1]) // settings.steps_per_round
    writer = RunWriter(settings.directory, session.run, provenance(), resumed) if main else None
    with _kept(writer):
        trainer = _trainer(session, allocator, args)
        recorder = TrainRecorder(writer, trainer.ledger, session.run.method, quiet or not main)
        trainer.on_round = recorder
        with closing(recorder):
            evaluate = _look(session, trainer, recorder, rates)
            trainer.add_callback(
                EvaluateBeforeRounds(trainer, settings.eval_every, lambda: evaluate(settings.eval_samples))
            )
            trainer.add_callback(FlushBeforeCheckpoints(recorder.flush))
            trainer.train(resume_from_checkpoint=None if last is None else str(last))
            recorder.trained()
            evaluate(settings.eval_samples)
            if settings.final_samples and settings.final_samples != settings.eval_samples:
                evaluate(settings.final_samples, one_by_one=True)
        if settings.save_model:
            trainer.save_model(str(session.directory / "model"))
        if writer is not None:
            _finish(writer, recorder, allocator, session.problem, time.perf_counter() - began)
            remove_checkpoints(session)
    return session.directory


def _say_other_versions(session: Session) -> None:
    """That the run of an allocator whose code was changed does not go on, but is another run."""
    records = session.settings.directory.glob(f"{session.run.method}-*/run.json")
    infos = [read_run(record.parent, unfinished=True).info for record in records if not is_partial(record.parent)]
    for info in other_versions(infos, session.run):
        logger.warning(
            "the code of %s has changed since run %s (%s): this is a run of its own, from the first round; that one is "
            "kept, and goes on once the change is undone",
            session.run.method,
            info["run_id"],
            info["status"],
        )


def remove_checkpoints(session: Session) -> None:
    """A finished run needs none; a kill in its last moment may have left them."""
    shutil.rmtree(session.directory / "checkpoints", ignore_errors=True)


@contextmanager
def _kept(writer: RunWriter | None) -> Iterator[None]:
    """What was recorded stays on disk, whatever ends the training; an error is written down."""
    try:
        yield
    except KeyboardInterrupt:
        if writer is not None:
            writer.close()
        raise
    except BaseException as error:
        if writer is not None:
            writer.fail(error)
        raise


def _trainer(session: Session, allocator: Allocator, args: GRPOConfig) -> AllocatedGRPOTrainer:
    settings = session.settings
    with _engine(session):
        trainer = AllocatedGRPOTrainer(
            session.model,
            graded_by(session.task, settings.on_bad_reward, settings.reward_seconds),
            args,
            _dataset(session),
            allocator=allocator,
            advantage_clip=settings.advantage_clip or None,
            on_bad_reward=settings.on_bad_reward,
            processing_class=session.tokenizer,
            peft_config=_lora(settings),
        )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _look(
    session: Session, trainer: AllocatedGRPOTrainer, recorder: TrainRecorder, rates: MeasuredRates
) -> Callable[..., None]:
    """Ways to look at the policy beside the budget: measured rates for the oracle, and the evaluation returned."""
    settings, generate = session.settings, _generate(session, trainer)
    heldout = session.evaluator(session.evaluation_task.heldout, session.evaluation_task)
    pool = session.evaluator(session.task.train)

    def measure(round_index: int) -> FloatArray:
        if session.task.one_text:
            return pool.exact_rates(trainer.model, settings.temperature)
        samples, purpose = 2 * session.problem.responses_per_unit, f"oracle {round_index}"
        return pool.rewards(trainer.model, generate, samples, settings.temperature, purpose).mean(axis=1)

    def evaluate(samples: int, one_by_one: bool = False) -> None:
        purpose = f"heldout {trainer.ledger.round_index}"
        if heldout.questions:
            recorder.evaluated(
                heldout.scores(trainer.model, generate, samples, settings.eval_temperature, purpose, one_by_one)
            )

    rates.measure, rates.round_of = measure, lambda: trainer.ledger.round_index
    return evaluate


def _generate(session: Session, trainer: AllocatedGRPOTrainer) -> Generate:
    if session.settings.engine != "transformers":
        return trainer.generate_with_vllm
    generate = transformers_generate(trainer.model, session.tokenizer)
    if session.settings.share_prefill:
        share_prefill(trainer.model)
    return generate


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
        beside = committed_beside(session.settings.directory)
        folders = [place / run.run_id for place in (session.settings.directory, beside) if place is not None]
        folder = next((place for place in folders if (place / "groups.parquet").exists()), None)
        if folder is None:
            raise RecordError(
                f"random_matched replays the run of {matched!r} with the same settings, which is not finished "
                f"({folders[0]}); train {matched!r} first"
            )
        options["schedule"] = folder
    return make(method.name, session.problem, session.settings.seed, **options)


def _engine(session: Session) -> AbstractContextManager[object]:
    """What must surround the making of the trainer: without a GPU, vLLM needs some help."""
    engine = session.settings.engine
    if engine == "transformers" or not on_cpu():
        return nullcontext()
    from cerolab.integrations.trl.vllm.client import vllm_on_cpu

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


def _lora(settings: TrainSettings) -> Any:
    if not settings.lora_rank:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=settings.lora_rank, lora_alpha=2 * settings.lora_rank, target_modules="all-linear", task_type="CAUSAL_LM"
    )
