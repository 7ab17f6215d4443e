"""The prior that a pool learns, by a search over the two parameters, one prompt after the other."""

from __future__ import annotations

import math


def log_beta(a: float, b: float) -> float:
    """Return the logarithm of the Beta function."""
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def support(a: float, b: float, successes, failures) -> float:
    """Return the log likelihood of all prompts under Beta(a, b), and log density of Gamma(2, 1) at a and at b."""
    found = math.log(a) - a + math.log(b) - b
    for s, f in zip(successes, failures, strict=True):
        if s + f > 0:
            found += log_beta(a + s, b + f) - log_beta(a, b)
    return found


def naive_prior(successes, failures, least: float = 0.01, most: float = 100.0) -> tuple[float, float]:
    """Return (a0, b0): steps up and down in the logarithms, together and apart, halved where none leads upwards."""
    here, step = (1.0, 1.0), 0.5
    best = support(*here, successes, failures)
    while step > 1e-5:
        moved = False
        for i, j in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1)):
            there = tuple(min(max(x * math.exp(n * step), least), most) for x, n in zip(here, (i, j), strict=True))
            value = support(*there, successes, failures)
            if value > best:
                here, best, moved = there, value, True
        step = step if moved else step / 2
    return here
