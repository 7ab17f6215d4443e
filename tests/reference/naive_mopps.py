"""Naive MoPPS: one draw of each candidate's Beta posterior, those nearest the target are served."""

from __future__ import annotations

from collections.abc import Callable

# (round, alphas, betas) -> one draw of each; and for an interval as target one more number in [0, 1) each.
Draws = Callable[[int, list[float], list[float]], tuple[list[float], list[float]]]


class NaiveMopps:
    """The rule on lists of floats; every prompt is a candidate."""

    def __init__(
        self,
        num_prompts: int,
        num_rounds: int,
        budget: int,
        capacity: int,
        max_units: int,
        draws: Draws,
        tie_rank: list[int],
        target: float | tuple[float, float] = 0.5,
        prior: tuple[float, float] = (1.0, 1.0),
        forgetting: float = 1.0,
    ) -> None:
        """Set the posterior to the prior and the whole budget remaining."""
        self.num_prompts = num_prompts
        self.num_rounds = num_rounds
        self.budget = budget
        self.capacity = capacity
        self.max_units = max_units
        self.draws = draws
        self.tie_rank = tie_rank
        self.target = target
        self.prior = prior
        self.forgetting = forgetting
        self.alpha = [prior[0]] * num_prompts
        self.beta = [prior[1]] * num_prompts
        self.spent = 0
        self.round_index = 0

    def key(self, draw: float, spice: float) -> tuple[int, float]:
        """Return what candidates are sorted by: distance from the target; first, in random order, those inside it."""
        if not isinstance(self.target, tuple):
            return (0, abs(draw - self.target))
        low, high = self.target
        if low <= draw <= high:
            return (0, -spice)
        return (1, max(low - draw, draw - high))

    def allocate(self) -> list[tuple[int, int]]:
        """Return (prompt, units), nearest first: max_units each while the even quota lasts."""
        if self.spent == self.budget:
            return []
        quota = (self.round_index + 1) * self.budget // self.num_rounds - self.spent
        left = min(quota, self.capacity)
        if left == 0:
            return []
        draws, spices = self.draws(self.round_index, self.alpha, self.beta)
        order = sorted(range(self.num_prompts), key=lambda i: (self.key(draws[i], spices[i]), self.tie_rank[i]))
        served = []
        for i in order:
            if left == 0:
                break
            served.append((i, min(self.max_units, left)))
            left -= served[-1][1]
        return served

    def observe(self, served: list[tuple[int, int]], successes: list[float], responses: list[float]) -> None:
        """a <- l a + (1 - l) a0 + S for every prompt, b alike."""
        keep, (a0, b0) = self.forgetting, self.prior
        for i in range(self.num_prompts):
            self.alpha[i] = keep * self.alpha[i] + (1.0 - keep) * a0
            self.beta[i] = keep * self.beta[i] + (1.0 - keep) * b0
        for j in range(len(served)):
            i, units = served[j]
            self.alpha[i] += successes[j]
            self.beta[i] += responses[j] - successes[j]
            self.spent += units
        self.round_index += 1
