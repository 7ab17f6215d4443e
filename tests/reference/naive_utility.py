"""Naive utility, conjugate and brute-force optima for CERO (paper sec. 2, 5 and app. C), pure Python.

Everything here is meant to be obviously right and is only fit for tiny instances.
"""

from __future__ import annotations

import itertools
import math


def curvature(q: float, lam: float, R: float) -> float:
    """Return c = 4 * lambda * q / R, the decay rate of the utility in the exposure."""
    return 4.0 * lam * q / R  # Eq. (3)


def value(c: float, z: float) -> float:
    """Return U = 1 - exp(-c * z)."""
    return -math.expm1(-c * z)  # Eq. (3); expm1 only for the digits at small c * z


def conjugate_by_search(theta: float, c: float, Z: float) -> float:
    """Return min over 0 <= s <= Z of theta * s - U(s), by ternary search (the objective is convex) plus endpoints."""

    def objective(s: float) -> float:
        return theta * s - value(c, s)  # Eq. (14), the definition rather than the closed form

    low, high = 0.0, float(Z)
    for _ in range(400):  # (2/3)^400 is far below one rounding unit of any Z
        left = low + (high - low) / 3.0
        right = high - (high - low) / 3.0
        if objective(left) <= objective(right):
            high = right
        else:
            low = left
    return min(objective(0.0), objective(float(Z)), objective((low + high) / 2.0))


def support_exposure(theta: float, c: float, Z: float) -> float:
    """Return z*(theta; c), a minimiser of theta * s - U(s) on [0, Z]."""
    if c == 0.0 or theta >= c:
        return 0.0  # Eq. (9)
    if theta <= c * math.exp(-c * Z):
        return float(Z)  # Eq. (9)
    return math.log(c / theta) / c  # Eq. (9)


def best_integer_exposure_brute(
    q: list[float], lam: float, R: float, budget: int, max_exposure: int
) -> tuple[float, list[int]]:
    """Return (best value, an exposure vector) of the fixed-rate problem, trying every integer exposure vector.

    By the plan of Eq. (23) an exposure vector is feasible in Eq. (1) if and only if its sum is at most the budget and
    each entry at most Z = K * N_max (given 0 < B <= K * C), so rounds need not be enumerated.
    """
    best_value = -math.inf
    best_exposure: list[int] = []
    for exposure in itertools.product(range(max_exposure + 1), repeat=len(q)):
        if sum(exposure) > budget:
            continue  # Eq. (1), the budget
        total = 0.0
        for i in range(len(q)):
            total += value(curvature(q[i], lam, R), exposure[i])  # Eq. (1), the objective
        if total > best_value:
            best_value = total
            best_exposure = list(exposure)
    return best_value, best_exposure


def best_dynamic_brute(
    q_path: list[list[float]], capacity: int, budget: int, max_units: int, lam: float, R: float
) -> float:
    """Return OPT_dyn, the best value when q_path[k][i] is known in advance: an exact DP over exposure vectors.

    Round k is worth sum_i U(q_ik, z_ik) - U(q_ik, z_i,k-1); the state after a round is the whole vector of exposures.
    """
    num_prompts = len(q_path[0])
    rounds = []  # every allocation a single round may make
    for units in itertools.product(range(max_units + 1), repeat=num_prompts):
        if sum(units) <= capacity:
            rounds.append(units)  # Eq. (1), the cap and the capacity
    best: dict[tuple[int, ...], float] = {(0,) * num_prompts: 0.0}
    for q in q_path:
        new_best: dict[tuple[int, ...], float] = {}
        for before, so_far in best.items():
            for units in rounds:
                if sum(before) + sum(units) > budget:
                    continue  # Eq. (1), the budget
                after = tuple(before[i] + units[i] for i in range(num_prompts))
                total = so_far
                for i in range(num_prompts):
                    c = curvature(q[i], lam, R)
                    total += value(c, after[i]) - value(c, before[i])  # sec. 5, the value of round k
                if after not in new_best or total > new_best[after]:
                    new_best[after] = total
        best = new_best
    return max(best.values())


def best_round_selection_brute(score: list[float], capacity: int, max_units: int) -> float:
    """Return the maximum of sum_i score_i * n_i over integer n with 0 <= n_i <= max_units and sum n <= capacity."""
    best_value = -math.inf
    for units in itertools.product(range(max_units + 1), repeat=len(score)):
        if sum(units) > capacity:
            continue
        total = 0.0
        for i in range(len(score)):
            total += score[i] * units[i]  # Eq. (8), the linear problem that ranking by margin solves
        best_value = max(best_value, total)
    return best_value


def best_growing_brute(
    q: list[float], arrival: list[int], rounds: int, capacity: int, budget: int, max_units: int, lam: float, R: float
) -> float:
    """Return the best value where prompt i can have units from round arrival[i] on: every plan is executed.

    The state after a round is the whole vector of exposures; no statement about which of them can be reached is used.
    """
    reached = {(0,) * len(q)}
    for k in range(rounds):
        choices = [range(max_units + 1) if arrival[i] <= k else (0,) for i in range(len(q))]
        allocations = [units for units in itertools.product(*choices) if sum(units) <= capacity]
        after = {tuple(map(sum, zip(before, units, strict=True))) for before in reached for units in allocations}
        reached = {exposure for exposure in after if sum(exposure) <= budget}
    return max(sum(value(curvature(q[i], lam, R), z) for i, z in enumerate(exposure)) for exposure in reached)
