"""Prompts whose random success rates fall nearest to a target, in a large pool, without a Beta draw a prompt.

What is looked for: P_i ~ Beta(a_i, b_i), independent; the ``count`` prompts with the smallest distance D_i of P_i from
the interval [low, high] (or the point low = high), those inside it first and in random order.

Law: all prompts of a kind (``cerolab.selection.prompt_types``) have one distribution of the distance,

    G_c(d) = P(low - d <= P <= high + d),   G_c(0) = P(P inside),

so D_i = G_c^-1(U_i) with one uniform U_i a prompt has the law of a drawn D_i, and the prompts with D_i <= d are those
with U_i <= G_c(d): one comparison with a number of the kind. Inside, D_i is U_i / G_c(0) - 1 in [-1, 0), which is
uniform: a random order. A d that somewhat more prompts than ``count`` are expected to be within is found from the kinds
alone; G_c is inverted for those few that pass. Which are the nearest does not depend on that d.

How exact: nothing is tabulated or interpolated. U_i has 53 bits, G_c the rounding of two values of the incomplete beta
function (about 1e-16 each), D_i is solved for by Newton's method, so that G_c(D_i) = U_i to about 1e-12.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, betaln, xlog1py, xlogy

from cerolab.estimators.posterior import Prior
from cerolab.selection.prompt_types import Kinds
from cerolab.types import FloatArray, IntArray

Interval = tuple[float, float]
_BLOCK = 1 << 16  # prompts a pass, so that their uniforms stay in cache
_MORE = 0.1  # of those wanted, that the guessed distance may take in
_CLOSE = 1e-7  # a Newton step below this share of the distance is the last; the error left goes with its square


def nearest_by_kind(
    kinds: Kinds, prior: Prior, target: Interval, count: int, uniforms: Callable[[], np.random.Generator]
) -> tuple[IntArray, FloatArray] | None:
    """At least the ``count`` prompts that are nearest, and their distances.

    Args:
        kinds: of (responses, successes).
        prior: (a0, b0).
        target: (low, high).
        count: prompts wanted, at most the pool.
        uniforms: a generator in its first state whenever it is called.

    Returns:
        (prompts [A] by id, distance [A], in [-1, 0) inside the interval). None where so many prompts have their whole
        mass within so short a distance that no d parts them.
    """
    living, alpha_C, beta_C, count_C = _living(kinds, prior)
    inside_C = within(alpha_C, beta_C, target, 0.0)
    inside = float(count_C @ inside_C)
    wanted = count + 4.0 * math.sqrt(count) + 16.0
    while True:
        reach = _reach(alpha_C, beta_C, count_C, target, inside, wanted)
        if reach is None:
            return None
        within_C = within(alpha_C, beta_C, target, max(reach, 0.0))
        least_C = np.zeros(len(kinds.rows))
        least_C[living] = within_C if reach > 0.0 else (1.0 + reach) * inside_C
        prompts, uniform_A = _passing(kinds.kind_M, least_C, uniforms())
        if prompts.size >= count:
            break
        wanted *= 1.5  # rare: fewer passed than expected
    place = np.empty(len(kinds.rows), np.int64)
    place[living] = np.arange(living.size)
    at = place[kinds.kind_M[prompts]]
    distance_A = np.empty(prompts.size)
    out_A = uniform_A > inside_C[at]
    distance_A[~out_A] = uniform_A[~out_A] / inside_C[at[~out_A]] - 1.0
    at = at[out_A]
    distance_A[out_A] = _inverse(
        uniform_A[out_A], alpha_C[at], beta_C[at], target, inside_C[at], within_C[at], max(reach, 0.0)
    )
    return prompts, distance_A


def within(alpha: FloatArray, beta: FloatArray, target: Interval, distance: FloatArray | float) -> FloatArray:
    """G(d) = P(low - d <= P <= high + d) for P ~ Beta(alpha, beta), element by element."""
    low, high = np.maximum(target[0] - distance, 0.0), np.minimum(target[1] + distance, 1.0)
    return np.maximum(betainc(alpha, beta, high) - betainc(alpha, beta, low), 0.0)


def _living(kinds: Kinds, prior: Prior) -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
    """(ids, alpha, beta, number) of the kinds [C] that prompts are of, by their rows: the same however they arose."""
    ids = np.flatnonzero(kinds.count)
    ids = ids[np.lexsort(kinds.rows[ids].T)]
    responses, successes = kinds.rows[ids].T
    return ids, prior[0] + successes, prior[1] + (responses - successes), kinds.count[ids].astype(np.float64)


def _density(alpha: FloatArray, beta: FloatArray, target: Interval, distance: FloatArray | float) -> FloatArray:
    """G'(d), inf where the density of the Beta is."""
    total = np.zeros(np.broadcast_shapes(alpha.shape, np.shape(distance)))
    for at in (target[0] - distance, target[1] + distance):
        rate = np.clip(at, 0.0, 1.0)
        log = xlogy(alpha - 1.0, rate) + xlog1py(beta - 1.0, -rate) - betaln(alpha, beta)
        total += np.where(rate == at, np.exp(log), 0.0)
    return total


