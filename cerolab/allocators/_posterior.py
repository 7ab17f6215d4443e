"""Base of the allocators that keep a posterior of each prompt's reward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from cerolab import limits, seeding
from cerolab.allocation import Allocation
from cerolab.checks import whole_number
from cerolab.errors import InvalidValueError, StateError
from cerolab.estimators.posterior import (
    LEAST_WEIGHT,
    MOST_PRIOR,
    MOST_WEIGHT,
    Posterior,
    Precision,
    Prior,
    checked_forgetting,
    checked_precision,
    checked_prior,
    float_type,
)
from cerolab.feedback import CheckedFeedback
from cerolab.limits import Limits
from cerolab.problem import AllocationProblem
from cerolab.selection.top_k import TieOrder
from cerolab.stack import StackableAllocator
from cerolab.types import FloatArray

_STEADY = 0.8 - 1e-9, 1.25 + 1e-9  # evidence at the last fit over that of today; sums of floats, so with some slack
_ROUNDING = 1.0 + 1e-6  # sums of floats
_REFITS = 20  # of the pool's prior over the horizon, besides those where the evidence has grown


@dataclass(frozen=True, slots=True, kw_only=True)
class PosteriorOptions:
    """Options of every method with a posterior.

    Attributes:
        prior: (a0, b0) of the Beta prior, or "pool" to learn it from the whole pool (empirical Bayes), starting
            from (1, 1) and refitted each time the pool's evidence has grown by a quarter, and twenty times over the
            horizon, because rates may move while the evidence stays as much.
        forgetting: rho in (0, 1], evidence kept a round (5).
        tie_seed: seeds the fixed random order in which ties are broken; None takes the allocator's seed.
        precision: "single" keeps what a prompt has in float32, for half the memory (``docs/scale.md``).
    """

    prior: Prior | Literal["pool"] = (1.0, 1.0)
    forgetting: float = 1.0
    tie_seed: int | None = None
    precision: Precision = "double"

    def __post_init__(self) -> None:
        if isinstance(self.prior, str):
            if self.prior != "pool":
                raise InvalidValueError("prior", self.prior, "is not known", 'give (a0, b0) or "pool"')
        else:
            object.__setattr__(self, "prior", checked_prior(self.prior))
        object.__setattr__(self, "forgetting", checked_forgetting(self.forgetting))
        if self.tie_seed is not None:
            object.__setattr__(self, "tie_seed", whole_number("tie_seed", self.tie_seed))
        object.__setattr__(self, "precision", checked_precision(self.precision))


OptionsT = TypeVar("OptionsT", bound=PosteriorOptions)


class PosteriorAllocator(StackableAllocator[OptionsT]):
    """Keeps the posterior and a fixed tie order; a subclass selects.

    State: ``posterior`` (arrays [M]), ``fitted_evidence`` (responses in the pool when the prior was last fitted).
    ``ties`` is one seeded permutation of the pool, the same as long as no prompts join.
    """

    Options = PosteriorOptions
    posterior_arrays: ClassVar = ("posterior.num_responses", "posterior.reward_sum")
    fades_by_visit: ClassVar[bool] = False  # ``forgetting`` is what a visit keeps of a prompt's evidence, not a round
    limits: ClassVar[Limits] = {
        "prior": (1e-300, MOST_PRIOR),
        "num_responses": (0.0, limits.prompt_responses),
        "reward_sum": (0.0, limits.prompt_responses),
        "reward_sq_sum": (0.0, limits.prompt_responses),
        "graded": (0, 1),
        "fitted_evidence": (0.0, limits.all_responses),
        "exposure": (0, limits.prompt_units),
        "slope": (0.0, 1.0),
        "price": (0.0, 1.0),
    }

    def __init__(self, problem: AllocationProblem, seed: int, options: OptionsT):
        super().__init__(problem, seed, options)
        self._learns_prior = isinstance(options.prior, str)
        prior = (1.0, 1.0) if isinstance(options.prior, str) else options.prior
        self.posterior = Posterior.create(problem.num_prompts, prior, self._round_forgetting, options.precision)
        self._fitted_evidence = 0.0
        self._refit_every = -(-problem.num_rounds // _REFITS)  # rounds
        tie_seed = self.seed if options.tie_seed is None else options.tie_seed
        self.ties = TieOrder(seeding.generator("tie order", tie_seed).permutation(problem.num_prompts))

    @property
    def _float_type(self) -> npt.DTypeLike:
        """What numbers of prompts are kept in."""
        return float_type(self.options.precision)

    @property
    def _round_forgetting(self) -> float:
        """Evidence that a round keeps of every prompt."""
        return 1.0 if self.fades_by_visit else self.options.forgetting

    def predicted_success(self) -> FloatArray:
        """[M] posterior mean p-hat."""
        return self.posterior.mean()

    def predicted_value(self) -> FloatArray:
        """[M] posterior mean q-hat of the reward variance (6)."""
        return self.posterior.expected_variance()

    def _update_posterior(self, allocation: Allocation, feedback: CheckedFeedback) -> bool:
        """Take the feedback in (5); True where other prompts' q-hat may have changed as well."""
        if self.fades_by_visit:
            self.posterior.fade(allocation.prompts, self.options.forgetting)
        was_binary = self.posterior.reward_sq_sum is None
        self.posterior.update(
            allocation.prompts,
            feedback.num_responses,
            feedback.reward_sum,
            None if feedback.binary else feedback.reward_sq_sum,
        )
        turned_graded = was_binary and self.posterior.reward_sq_sum is not None
        changed_all = self.posterior.forgetting != 1.0 or turned_graded
        if self._learns_prior:
            evidence = float(self.posterior.num_responses.sum(dtype=np.float64))
            grown = not _STEADY[0] * evidence <= self._fitted_evidence <= _STEADY[1] * evidence
            if grown or self.round_index % self._refit_every == 0:
                self.posterior.refit_prior()
                self._fitted_evidence = evidence
                changed_all = True
        return changed_all

    @classmethod
    def stacks(cls, options: OptionsT) -> bool:
        """Not with a prior that each pool learns."""
        return super().stacks(options) and not isinstance(options.prior, str)

    def _learn_prompts(self, allocation: Allocation, feedback: CheckedFeedback, request: Allocation) -> None:
        self._update_posterior(allocation, feedback)

    def options_dict(self) -> dict[str, Any]:
        """The options; double precision goes without saying, so that older states and records read on."""
        return {key: value for key, value in super().options_dict().items() if (key, value) != ("precision", "double")}

    def _arrays(self) -> dict[str, np.ndarray]:
        return {**self.posterior.state_dict(), "fitted_evidence": np.array(self._fitted_evidence)}

    def _check_state(
        self, arrays: Mapping[str, np.ndarray], round_index: int, remaining: int, spent_tokens: int
    ) -> None:
        super()._check_state(arrays, round_index, remaining, spent_tokens)
        unit = self.problem.responses_per_unit * _ROUNDING
        most = (self.problem.budget - remaining) * unit
        seen, fitted = float(arrays["num_responses"].sum(dtype=np.float64)), float(arrays["fitted_evidence"])
        if seen > most:
            raise StateError(f"{self.name}: the state's num_responses are more than the units spent have")
        if "exposure" in arrays and (arrays["num_responses"] > arrays["exposure"] * unit).any():
            raise StateError(f"{self.name}: the state's num_responses are more than its exposure has")
        if fitted > (most if self._learns_prior else 0.0):
            raise StateError(f"{self.name}: the state's fitted_evidence is {fitted}, of {seen} responses")
        own, prior = self.options.prior, arrays["prior"]
        if isinstance(own, str):
            if not (prior.min() >= LEAST_WEIGHT / _ROUNDING and prior.max() <= MOST_WEIGHT * _ROUNDING):
                raise StateError(f"{self.name}: the state's prior {prior.tolist()} is none that is learned")
        elif tuple(prior.tolist()) != own:
            raise StateError(f"{self.name}: the state's prior is not that of its options, {own}")

    def _load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.posterior = Posterior.from_state(arrays, self._round_forgetting, self.options.precision)
        self._fitted_evidence = float(arrays["fitted_evidence"])
