"""The allocation problem (1): one fixed rollout budget over a horizon of scheduler rounds."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from cerolab.checks import real_number, whole_number
from cerolab.errors import InvalidValueError

_LARGEST = 2**53  # whole numbers up to here are exact as floats


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AllocationProblem:
    """Sizes and limits of one horizon. Units, not responses, unless a name says otherwise.

    Source: CERO (arXiv 2606.05606), sec. 2, constraints (1) and utility (3).

    Attributes:
        num_prompts: M, prompts in the pool.
        num_rounds: K, scheduler rounds in the horizon.
        budget: B, allocation units that may be spent over the horizon; 0 < B <= K*C.
        capacity: C, units that one round can execute; C <= M*N_max.
        max_units: N_max, units that one prompt can get in one round.
        responses_per_unit: g, generated responses in one unit.
        saturation: lambda > 0, how fast the utility of exposure saturates.
        token_budget: T, tokens that may be generated over the horizon, a second limit beside B; None for none. B then
            is the most units that T could ever pay for, and still sets the scale R of the utility.
        max_tokens: most tokens of one response; given with a token budget, and only then.

    Raises:
        InvalidValueError: a size is not a positive integer, a constraint of (1) is broken, or the tokens do not pay for
            a unit.
    """

    num_prompts: int
    num_rounds: int
    budget: int
    capacity: int
    max_units: int = 1
    responses_per_unit: int = 1
    saturation: float = 1.0
    token_budget: int | None = None
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        for field in ("num_prompts", "num_rounds", "budget", "capacity", "max_units", "responses_per_unit"):
            size = whole_number(field, getattr(self, field), least=1)
            if size > _LARGEST:
                raise InvalidValueError(field, size, f"is above {_LARGEST:,}", "give what fits into 53 bits")
            object.__setattr__(self, field, size)
        if (most := max(self.budget_responses, self.horizon_exposure * self.responses_per_unit)) > _LARGEST:
            remedy = f"lower sizes until neither passes {_LARGEST:,}"
            raise InvalidValueError("budget", self.budget, f"with its rounds makes up to {most:,} responses", remedy)
        saturation = real_number("saturation", self.saturation, 0.0, math.inf, "use 1.0, say", low_open=True)
        object.__setattr__(self, "saturation", saturation)
        most_per_round = self.num_prompts * self.max_units
        if self.capacity > most_per_round:
            raise InvalidValueError(
                "capacity",
                self.capacity,
                f"exceeds num_prompts * max_units = {self.num_prompts} * {self.max_units} = {most_per_round}",
                f"lower capacity to at most {most_per_round} or raise max_units",
            )
        most = self.num_rounds * self.capacity
        if self.budget > most:
            raise InvalidValueError(
                "budget",
                self.budget,
                f"exceeds num_rounds * capacity = {self.num_rounds} * {self.capacity} = {most}",
                f"lower budget to at most {most} or raise capacity to at least {-(-self.budget // self.num_rounds)}",
            )
        self._check_tokens()

    def _check_tokens(self) -> None:
        if self.token_budget is None and self.max_tokens is None:
            return
        for field in ("token_budget", "max_tokens"):
            if getattr(self, field) is None:
                raise InvalidValueError(field, None, "is missing", "give token_budget and max_tokens, or neither")
            object.__setattr__(self, field, whole_number(field, getattr(self, field), least=1))
        if (self.token_budget or 0) < self.most_unit_tokens:
            raise InvalidValueError(
                "token_budget",
                self.token_budget,
                f"does not pay for one unit of {self.responses_per_unit} responses of {self.max_tokens} tokens",
                f"raise it to at least {self.most_unit_tokens}, by far more, or lower max_tokens",
            )

    def __repr__(self) -> str:
        """The settings, those of a token budget only where there is one."""
        return f"AllocationProblem({', '.join(f'{name}={value}' for name, value in self.to_dict().items())})"

    @property
    def exposure_scale(self) -> float:
        """R = B/M, the equal share of a prompt, in units."""
        return self.budget / self.num_prompts

    @property
    def horizon_exposure(self) -> int:
        """Z = K*N_max, the largest exposure that a prompt can reach, in units."""
        return self.num_rounds * self.max_units

    @property
    def max_slope(self) -> float:
        """cbar = lambda/R, the largest marginal utility of a unit (3)."""
        return self.saturation / self.exposure_scale

    @property
    def mean_spend(self) -> float:
        """Bbar = B/K, the average spend of a round, in units."""
        return self.budget / self.num_rounds

    @property
    def mean_units(self) -> float:
        """Nbar = B/(K*M), the average spend on a prompt in a round, in units."""
        return self.budget / (self.num_rounds * self.num_prompts)

    @property
    def price_scale(self) -> float:
        """G_B = max(Bbar, C - Bbar), the range of the price's gradient (10), in units."""
        return max(self.mean_spend, self.capacity - self.mean_spend)

    @property
    def budget_responses(self) -> int:
        """g*B, the budget in generated responses."""
        return self.budget * self.responses_per_unit

    @property
    def most_unit_tokens(self) -> int:
        """g*max_tokens, the most tokens of one unit: what must be in hand before it is generated; 0 without."""
        return self.responses_per_unit * (self.max_tokens or 0)

    def target_spend(self, round_index: int) -> int:
        """Units an even pace has spent after ``round_index`` rounds: floor(round_index * B / K)."""
        return round_index * self.budget // self.num_rounds

    def grown(self, num_new: int) -> AllocationProblem:
        """The same horizon over ``num_new`` >= 0 prompts more: R = B/M falls, cbar rises."""
        return replace(self, num_prompts=self.num_prompts + whole_number("num_new", num_new, least=0))

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain numbers, for records and checkpoints.

        Without a token budget its two settings are left out, so that run ids and checkpoints stay what they were.
        """
        settings = asdict(self)
        if self.token_budget is None:
            del settings["token_budget"], settings["max_tokens"]
        return settings
