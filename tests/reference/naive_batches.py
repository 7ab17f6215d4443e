"""Naive KnapsackRL, CoBA-RL and VIP: batches from shuffled epochs, units laid out one after the other, on lists."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from fractions import Fraction


class NaiveBatch(ABC):
    """Draws a batch a round; a subclass says how units go to its prompts, ``divide``."""

    least_responses: int
    most_responses: int

    def __init__(
        self,
        num_prompts: int,
        num_rounds: int,
        budget: int,
        capacity: int,
        max_units: int,
        responses_per_unit: int,
        order_of: Callable[[int], list[int]],
        group_units: float | None = None,
        **options: object,
    ) -> None:
        """Start in epoch 0. ``order_of`` gives the order of an epoch."""
        for field, value in options.items():
            setattr(self, field, value)
        self.num_prompts = num_prompts
        self.num_rounds = num_rounds
        self.budget = budget
        self.capacity = capacity
        self.unit = responses_per_unit
        self.least = min(math.ceil(self.least_responses / self.unit), max_units)
        self.most = max(self.least, min(math.floor(self.most_responses / self.unit), max_units))
        self.mean = Fraction(self.least + self.most, 2) if group_units is None else Fraction(group_units)
        self.order_of = order_of
        self.epoch = 0
        self.queue = order_of(0)
        self.history: list[list[tuple[float, float]]] = [[] for _ in range(num_prompts)]  # (responses, rewards)
        self.spent = 0
        self.round_index = 0

    def next_batch(self, quota: int) -> tuple[list[int], int, list[int]]:
        """Return the prompts of a round, the epoch it ends in and what is left of that."""
        count = max(math.floor(quota / self.mean), math.ceil(quota / self.most))
        count = min(count, self.num_prompts)
        batch, queue, epoch = self.queue[:count], self.queue[count:], self.epoch
        if len(batch) < count:
            epoch += 1
            order = self.order_of(epoch)
            order = [i for i in order if i not in batch] + [i for i in order if i in batch]
            missing = count - len(batch)
            batch, queue = batch + order[:missing], order[missing:]
        return batch, epoch, queue

    def quota(self) -> int:
        """Return the units of this round."""
        due = (self.round_index + 1) * self.budget // self.num_rounds - self.spent
        return min(due, self.capacity, self.budget - self.spent)

    def allocate(self) -> list[tuple[int, int]]:
        """Return (prompt, units) in the order of the batch."""
        quota = self.quota()
        if quota == 0:
            return []
        batch, _, _ = self.next_batch(quota)
        return list(zip(batch, self.divide(batch, quota), strict=True))

    def observe(self, served: list[tuple[int, int]], successes: list[float], responses: list[float]) -> None:
        """Note the groups of what was served, and go on in the epoch."""
        if served:
            _, self.epoch, self.queue = self.next_batch(self.quota())
        for j in range(len(served)):
            i, units = served[j]
            self.spent += units
            if responses[j] > 0:
                self.history[i].append((responses[j], successes[j]))
        self.round_index += 1

    @abstractmethod
    def divide(self, batch: list[int], quota: int) -> list[int]:
        """Return the units of the batch's prompts."""

    @abstractmethod
    def worth(self, batch: list[int], units: list[int]) -> float:
        """Return the objective of a division; two divisions that are worth the same are equally right."""

    def serve(self, wanted: list[int], quota: int) -> list[int]:
        """Return what each gets of what is wanted, in order, while the quota lasts."""
        given = []
        for units in wanted:
            given.append(min(units, quota))
            quota -= given[-1]
        return given

    def climb(self, units: list[int], among: list[int], spare: int, value: Callable[[int, int], float]) -> int:
        """Give ``spare`` units one by one to where value(j, units) rises the most; return how many are left over."""
        while spare > 0:
            best, best_gain = None, 0.0
            for j in among:
                if units[j] == self.most:
                    continue
                gain = value(j, units[j] + 1) - value(j, units[j])
                if best is None or gain > best_gain:
                    best, best_gain = j, gain
            if best is None:
                break
            units[best] += 1
            spare -= 1
        return spare

    def deal(self, units: list[int], among: list[int], spare: int) -> int:
        """Deal ``spare`` units out like cards to those below the most; return how many are left over."""
        open_seats = [j for j in among if units[j] < self.most]
        while spare > 0 and open_seats:
            for j in open_seats:
                if spare > 0:
                    units[j] += 1
                    spare -= 1
            open_seats = [j for j in open_seats if units[j] < self.most]
        return spare