def _reach(
    alpha_C: FloatArray, beta_C: FloatArray, count_C: FloatArray, target: Interval, inside: float, wanted: float
) -> float | None:
    """A distance that ``wanted`` prompts, or up to a tenth more, are expected to be within; below 0 inside.

    ``inside``: prompts expected within 0.
    """
    if inside >= wanted:
        return min(0.0, (1.0 + 0.5 * _MORE) * wanted / inside - 1.0)
    low, high = 0.0, max(target[0], 1.0 - target[1])
    if wanted >= count_C.sum():
        return high
    aim = wanted + 0.5 * _MORE * wanted - inside
    distance, last = high * min(1.0, aim / float(count_C.sum())), math.inf
    for _ in range(100):
        expected = float(count_C @ within(alpha_C, beta_C, target, distance)) - inside
        if wanted - inside <= expected <= wanted * (1.0 + _MORE) - inside:
            return distance
        low, high = (distance, high) if expected < aim else (low, distance)
        # Newton's step for log(expected) over log(distance), which meets a power law at once; where steps do not at
        # least halve each time, the bracket is halved.
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            slope = float(count_C @ _density(alpha_C, beta_C, target, distance)) * distance
            step = expected * math.log(aim / expected) / slope if expected > 0.0 and slope > 0.0 else math.nan
        newton = distance * math.exp(step) if abs(step) < 50.0 else math.nan
        good = low < newton < high and abs(newton - distance) <= 0.5 * last
        last = abs(newton - distance) if good else 0.5 * (high - low)
        distance = newton if good else 0.5 * (low + high)
        if not low < distance < high:
            break
    return None


def _passing(
    kind_M: npt.NDArray[np.int32], most_C: FloatArray, rng: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    """(prompts, their uniforms) of the uniforms [M] that are not above what their kind may have."""
    buffer = np.empty(min(_BLOCK, kind_M.size))
    prompts, uniforms = [], []
    for start in range(0, kind_M.size, _BLOCK):
        kind = kind_M[start : start + _BLOCK]
        uniform = rng.random(out=buffer[: kind.size])
        passed = np.flatnonzero(uniform <= most_C[kind])
        prompts.append(passed + start)
        uniforms.append(uniform[passed])
    return np.concatenate(prompts), np.concatenate(uniforms)


def _inverse(
    uniform_A: FloatArray,
    alpha_A: FloatArray,
    beta_A: FloatArray,
    target: Interval,
    inside_A: FloatArray,
    within_A: FloatArray,
    reach: float,
) -> FloatArray:
    """d in [0, reach] with G(d) = u, by Newton's method kept inside a bracket; G(0) and G(reach) are given."""
    low_A, high_A = np.zeros(uniform_A.size), np.full(uniform_A.size, reach)
    distance_A = reach * (uniform_A - inside_A) / (within_A - inside_A)
    left, last_A = np.arange(uniform_A.size), np.full(uniform_A.size, np.inf)
    for _ in range(1100):  # halvings of all of the floating-point range
        if not left.size:
            break
        alpha, beta, distance, inside = alpha_A[left], beta_A[left], distance_A[left], inside_A[left]
        mass, wanted = within(alpha, beta, target, distance), uniform_A[left]
        high_A[left] = high = np.where(mass >= wanted, distance, high_A[left])
        low_A[left] = low = np.where(mass < wanted, distance, low_A[left])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # in logarithms, as in _reach
            slope = _density(alpha, beta, target, distance) * distance / (mass - inside)
            step = np.log((wanted - inside) / (mass - inside)) / slope
            newton = distance * np.exp(step)
            move = np.abs(newton - distance)
        good = (low <= newton) & (newton <= high) & (move <= 0.5 * last_A[left])
        distance_A[left] = np.where(good, newton, 0.5 * (low + high))
        last_A[left] = np.where(good, move, 0.5 * (high - low))
        left = left[~((good & (np.abs(step) <= _CLOSE)) | (high - low <= 1e-12 * high))]
    return distance_A
