"""Naive DAPO, SPEED, GRESO, HORA and Reinforce-Ada: rounds of several waves, on lists and exact fractions."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from fractions import Fraction

Pairs = list[tuple[int, int]]


class NaiveRounds(ABC):
    """Keeps the queue of prompts and what each got in the round; a subclass says the next wave, ``choose``."""

    def __init__(
        self,
        num_prompts: int,
        num_rounds: int,
        budget: int,
        capacity: int,
        max_units: int,
        responses_per_unit: int,
        order_of: Callable[[int], list[int]],
        **options: object,
    ) -> None:
        """Start in epoch 0. ``order_of`` gives the order of an epoch."""
        self.num_prompts = num_prompts
        self.num_rounds = num_rounds
        self.budget = budget
        self.capacity = capacity
        self.max_units = max_units
        self.unit = responses_per_unit
        self.order_of = order_of
        for field, value in options.items():
            setattr(self, field, value)
        self.epoch = 0
        self.queue = order_of(0)
        self.spent = 0
        self.round_index = 0
        self.open_round()

    def open_round(self) -> None:
        """Fix the quota and the order in which prompts can come up, each once."""
        due = (self.round_index + 1) * self.budget // self.num_rounds - self.spent
        self.quota = min(due, self.capacity, self.budget - self.spent)
        self.left = self.quota
        self.wave = 0
        nxt = self.order_of(self.epoch + 1)
        self.lineup = self.queue + [i for i in nxt if i not in self.queue]
        self.passed = 0
        self.had: dict[int, int] = {}  # units in the round
        self.seen: dict[int, list[float]] = {}  # responses, rewards, squared rewards in the round

    def close_round(self) -> None:
        """Take the prompts that came up out of the queue."""
        passed = min(self.passed, self.num_prompts)
        if passed <= len(self.queue):
            self.queue = self.queue[passed:]
        else:
            into_next = passed - len(self.queue)
            nxt = self.order_of(self.epoch + 1)
            late = [i for i in nxt if i in self.queue]
            self.queue = ([i for i in nxt if i not in self.queue] + late)[into_next:]
            self.epoch += 1
        self.round_index += 1
        self.open_round()

    def would_be_lost(self) -> int:
        """Return the units that even full later rounds could not use."""
        later = (self.num_rounds - self.round_index - 1) * self.capacity
        return max(0, self.budget - self.spent - later)

    def is_mixed(self, i: int) -> bool:
        """Return whether the prompt's rewards of this round differ."""
        n, s, q = self.seen[i]
        return q * n - s * s > 1e-9 * n

    def serve(self, prompts: list[int], wanted: list[int], left: int) -> Pairs:
        """Return (prompt, units) in order while the units last."""
        pairs = []
        for i, units in zip(prompts, wanted, strict=True):
            if min(units, left) > 0:
                pairs.append((i, min(units, left)))
                left -= pairs[-1][1]
        return pairs

    def allocate(self) -> tuple[Pairs, bool]:
        """Return the next wave and whether it is the round's last."""
        if self.round_index == self.num_rounds or self.left == 0:
            return [], True
        return self.choose()

    def observe(self, wave: Pairs, last: bool, responses: list[float], rewards: list[float], squares: list[float]):
        """Note the answers to a wave."""
        if self.round_index == self.num_rounds:
            return
        self.passed = self.passed_with([i for i, _ in wave if i not in self.had])
        for j, (i, units) in enumerate(wave):
            self.had[i] = self.had.get(i, 0) + units
            old = self.seen.get(i, [0.0, 0.0, 0.0])
            self.seen[i] = [old[0] + responses[j], old[1] + rewards[j], old[2] + squares[j]]
            self.left -= units
            self.spent += units
        self.wave += 1
        if last:
            self.close_round()

    def passed_with(self, new: list[int]) -> int:
        """Return how far in the line-up the round is once these prompts have come up."""
        return max([self.passed] + [self.lineup.index(i) + 1 for i in new])

    def batch(self, least: int, mean: Fraction, most: int) -> list[int]:
        """Return the prompts of a batch with ``mean`` units each."""
        count = max(math.floor(self.left / mean), math.ceil(self.left / most))
        return self.lineup[: min(count, self.num_prompts)]

    @abstractmethod
    def choose(self) -> tuple[Pairs, bool]:
        """Return the next wave of a round that has units left."""