class NaiveKnapsack(NaiveBatch):
    """maximise sum of p (1-p)^2 [1 - p^n - (1-p)^n]."""

    least_responses = 2
    most_responses = 128
    window = 16
    min_observations = 8

    def estimate(self, i: int) -> tuple[float, bool]:
        """Return (p-hat, whether it counts): the newest groups until they have 16 rewards."""
        responses = rewards = 0.0
        for n, s in reversed(self.history[i]):
            if responses < self.window:
                responses += n
                rewards += s
        return (rewards / responses if responses else 0.5), responses >= self.min_observations

    def value(self, p: float, units: int) -> float:
        """Return v(n, p) for a group of this many units."""
        n = units * self.unit
        return p * (1.0 - p) ** 2 * (1.0 - p**n - (1.0 - p) ** n)

    def kinds(self, batch: list[int]) -> tuple[list[float], list[str]]:
        """Return p-hat and what it makes of each prompt."""
        rates, kinds = [], []
        for i in batch:
            p, known = self.estimate(i)
            rates.append(p)
            kinds.append("unknown" if not known else {0.0: "hopeless", 1.0: "solved"}.get(p, "effective"))
        return rates, kinds

    def divide(self, batch: list[int], quota: int) -> list[int]:
        """Least or usual group first, then the largest increments, then the surplus."""
        rates, kinds = self.kinds(batch)
        units = self.serve([math.floor(self.mean) if kind == "unknown" else self.least for kind in kinds], quota)
        where = {kind: [j for j in range(len(batch)) if kinds[j] == kind] for kind in kinds}
        spare = quota - sum(units)
        spare = self.climb(units, where.get("effective", []), spare, lambda j, n: self.value(rates[j], n))
        spare = self.deal(units, where.get("hopeless", []), spare)
        self.deal(units, sorted(where.get("unknown", []) + where.get("solved", [])), spare)
        return units

    def worth(self, batch: list[int], units: list[int]) -> float:
        """Return the sum of v over the effective prompts."""
        rates, kinds = self.kinds(batch)
        return sum(self.value(rates[j], units[j]) for j in range(len(batch)) if kinds[j] == "effective")


class NaiveCoba(NaiveBatch):
    """maximise sum of (1 - exp(-n p (1-p) / tau)) BetaPDF(p; 1+5f, 6-5f) over the middle of the batch."""

    least_responses = 2
    most_responses = 32
    window = 3

    def __init__(self, *sizes: int, order_of: Callable[[int], list[int]], **options: object) -> None:
        """Start without failure rates."""
        super().__init__(*sizes, order_of=order_of, **options)  # type: ignore[arg-type]
        self.failure_rates: list[float] = []

    def estimate(self, i: int) -> float | None:
        """Return the mean reward of the last groups, None where there are none."""
        last = self.history[i][-self.window :]
        return sum(s for _, s in last) / sum(n for n, _ in last) if last else None

    def rates(self, batch: list[int]) -> list[float]:
        """Return p-hat, 1/2 where nothing is known."""
        estimates = [self.estimate(i) for i in batch]
        return [0.5 if p is None else p for p in estimates]

    def value(self, rates: list[float], j: int, units: int) -> float:
        """Return V(n, p_j)."""
        middle = [p for p in rates if 0.05 <= p <= 0.99]
        mean = sum(middle) / len(middle)
        spread = sum((p - mean) ** 2 for p in middle) / len(middle)
        tau = 3.0 + 9.0 * min(1.0, max(0.0, spread / 0.1667))
        last = self.failure_rates[-self.window :]
        f = sum(last) / len(last)
        a, b = 1.0 + 5.0 * f, 6.0 - 5.0 * f
        p, n = rates[j], units * self.unit
        density = p ** (a - 1.0) * (1.0 - p) ** (b - 1.0) * math.gamma(a + b) / (math.gamma(a) * math.gamma(b))
        return (1.0 - math.exp(-n * p * (1.0 - p) / tau)) * density

    def divide(self, batch: list[int], quota: int) -> list[int]:
        """Evenly where nothing is known; else the least group, the middle's share, the hard, the middle, the easy."""
        units = [0] * len(batch)
        if all(self.estimate(i) is None for i in batch):
            self.deal(units, list(range(len(batch))), quota)
            return units
        rates = self.rates(batch)
        units = self.serve([self.least] * len(batch), quota)
        spare = quota - sum(units)
        hard = [j for j in range(len(batch)) if rates[j] < 0.05]
        easy = [j for j in range(len(batch)) if rates[j] > 0.99]
        middle = [j for j in range(len(batch)) if j not in hard and j not in easy]
        share = Fraction(len(middle), len(batch))
        ratio = Fraction(8, 10) if share > Fraction(1, 2) else Fraction(6, 10) + Fraction(4, 10) * share
        for_middle = math.floor(spare * ratio)
        spare -= for_middle
        spare += self.climb(units, middle, for_middle, lambda j, n: self.value(rates, j, n))
        spare = self.deal(units, hard, spare)
        spare = self.climb(units, middle, spare, lambda j, n: self.value(rates, j, n))
        self.deal(units, easy, spare)
        return units

    def worth(self, batch: list[int], units: list[int]) -> float:
        """Return the sum of V over the middle."""
        rates = self.rates(batch)
        return sum(self.value(rates, j, units[j]) for j in range(len(batch)) if 0.05 <= rates[j] <= 0.99)

    def observe(self, served: list[tuple[int, int]], successes: list[float], responses: list[float]) -> None:
        """Note the round's mean failure rate as well."""
        super().observe(served, successes, responses)
        rates = [1.0 - successes[j] / responses[j] for j in range(len(served)) if responses[j] > 0]
        if rates:
            self.failure_rates.append(sum(rates) / len(rates))


