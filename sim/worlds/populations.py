"""Prompt populations: how success rates are spread over a pool.

Text form: terms joined by ``+``, each with an optional weight, e.g. ``beta(1, 1)``,
``0.4*beta(1, 1) + 0.3*point(0) + 0.3*point(1)``, ``records(results/llm/study/RUN)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from cerolab import seeding
from cerolab.errors import InvalidValueError, UnknownNameError
from cerolab.records import read_run
from cerolab.tools.spec import Call, parse_call
from cerolab.types import FloatArray

KNOWN = ("beta", "point", "records")


@dataclass(frozen=True, slots=True)
class Population:
    """A mixture of distributions of success rates.

    Attributes:
        text: the canonical text form.
        terms: (weight, distribution), weights summing to 1.
    """

    text: str
    terms: tuple[tuple[float, Call], ...]

    def draw(self, num_prompts: int, seed: int) -> FloatArray:
        """Success rates [M], in random order. A mixture has exactly its shares, up to rounding."""
        rng = seeding.generator("population", self.text, num_prompts, seed)
        shares = np.cumsum([0.0] + [weight for weight, _ in self.terms])
        edges = np.rint(shares / shares[-1] * num_prompts).astype(int)
        counts = np.diff(edges)
        parts = [_draw(call, int(count), rng) for (_, call), count in zip(self.terms, counts, strict=True)]
        return rng.permutation(np.concatenate(parts))

    def nodes(self, per_term: int = 200) -> tuple[FloatArray, FloatArray]:
        """The distribution as success rates [N] and their weights [N]: quantiles of betas, all values of the rest."""
        parts = [(weight, _nodes(call, per_term)) for weight, call in self.terms]
        weights = [np.full(nodes.size, weight / nodes.size) for weight, nodes in parts]
        return np.concatenate([nodes for _, nodes in parts]), np.concatenate(weights)


def parse_population(text: str) -> Population:
    """The population behind a text form.

    Raises:
        InvalidValueError, UnknownNameError: names the term and what would be right.
    """
    terms = []
    for term in text.split("+"):
        weight_text, star, rest = term.partition("*")
        call = parse_call("population", rest if star else term)
        try:
            weight = float(weight_text) if star else 1.0
        except ValueError:
            weight = -1.0
        if not 0 < weight < np.inf:
            raise InvalidValueError("population", term.strip(), "has no positive weight", "write 0.3*point(0), say")
        _check(call)
        terms.append((weight, call))
    total = sum(weight for weight, _ in terms)
    terms = [(weight / total, call) for weight, call in terms]
    canonical = " + ".join(f"{weight:g}*{call}" for weight, call in terms) if len(terms) > 1 else str(terms[0][1])
    return Population(canonical, tuple(terms))


def _check(call: Call) -> None:
    if call.name == "beta":
        a, b = call.numbers("population", 2, 2)
        if not (0 < a < np.inf and 0 < b < np.inf):
            raise InvalidValueError("population", str(call), "needs positive parameters", "write beta(0.5, 0.5), say")
    elif call.name == "point":
        (p,) = call.numbers("population", 1, 1)
        if not 0 <= p <= 1:
            raise InvalidValueError("population", str(call), "is no success rate", "give a number in [0, 1]")
    elif call.name == "records":
        if len(call.arguments) != 1:
            raise InvalidValueError("population", str(call), "needs one run directory", "write records(PATH)")
    else:
        raise UnknownNameError("population", call.name, KNOWN)


def _draw(call: Call, count: int, rng: np.random.Generator) -> FloatArray:
    if call.name == "beta":
        a, b = (float(argument) for argument in call.arguments)
        return rng.beta(a, b, size=count)
    if call.name == "point":
        return np.full(count, float(call.arguments[0]))
    return rng.choice(recorded_success_rates(Path(call.arguments[0])), size=count)


def _nodes(call: Call, count: int) -> FloatArray:
    if call.name == "beta":
        a, b = (float(argument) for argument in call.arguments)
        return np.asarray(stats.beta.ppf((np.arange(count) + 0.5) / count, a, b))
    if call.name == "point":
        return np.array([float(call.arguments[0])])
    return recorded_success_rates(Path(call.arguments[0]))


def recorded_success_rates(path: Path) -> FloatArray:
    """Empirical success rate of every prompt that a recorded run gave responses to, e.g. from real training."""
    groups = read_run(path).table("groups")
    sums = groups.groupby("prompt")[["reward_sum", "responses"]].sum()
    return (sums["reward_sum"] / sums["responses"]).to_numpy()
