"""Held-out accuracy of a model: by sampling, or exactly where a task has one right text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from cerolab import seeding
from cerolab.errors import InvalidValueError
from cerolab.integrations.trl.processes.shares import even_share
from cerolab.types import FloatArray
from llm.evaluation.accuracy import SuiteScore, pass_at, scores
from llm.generation.prompting import prompt_ids
from llm.generation.sampling import Generate, answer_probability, at_rest
from llm.tasks import Question, Task

_EXACT_PASS = 16  # responses of pass@n where success rates are known exactly


class Evaluator:
    """Scores a model on questions of a task; never touches the random numbers of the training.

    Args:
        task: whose verifier grades.
        questions: which to ask.
        tokenizer, template: how to ask.
        seed: of the sampling, together with ``purpose``.
        max_new_tokens: longest response.
    """

    def __init__(
        self, task: Task, questions: Sequence[Question], tokenizer: Any, template: str, seed: int, max_new_tokens: int
    ):
        self._task, self.questions, self._tokenizer, self._seed = task, tuple(questions), tokenizer, seed
        self._template, self._max_new_tokens = template, max_new_tokens

    @cached_property
    def _prompts(self) -> list[list[int]]:
        return [prompt_ids(question, self._template, self._tokenizer) for question in self.questions]

    @cached_property
    def _answers(self) -> list[list[int]]:
        return [list(self._tokenizer(question.answer)["input_ids"]) for question in self.questions]

    def exact_rates(self, model: Any, temperature: float) -> FloatArray:
        """float64 [Q]: success rates without sampling noise.

        Raises:
            InvalidValueError: the task has more than one right text.
        """
        if not self._task.one_text:
            raise InvalidValueError(
                "samples", 0, f"asks for exact success rates, which {self._task.name} has not", "give a number, 16 say"
            )
        prompts, answers = self._prompts, self._answers
        with at_rest(model, 0):
            return self._spread(
                lambda mine: answer_probability(
                    model, self._tokenizer, [prompts[i] for i in mine], [answers[i] for i in mine], temperature
                )
            )

    def rewards(self, model: Any, generate: Generate, samples: int, temperature: float, purpose: str) -> FloatArray:
        """float64 [Q, samples]: rewards of sampled responses."""

        def graded(mine: Sequence[int]) -> FloatArray:
            prompts = [self._prompts[i] for i in mine for _ in range(samples)]
            texts = self._tokenizer.batch_decode(
                generate(prompts, temperature, self._max_new_tokens), skip_special_tokens=True
            )
            rewards = [self._task.verify(text, self.questions[mine[at // samples]]) for at, text in enumerate(texts)]
            return np.array(rewards).reshape(len(mine), samples)

        with at_rest(model, seeding.seed_from_names("evaluation", purpose, self._seed, samples) % 2**63):
            return self._spread(graded)

    def _spread(self, measure: Any) -> FloatArray:
        """Each process measures its share of the questions; all get the whole."""
        from accelerate import PartialState
        from accelerate.utils import gather_object

        state = PartialState()
        mine, true = even_share(len(self.questions), state.process_index, state.num_processes)
        shares = gather_object([(mine[:true], measure(mine)[:true])])
        whole = np.empty((len(self.questions), *shares[0][1].shape[1:]))
        for indices, values in shares:
            whole[indices] = values
        return whole

    def scores(
        self, model: Any, generate: Generate, samples: int, temperature: float, purpose: str, one_by_one: bool = False
    ) -> list[SuiteScore]:
        """avg@n and pass@n by suite; ``samples`` 0 takes exact rates, then pass@n is the chance of one in 16."""
        if samples == 0:
            average = self.exact_rates(model, temperature)
            return scores(self.questions, average, 1.0 - (1.0 - average) ** _EXACT_PASS, 0, one_by_one)
        rewards = self.rewards(model, generate, samples, temperature, purpose)
        solved = (rewards >= 1.0).sum(axis=1)
        return scores(self.questions, rewards.mean(axis=1), pass_at(solved, samples, samples), samples, one_by_one)