class NaiveVip(NaiveBatch):
    """minimise the sum of a / (n-1), or of a (n-1) / n^2; a = p (1-p), p the mean of a Beta(1, 1) posterior."""

    least_responses = 4
    most_responses = 32
    form = "rloo"

    def contrast(self, i: int) -> float:
        """Return a = p (1-p)."""
        p = (1.0 + sum(s for _, s in self.history[i])) / (2.0 + sum(n for n, _ in self.history[i]))
        return p * (1.0 - p)

    def variance(self, a: float, n: float) -> float:
        """Return the variance of the gradient of a prompt with n responses."""
        if self.form == "rloo":
            return a / (n - 1.0) if n > 1 else math.inf
        return a * (n - 1.0) / n**2

    def fall(self, a: float, n: float) -> float:
        """Return -d variance / dn."""
        return a / (n - 1.0) ** 2 if self.form == "rloo" else a * (n - 2.0) / n**3

    def responses(self, a: float, x: float) -> float:
        """Return the n within bounds where the variance falls by x a response, by bisection."""
        low, high = float(self.least * self.unit), float(self.most * self.unit)
        if self.fall(a, low) <= x:
            return low
        if self.fall(a, high) >= x:
            return high
        for _ in range(80):
            middle = 0.5 * (low + high)
            if self.fall(a, middle) > x:
                low = middle
            else:
                high = middle
        return low

    def divide(self, batch: list[int], quota: int) -> list[int]:
        """Find x by bisection, round down to units, and lay out what is left where the variance falls the most."""
        units = self.serve([self.least] * len(batch), quota)
        if sum(units) == quota:
            return units
        a = [self.contrast(i) for i in batch]
        low, high = 0.0, 1.0  # more than quota at low
        for _ in range(100):
            x = 0.5 * (low + high)
            if sum(self.responses(a_j, x) for a_j in a) > quota * self.unit:
                low = x
            else:
                high = x
        units = [math.floor(self.responses(a_j, high) / self.unit + 1e-7) for a_j in a]
        self.climb(units, list(range(len(batch))), quota - sum(units), lambda j, n: -self.variance(a[j], n * self.unit))
        return units

    def worth(self, batch: list[int], units: list[int]) -> float:
        """Return minus the sum of variances; prompts below the least group do not count."""
        return -sum(
            self.variance(self.contrast(i), n * self.unit)
            for i, n in zip(batch, units, strict=True)
            if n >= self.least and n * self.unit > 1
        )


class NaiveReinforceAdaEst(NaiveBatch):
    """One unit each, the rest by 1 / p-hat^power; p-hat from counts that lose a tenth at each visit."""

    least_responses = 1
    most_responses = 10**9
    prior = (1.0, 16.0)
    forgetting = 0.9
    power = 0.5

    def weight(self, i: int) -> float:
        """Return the prompt's weight."""
        responses = rewards = 0.0
        for n, s in self.history[i]:
            responses, rewards = self.forgetting * responses + n, self.forgetting * rewards + s
        a, b = self.prior
        return ((a + rewards) / (a + b + responses)) ** -self.power

    def shares(self, batch: list[int], quota: int) -> list[float]:
        """Return real-valued units: those above the cap are cut to it, and the rest is shared again."""
        weights = [self.weight(i) for i in batch]
        capped: set[int] = set()
        while True:
            rest = quota - len(batch) - (self.most - 1) * len(capped)
            total = sum(w for j, w in enumerate(weights) if j not in capped)
            share = {j: rest * w / total for j, w in enumerate(weights) if j not in capped}
            over = {j for j in share if share[j] > self.most - 1 + 1e-12}
            if not over:
                return [1.0 + share.get(j, self.most - 1) for j in range(len(batch))]
            capped |= over

    def divide(self, batch: list[int], quota: int) -> list[int]:
        """Round down, then one more to those with the largest remainders."""
        shares = self.shares(batch, quota)
        units = [math.floor(x + 1e-9) for x in shares]
        rest = sorted((j for j in range(len(batch)) if units[j] < self.most), key=lambda j: units[j] - shares[j])
        for j in rest[: quota - sum(units)]:
            units[j] += 1
        return units

    def worth(self, batch: list[int], units: list[int]) -> float:
        """Return how far the units are from the real-valued ones; two roundings as far off are equally right."""
        return sum(abs(n - x) for n, x in zip(units, self.shares(batch, sum(units)), strict=True))
