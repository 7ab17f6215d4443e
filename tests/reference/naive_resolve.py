"""Naive versions of this project's allocators, `resolve` and `renew`: lists, a heap and plain recursion."""

from __future__ import annotations

import heapq
import math

from scipy.stats import beta


class NaiveResolve:
    """Plan by a heap of unit gains; a prompt is open where recursion over outcomes says so. A fixed Beta prior."""

    def __init__(self, num_prompts, num_rounds, budget, max_units, responses_per_unit, saturation, prior, depth):
        self.num_rounds, self.max_units, self.g = num_rounds, max_units, responses_per_unit
        self.scale = 4 * saturation * num_prompts / budget  # c = scale * q
        self.horizon_exposure = num_rounds * max_units
        self.prior, self.depth = prior, depth

    def rate(self, hits: float, count: float) -> float:
        """Return the posterior mean of p(1-p), Eq. (6)."""
        a, b = self.prior[0] + hits, self.prior[1] + count - hits
        return a * b / ((a + b) * (a + b + 1))

    def plan(self, rates, exposures, rounds_left: int, remaining: int) -> tuple[list[int], float]:
        """Return the units that each prompt still gets, and the smallest gain among them (0: units are left over)."""
        most = rounds_left * self.max_units
        units = [0] * len(rates)
        heap = []
        for i, q in enumerate(rates):
            c = self.scale * q
            heapq.heappush(heap, (-(1 - math.exp(-c)) * math.exp(-c * exposures[i]), i))
        last = 0.0
        for _ in range(remaining):
            if not heap:
                return units, 0.0
            gain, i = heapq.heappop(heap)
            last = -gain
            units[i] += 1
            if units[i] < most:
                heapq.heappush(heap, (gain * math.exp(-self.scale * rates[i]), i))
        return units, last if heap else 0.0

    def is_open(self, units: int, hits: int, price: float, most: float) -> bool:
        """Return whether one more unit is worth the price, by recursion over all that may be seen."""
        nodes = [float(beta.ppf((k + 0.5) / 128, *self.prior)) for k in range(128)]
        depth = int(max(1, min(self.depth, most)))
        if units >= depth:
            return False
        curve = [self.scale * p * (1 - p) for p in nodes]
        known: dict[tuple[int, int], float] = {}

        def chances(u, s):
            n = self.g * u
            raw = [p**s * (1 - p) ** (n - s) for p in nodes]
            return [x / sum(raw) for x in raw]

        def with_rate(c, u):
            best = 0.0
            if c > price:
                best = most if price <= c * math.exp(-c * most) else math.log(c / price) / c
            best = max(best, u)
            return 1 - math.exp(-c * best) - price * best

        def stop(u, s):
            return sum(x * (1 - math.exp(-c * u)) for x, c in zip(chances(u, s), curve, strict=True)) - price * u

        def go(u, s):
            total = 0.0
            for more in range(self.g + 1):
                chance = sum(
                    x * math.comb(self.g, more) * p**more * (1 - p) ** (self.g - more)
                    for x, p in zip(chances(u, s), nodes, strict=True)
                )
                total += chance * value(u + 1, s + more)
            return total

        def value(u, s):
            if (u, s) not in known:
                if u == depth:
                    known[u, s] = sum(x * with_rate(c, u) for x, c in zip(chances(u, s), curve, strict=True))
                else:
                    known[u, s] = max(stop(u, s), go(u, s))
            return known[u, s]

        return go(units, hits) > stop(units, hits)


class NaiveTokenResolve(NaiveResolve):
    """Under a token budget: what units cost, the price of a token, and the round's units, one at a time."""

    def costs(self, tokens, exposures, most_unit_tokens: int) -> list[float]:
        """Return the expected tokens of a unit of every prompt."""
        means = [t / (z * self.g) for t, z in zip(tokens, exposures, strict=True) if z]
        if not means:
            return [float(most_unit_tokens)] * len(exposures)
        pool = max(1.0, sum(means) / len(means))
        return [self.g * (t + 4 * pool) / (z * self.g + 4) for t, z in zip(tokens, exposures, strict=True)]

    def token_price(self, rates, exposures, costs, rounds_left: int, tokens: float) -> float:
        """Return the gain a token at which the tokens left are laid out; by bisection on its logarithm."""
        most = rounds_left * self.max_units
        curves = [self.scale * q for q in rates]
        gains = [math.log((1 - math.exp(-c)) / w) - c * z for c, z, w in zip(curves, exposures, costs, strict=True)]

        def spent(level):
            filled = [min(most, max(0.0, (x - level) / c + 0.5)) for x, c in zip(gains, curves, strict=True)]
            return sum(w * z for w, z in zip(costs, filled, strict=True))

        if most * sum(costs) <= tokens:
            return 0.0
        low, high = -200.0, 50.0
        for _ in range(200):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if spent(middle) > tokens else (low, middle)
        return math.exp(low)

    def served(self, order, costs, due: float, most: int) -> list[tuple[int, int]]:
        """Return (prompt, units) down the list: full groups of units while ``due`` tokens and ``most`` units last."""
        pairs = []
        for i in order:
            got = 0
            while got < self.max_units and most > 0 and due >= costs[i] * (1 - 1e-12):
                got, most, due = got + 1, most - 1, due - costs[i]
            if got:
                pairs.append((i, got))
            if got < self.max_units:
                break
        return pairs


class NaiveRenew:
    """The worth of every prompt from its own story, kept as a list of (round, responses, hits)."""

    def __init__(self, prior, forgetting: float, recovery: float, optimism: float, headroom: float):
        self.prior, self.forgetting, self.recovery, self.optimism = prior, forgetting, recovery, optimism
        self.headroom = headroom

    def worth(self, story: list[tuple[int, float, float]], now: int) -> float:
        """Return min(1/4, mean + optimism * sd of p(1-p)) * (1 - p)^headroom * (1 - exp(-t / recovery))."""
        a, b = self.prior
        for age, (_, count, hits) in enumerate(reversed(story)):
            kept = self.forgetting**age
            a += kept * hits
            b += kept * (count - hits)
        s = a + b
        mean = a * b / (s * (s + 1))
        second = a * (a + 1) * b * (b + 1) / (s * (s + 1) * (s + 2) * (s + 3))
        rate = min(0.25, mean + self.optimism * math.sqrt(max(0.0, second - mean**2)))
        back = 1.0 if not story else 1 - math.exp(-(now - story[-1][0]) / self.recovery)
        return rate * (b / s) ** self.headroom * back
