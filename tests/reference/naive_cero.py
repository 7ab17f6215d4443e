"""Naive CERO: the paper's algorithm 1 line by line, on lists of floats."""

from __future__ import annotations

import math

from .naive_utility import support_exposure


def clip01(x: float) -> float:
    """Return x clipped to [0, 1]."""
    return min(1.0, max(0.0, x))


class NaiveCero:
    """Algorithm 1. One round is allocate(), then observe() with the feedback of the executed prompts."""

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
        price: float = 0.5,
        step_slope: float | None = None,
        step_price: float | None = None,
        tie_rank: list[int] | None = None,
    ) -> None:
        """Set the start state: slopes 4 * qhat, price nu1, posterior at the prior, the whole budget remaining."""
        if not 0 < budget <= num_rounds * capacity:
            raise ValueError("need 0 < B <= K * C")
        if not 0 < capacity <= num_prompts * max_units:
            raise ValueError("need 0 < C <= M * N_max")
        self.num_prompts = num_prompts  # M
        self.num_rounds = num_rounds  # K
        self.budget = budget  # B
        self.capacity = capacity  # C
        self.max_units = max_units  # N_max
        self.responses_per_unit = responses_per_unit  # g
        self.saturation = saturation  # lambda
        self.prior = prior  # (a0, b0)
        self.forgetting = forgetting  # rho
        self.step_slope = 1.0 / math.sqrt(num_rounds) if step_slope is None else step_slope
        self.step_price = 1.0 / math.sqrt(num_rounds) if step_price is None else step_price
        self.tie_rank = list(range(num_prompts)) if tie_rank is None else list(tie_rank)

        self.max_exposure = num_rounds * max_units  # Z = K * N_max
        self.average_spend = budget / num_rounds  # Bbar = B / K
        self.share = budget / num_prompts  # R = B / M
        self.slope_bound = saturation / self.share  # cbar = lambda / R, Eq. (3)
        self.price_scale = max(self.average_spend, capacity - self.average_spend)  # G_B

        self.alpha: list[float] = [prior[0] for _ in range(num_prompts)]
        self.beta: list[float] = [prior[1] for _ in range(num_prompts)]
        self.slopes: list[float] = [4.0 * self.qhat(i) for i in range(num_prompts)]  # vartheta
        self.price = price  # nu
        self.remaining = budget
        self.round_index = 0  # rounds finished
        self.last_virtual: list[tuple[int, int]] | None = None
        self.last_executed: list[tuple[int, int]] | None = None

    def qhat(self, i: int) -> float:
        """Return the posterior mean of P(1-P) for prompt i."""
        a, b = self.alpha[i], self.beta[i]
        return a * b / ((a + b) * (a + b + 1.0))  # Eq. (6)

    def fill(self, order: list[int], total: int) -> list[tuple[int, int]]:
        """Give max_units to each prompt in the order while total lasts; the last one may get the residual."""
        given: list[tuple[int, int]] = []
        left = total
        for i in order:
            units = min(self.max_units, left)
            if units <= 0:
                break
            given.append((i, units))
            left -= units
        return given

    def virtual(self) -> list[tuple[int, int]]:
        """Return the virtual allocation as (prompt, units), in priority order; it ignores the remaining budget."""
        margin = [self.slopes[i] - self.price for i in range(self.num_prompts)]
        order = [i for i in range(self.num_prompts) if margin[i] > 0.0]
        order.sort(key=lambda i: (-margin[i], self.tie_rank[i]))
        return self.fill(order, self.capacity)  # Eq. (8)

    def allocate(self) -> list[tuple[int, int]]:
        """Return the executed allocation: the virtual one in the same order, cut off at the remaining budget."""
        if self.round_index >= self.num_rounds:
            raise RuntimeError("all rounds are over")
        self.last_virtual = self.virtual()
        executed: list[tuple[int, int]] = []
        left = self.remaining
        for i, wanted in self.last_virtual:
            units = min(wanted, left)
            if units <= 0:
                break
            executed.append((i, units))
            left -= units
        self.last_executed = executed
        return list(executed)

    def observe(self, successes: list[float], responses: list[int]) -> None:
        """Take the feedback of the executed prompts (aligned with allocate()'s list) and end the round."""
        if self.last_executed is None or self.last_virtual is None:
            raise RuntimeError("observe() needs an allocate() before it")
        if not len(successes) == len(responses) == len(self.last_executed):
            raise ValueError("one entry per executed prompt, please")
        self.update_posterior(successes, responses)
        self.update_slopes()
        self.update_price()
        for _, units in self.last_executed:
            self.remaining -= units
        self.round_index += 1
        self.last_virtual = None
        self.last_executed = None

    def update_posterior(self, successes: list[float], responses: list[int]) -> None:
        """Discount every prompt's pseudo-counts towards the prior, and add the round's successes and failures."""
        assert self.last_executed is not None
        success = [0.0] * self.num_prompts
        failure = [0.0] * self.num_prompts
        for j in range(len(self.last_executed)):
            i = self.last_executed[j][0]
            success[i] = successes[j]
            failure[i] = responses[j] - successes[j]
        a0, b0 = self.prior
        for i in range(self.num_prompts):
            self.alpha[i] = a0 + self.forgetting * (self.alpha[i] - a0) + success[i]  # Eq. (5)
            self.beta[i] = b0 + self.forgetting * (self.beta[i] - b0) + failure[i]  # Eq. (5)

    def update_slopes(self) -> None:
        """Move each slope against its virtual units less the supporting exposure's share of a round (new qhat)."""
        assert self.last_virtual is not None
        units = [0] * self.num_prompts
        for i, given in self.last_virtual:
            units[i] = given
        for i in range(self.num_prompts):
            c = 4.0 * self.saturation * self.qhat(i) / self.share  # Eq. (3), with the new qhat
            support = support_exposure(self.slope_bound * self.slopes[i], c, self.max_exposure)  # Eq. (9)
            gradient = (units[i] - support / self.num_rounds) / self.max_units
            self.slopes[i] = clip01(self.slopes[i] - self.step_slope * gradient)  # Eq. (10)

    def update_price(self) -> None:
        """Lower the price when the virtual spend is below the average spend, raise it when above."""
        assert self.last_virtual is not None
        spend = 0
        for _, units in self.last_virtual:
            spend += units
        gradient = (self.average_spend - spend) / self.price_scale
        self.price = clip01(self.price - self.step_price * gradient)  # Eq. (10)