class NaiveDapo(NaiveRounds):
    """Generate until enough groups are mixed."""

    batch_share = 1.0 / 3.0
    max_batches = 10

    def full(self) -> int:
        """Return the groups of a full batch."""
        return max(1, math.floor(self.batch_share * self.quota / self.max_units))

    def wave_size(self, missing: int) -> int:
        """Return how many groups to generate."""
        return self.full()

    def candidates(self, wanted: int) -> list[int]:
        """Return the prompts that come up next."""
        return self.lineup[self.passed :][:wanted]

    def choose(self) -> tuple[Pairs, bool]:
        """Generate another wave, or stop where the batch is full."""
        missing = self.full() - sum(self.is_mixed(i) for i in self.had)
        if missing <= 0 and self.would_be_lost() == 0:
            return [], True
        wanted = min(self.wave_size(missing), math.ceil(self.left / self.max_units))
        prompts = self.candidates(wanted)
        pairs = self.serve(prompts, [self.max_units] * len(prompts), self.left)
        out = sum(units for _, units in pairs) == self.left
        pool_used = len(self.had) + len(prompts) == self.num_prompts
        return pairs, out or pool_used or self.wave + 1 == self.max_batches


class NaiveGreso(NaiveDapo):
    """Dynamic sampling of the prompts that are not skipped."""

    exploration = 0.5
    target_zero_variance = 0.25

    def __init__(self, *sizes: int, coin: Callable[[int, int], float], **options: object) -> None:
        """Start without any run. ``coin`` gives a number in [0, 1) for (prompt, round)."""
        self.coin = coin
        self.histories: list[list[float]] = [[] for _ in range(sizes[0])]  # mean rewards of the groups
        self.last_wave_mixed: list[bool] = []
        self.round_means: list[float] = []
        super().__init__(*sizes, **options)
        self.p_easy = self.p_hard = self.exploration

    def keep(self, i: int, turn: int) -> bool:
        """Return whether a prompt is kept when it comes up in this round for the ``turn``-th time."""
        easy = hard = 0
        while easy < len(self.histories[i]) and self.histories[i][-1 - easy] >= 0.98:
            easy += 1
        while hard < len(self.histories[i]) and self.histories[i][-1 - hard] <= 0.11:
            hard += 1
        p = max(self.p_easy**easy, 0.01) if easy else max(self.p_hard**hard, 0.01)
        return self.coin(i, self.round_index + turn * self.num_rounds) < p

    def candidates(self, wanted: int) -> list[int]:
        """Return those that are kept, going through the pool as often as it takes; each comes once a round."""
        kept: list[int] = []
        self.place = self.passed
        while len(kept) < wanted and len(self.had) + len(kept) < self.num_prompts:
            i = self.lineup[self.place % self.num_prompts]
            if i not in self.had and i not in kept and self.keep(i, self.place // self.num_prompts):
                kept.append(i)
            self.place += 1
        return kept

    def passed_with(self, new: list[int]) -> int:
        """Return how far in the endless line-up the round is once these prompts, the candidates, have come up."""
        return self.place if new else self.passed

    def wave_size(self, missing: int) -> int:
        """Return 1.25 * missing / (1 - z), at most 1.5 full batches."""
        most = math.ceil(1.5 * self.full())
        if self.wave == 0 or missing <= 0 or not any(self.last_wave_mixed):
            return most
        z = 1 - Fraction(sum(self.last_wave_mixed), len(self.last_wave_mixed))
        return max(1, min(most, math.floor(Fraction(5, 4) * missing / (1 - z))))

    def observe(self, wave: Pairs, last: bool, responses: list[float], rewards: list[float], squares: list[float]):
        """Note means as well, and move the probabilities after the round."""
        if self.round_index == self.num_rounds:
            return
        first_epoch = self.epoch == 0
        self.last_wave_mixed = []
        for j, (i, _) in enumerate(wave):
            if responses[j]:
                n, s, q = responses[j], rewards[j], squares[j]
                self.last_wave_mixed.append(q * n - s * s > 1e-9 * n)
                self.histories[i].append(s / n)
                self.round_means.append(s / n)
        super().observe(wave, last, responses, rewards, squares)
        if last:
            means, self.round_means = self.round_means, []
            if means and not first_epoch:
                easy = Fraction(sum(m >= 0.98 for m in means), len(means))
                hard = Fraction(sum(m <= 0.11 for m in means), len(means))
                target = Fraction(self.target_zero_variance)
                self.p_easy = self.moved(self.p_easy, easy >= target / 3)
                self.p_hard = self.moved(self.p_hard, hard >= target * 2 / 3)

    def moved(self, p: float, too_many: bool) -> float:
        """Return p one step on."""
        return min(0.95, max(0.05, p - 0.01 if too_many else p + 0.01))


class NaiveSpeed(NaiveRounds):
    """Continue what was mixed, screen what could all be continued."""

    screen_units: int | None = None
    total_responses = 24
    max_waves = 10

    def choose(self) -> tuple[Pairs, bool]:
        """Continue and screen."""
        total = max(1, min(self.total_responses // self.unit, self.max_units, self.capacity))
        first = self.screen_units or max(1, min(math.ceil(4 / self.unit), total - 1))
        accepted = [i for i in self.lineup if self.had.get(i) == first < total and self.is_mixed(i)]
        pairs = self.serve(accepted, [total - first] * len(accepted), self.left)
        left = self.left - sum(units for _, units in pairs)
        if self.wave + 1 == self.max_waves:
            return pairs, True
        unseen = self.lineup[self.passed :]
        to_screen = left // total
        if to_screen == 0 and left > 0 and self.would_be_lost() > 0:
            to_screen = 1
        new = unseen[:to_screen]
        screened = self.serve(new, [first] * len(new), left)
        left -= sum(units for _, units in screened)
        pairs += screened
        if left == 0 or not screened:
            return pairs, True
        if first < total:
            return pairs, False
        more = left >= total or self.would_be_lost() > 0
        return pairs, not (more and len(unseen) > len(new))


class NaiveHora(NaiveRounds):
    """Probe, then the largest increments of the hit utility, one unit after the other."""

    probe_units: int | None = None
    most_responses = 32
    group_units: float | None = None

    def sizes(self) -> tuple[int, Fraction, int]:
        """Return the least, mean and most units of a group."""
        least = self.probe_units or max(1, min(math.ceil(4 / self.unit), self.max_units - 1))
        most = max(least, min(math.floor(self.most_responses / self.unit), self.max_units))
        return least, Fraction(least + most, 2) if self.group_units is None else Fraction(self.group_units), most

    def hits(self, i: int, units: int) -> Fraction:
        """Return the probability of a hit in this many further units: 1 - E[(1-p)^n]."""
        n, s, _ = self.seen[i]
        a, b = 1 + Fraction(s), 1 + Fraction(n - s)
        miss = Fraction(1)
        for j in range(units * self.unit):
            miss *= (b + j) / (a + b + j)
        return 1 - miss

    def choose(self) -> tuple[Pairs, bool]:
        """Probe, or commit."""
        least, _, most = self.sizes()
        if self.wave == 0:
            batch = self.batch(*self.sizes())
            pairs = self.serve(batch, [least] * len(batch), self.left)
            return pairs, least == most or sum(units for _, units in pairs) == self.left
        batch = self.lineup[: self.passed]
        given = dict.fromkeys(batch, 0)
        for _ in range(self.left):
            open_seats = [i for i in batch if given[i] < most - least]
            if open_seats:
                best = max(open_seats, key=lambda i: self.hits(i, given[i] + 1) - self.hits(i, given[i]))
                given[best] += 1
        return [(i, units) for i, units in given.items() if units], True

    def worth(self, pairs: Pairs) -> Fraction:
        """Return the sum of the hit utilities of a second wave; two waves that are worth the same are equally right."""
        return sum((self.hits(i, units) for i, units in pairs), Fraction(0))


class NaiveReinforceAda(NaiveRounds):
    """Sample the batch until each prompt has shown enough."""

    variant = "balanced"
    wave_units: int | None = None
    max_waves = 4
    train_responses = 4
    group_units: float | None = None

    def resolved(self, i: int) -> bool:
        """Return whether a prompt may leave."""
        n, right, _ = self.seen[i]
        if self.variant == "pos":
            return right >= 1
        return right >= self.train_responses // 2 and n - right >= math.ceil(self.train_responses / 2)

    def choose(self) -> tuple[Pairs, bool]:
        """Sample what is still active."""
        wave = self.wave_units or max(1, min(math.ceil(8 / self.unit), self.max_units - 1))
        wave = min(wave, self.max_units)
        most = min(wave * self.max_waves, self.max_units)
        mean = Fraction(wave + most, 2) if self.group_units is None else Fraction(self.group_units)
        if self.wave == 0:
            active = self.batch(wave, mean, most)
        else:
            active = [i for i in self.lineup[: self.passed] if not self.resolved(i) and self.had[i] < most]
            wanted = sum(min(wave, most - self.had[i]) for i in active)
            lost = min(self.left, self.would_be_lost()) - wanted
            if lost > 0 and self.wave < self.max_waves:
                active += self.lineup[self.passed :][: math.ceil(lost / most)]
        pairs = self.serve(active, [min(wave, most - self.had.get(i, 0)) for i in active], self.left)
        out = sum(units for _, units in pairs) == self.left
        nobody_goes_on = all(self.had.get(i, 0) + units == most for i, units in pairs)
        lost = min(self.left, self.would_be_lost()) - sum(units for _, units in pairs)
        may_join = lost > 0 and self.wave + 1 < self.max_waves and self.passed < self.num_prompts
        return pairs, out or (nobody_goes_on and not may_join)
