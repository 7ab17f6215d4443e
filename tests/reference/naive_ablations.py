"""Naive versions of the paper's ablations (sec. 6): CERO-fixed, CERO-preset and CERO-greedy."""

from __future__ import annotations

import math

from .naive_cero import NaiveCero


class NaiveCeroFixed(NaiveCero):
    """CERO with the price held at 0 and the average spend used up exactly in each round; slopes as in CERO."""

    def __init__(
        self,
        num_prompts: int,
        num_rounds: int,
        budget: int,
        capacity: int,
        max_units: int,
        responses_per_unit: int,
        saturation: float = 1.0,
        prior: tuple[float, float] = (1.0, 1.0),
        forgetting: float = 1.0,
        price: float = 0.0,
        step_slope: float | None = None,
        step_price: float | None = None,
        tie_rank: list[int] | None = None,
    ) -> None:
        """Take CERO's arguments; whatever price is given, it is 0 (and step_price is not used)."""
        super().__init__(
            num_prompts,
            num_rounds,
            budget,
            capacity,
            max_units,
            responses_per_unit,
            saturation=saturation,
            prior=prior,
            forgetting=forgetting,
            price=0.0,
            step_slope=step_slope,
            step_price=step_price,
            tie_rank=tie_rank,
        )

    def quota(self) -> int:
        """Return the units of this round: floor(k * B / K) - floor((k - 1) * B / K), k from 1."""
        k = self.round_index + 1
        return k * self.budget // self.num_rounds - (k - 1) * self.budget // self.num_rounds

    def score(self, i: int) -> float:
        """Return what prompts are ranked by: the slope, that is the margin of Eq. (8) at price 0."""
        return self.slopes[i]

    def virtual(self) -> list[tuple[int, int]]:
        """Rank all prompts (a slope of 0 too) and fill the quota; with it virtual and executed are the same."""
        order = sorted(range(self.num_prompts), key=lambda i: (-self.score(i), self.tie_rank[i]))
        return self.fill(order, self.quota())

    def update_price(self) -> None:
        """Leave the price at 0."""


class NaiveCeroPreset(NaiveCeroFixed):
    """CERO-fixed with a preset pace: 33/32 of the average spend in the first half, what is left in the second."""

    def planned(self, k: int) -> int:
        """Return T(k), the units planned for the first k rounds."""
        half = self.num_rounds // 2
        pace = min(float(self.capacity), (33.0 / 32.0) * self.budget / self.num_rounds)
        first = math.floor(min(k, half) * pace + 1e-9)
        if k <= half:
            return first
        return first + (k - half) * (self.budget - first) // (self.num_rounds - half)

    def quota(self) -> int:
        """Return min(C, T(k) - units spent so far), k from 1."""
        spent = self.budget - self.remaining
        return min(self.capacity, self.planned(self.round_index + 1) - spent)


class NaiveCeroGreedy(NaiveCeroFixed):
    """CERO-fixed's quota, ranked by the gain of max_units more at the current qhat; it has no slopes."""

    def __init__(
        self,
        num_prompts: int,
        num_rounds: int,
        budget: int,
        capacity: int,
        max_units: int,
        responses_per_unit: int,
        saturation: float = 1.0,
        prior: tuple[float, float] = (1.0, 1.0),
        forgetting: float = 1.0,
        price: float = 0.0,
        step_slope: float | None = None,
        step_price: float | None = None,
        tie_rank: list[int] | None = None,
    ) -> None:
        """Take CERO's arguments; price and steps are not used."""
        super().__init__(
            num_prompts,
            num_rounds,
            budget,
            capacity,
            max_units,
            responses_per_unit,
            saturation=saturation,
            prior=prior,
            forgetting=forgetting,
            price=price,
            step_slope=step_slope,
            step_price=step_price,
            tie_rank=tie_rank,
        )
        self.slopes = []
        self.exposure: list[int] = [0] * num_prompts  # units executed so far

    def score(self, i: int) -> float:
        """Return U(qhat, z + N_max) - U(qhat, z), z the units executed so far."""
        c = 4.0 * self.saturation * self.qhat(i) / self.share  # Eq. (3)
        z = self.exposure[i]
        return math.exp(-c * z) - math.exp(-c * (z + self.max_units))  # the ones of Eq. (3) cancel

    def observe(self, successes: list[float], responses: list[int]) -> None:
        """End the round as CERO does, and add the executed units to the exposures."""
        executed = self.last_executed
        super().observe(successes, responses)
        assert executed is not None
        for i, units in executed:
            self.exposure[i] += units

    def update_slopes(self) -> None:
        """There are no slopes."""
