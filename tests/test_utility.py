import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cerolab import AllocationProblem, optimum, utility
from cerolab.regret import fenchel_upper_bound
from tests.reference import naive_utility as naive

CURVATURE = st.one_of(st.just(0.0), st.floats(-300.0, 6.0).map(lambda e: 10.0**e), st.floats(-6.0, 2.0).map(np.exp2))
EXPOSURE = st.one_of(st.integers(1, 10**7).map(float), st.floats(0.0, 4.0).map(lambda e: 10.0**e))
RATE = st.one_of(st.floats(0.0, 0.25), st.sampled_from([0.0, 0.25, 1e-12, 1e-300]))


@st.composite
def problems(draw, max_prompts=8, max_rounds=40):
    num_prompts, num_rounds = draw(st.integers(1, max_prompts)), draw(st.integers(1, max_rounds))
    max_units = draw(st.integers(1, 3))
    capacity = draw(st.integers(1, num_prompts * max_units))
    return AllocationProblem(
        num_prompts=num_prompts,
        num_rounds=num_rounds,
        budget=draw(st.integers(1, num_rounds * capacity)),
        capacity=capacity,
        max_units=max_units,
        saturation=draw(st.sampled_from([0.1, 1.0, 5.0])),
    )


@st.composite
def points(draw):
    """(slope, curvature, horizon exposure), the slope in all three cases of (9) and at their borders."""
    c, most = draw(CURVATURE), draw(EXPOSURE)
    border = c * math.exp(-c * most)
    slope = draw(
        st.one_of(
            st.just(0.0),
            st.floats(0.0, 1.0).map(lambda s: s * c),
            st.floats(0.0, 1.0).map(lambda s: s * border),
            st.floats(-300.0, 0.0).map(lambda e: 10.0**e * c),
            st.floats(1.0, 1e3).map(lambda s: s * c),
            st.sampled_from([c, border, math.nextafter(c, 0.0), math.nextafter(border, 0.0), border * (1 + 1e-15)]),
            st.floats(0.0, 1e7),
        )
    )
    return slope, c, most


def objective(slope, c, s):
    return slope * s - naive.value(c, s)


# --- the utility (3) -------------------------------------------------------------------------------------------


@given(problems(), RATE, st.floats(0.0, 1.0))
def test_utility_is_the_paper_formula(problem, rate, part):
    z = part * problem.horizon_exposure
    c = utility.curvature(rate, problem)
    share = problem.budget / problem.num_prompts
    assert c == pytest.approx(naive.curvature(rate, problem.saturation, share), rel=1e-14)
    assert utility.value(c, z) == pytest.approx(
        1.0 - math.exp(-4 * problem.saturation * rate * z / share), rel=1e-9, abs=1e-15
    )
    assert 0.0 <= utility.value(c, z) <= 1.0


@given(problems(), RATE, st.floats(0.0, 1.0))
def test_marginal_utility_is_the_derivative_and_at_most_the_largest_slope(problem, rate, part):
    z = part * problem.horizon_exposure
    c = utility.curvature(rate, problem)
    slope = float(utility.marginal(c, z))
    assert 0.0 <= slope <= problem.max_slope * (1 + 1e-15)
    step = 1e-4 * problem.exposure_scale
    difference = (naive.value(c, z + step) - naive.value(c, z - step)) / (2 * step)
    assert slope == pytest.approx(difference, rel=1e-5, abs=1e-9 * problem.max_slope)


def test_small_curvatures_keep_their_digits():
    assert utility.value(1e-20, 3.0) == pytest.approx(3e-20, rel=1e-14, abs=0.0)
    assert utility.value(1e-300, 1e7) == pytest.approx(1e-293, rel=1e-14, abs=0.0)
    assert utility.marginal(1e-20, 3.0) == pytest.approx(1e-20, rel=1e-14, abs=0.0)
    for c in (1e-12, 1e-20, 1e-200):  # theta Z - c Z + (c Z)^2 / 2 at theta = c / 2, Z = 10
        assert utility.conjugate(c / 2, c, 10.0) == pytest.approx(-5 * c + 50 * c**2, rel=1e-14, abs=0.0)


@given(problems(), RATE, RATE, st.floats(0.0, 1.0))
def test_utility_is_stable_in_the_rate(problem, rate, other, part):
    z = part * problem.horizon_exposure
    change = abs(
        utility.value(utility.curvature(rate, problem), z) - utility.value(utility.curvature(other, problem), z)
    )
    lipschitz = 4 * problem.saturation * problem.horizon_exposure / problem.exposure_scale
    assert change <= lipschitz * abs(rate - other) * (1 + 1e-12) + 1e-15  # (16)


# --- the conjugate (14) and its minimiser (9) ------------------------------------------------------------------


@given(points())
@example((1e-303, 1e6, 1e7))  # c / theta is above the largest double
@example((5e-324, 1.0, 1e7))
@example((0.0, 5e-324, 1.0))
@example((0.0, 0.0, 1.0))
def test_conjugate_is_the_minimum_found_by_search(point):
    slope, c, most = point
    conjugate = float(utility.conjugate(slope, c, most))
    assert conjugate == pytest.approx(naive.conjugate_by_search(slope, c, most), rel=1e-9, abs=1e-14)
    assert -1.0 <= conjugate <= 0.0


@given(points())
@example((1e-303, 1e6, 1e7))
@example((5e-324, 1.0, 1e7))
def test_supporting_exposure_is_the_minimiser(point):
    slope, c, most = point
    z = float(utility.supporting_exposure(slope, c, most))
    assert 0.0 <= z <= most
    assert objective(slope, c, z) == pytest.approx(float(utility.conjugate(slope, c, most)), rel=1e-9, abs=1e-14)
    for other in (0.0, most, z / 2, 2 * z, 0.99 * z, 1.01 * z):
        if other <= most:
            assert objective(slope, c, z) <= objective(slope, c, other) + 1e-14


@given(points())
def test_supporting_exposure_has_the_three_cases_of_the_paper(point):
    slope, c, most = point
    z = float(utility.supporting_exposure(slope, c, most))
    if c == 0.0 or slope >= c:
        assert z == 0.0
    elif slope <= c * math.exp(-c * most):
        assert z == pytest.approx(most, rel=1e-9)
    elif slope > 1e-300 * c:  # below, c / slope may overflow, which costs the utility nothing
        assert z == pytest.approx(naive.support_exposure(slope, c, most), rel=1e-9, abs=1e-15 / c)


@given(points(), st.floats(0.0, 1.0))
def test_supporting_exposure_inverts_the_marginal_utility(point, part):
    _, c, most = point
    z = part * most
    slope = float(utility.marginal(c, z))
    if slope > 1e-290 and c * z > 1e-6:  # elsewhere the slope does not determine the exposure in doubles
        assert utility.supporting_exposure(slope, c, most) == pytest.approx(z, rel=1e-7)


def test_everything_broadcasts_like_element_by_element():
    slope = np.array([0.0, 1e-9, 0.01, 0.3, 1.0, 7.0])[:, None]
    c = np.array([0.0, 1e-12, 0.05, 0.31, 1.0, 1e5])
    for function in (utility.conjugate, utility.supporting_exposure):
        table = function(slope, c, 40)
        assert table.shape == (6, 6)
        assert np.isfinite(table).all()
        for i in range(6):
            for j in range(6):
                assert table[i, j] == function(slope[i, 0], c[j], 40.0)


@given(problems(), RATE, st.floats(0.0, 1.0))
def test_utility_is_its_exact_biconjugate(problem, rate, part):
    z = part * problem.horizon_exposure
    c = float(utility.curvature(rate, problem))
    direct = float(utility.value(c, z))
    grid = problem.max_slope * np.concatenate([np.linspace(0.0, 1.0, 101), np.logspace(-12, 0, 101)])
    on_grid = grid * z - utility.conjugate(grid, c, problem.horizon_exposure)
    assert (on_grid >= direct - 1e-12 * np.maximum(1.0, grid * z)).all()  # (15), no slope gives less
    best = float(utility.marginal(c, z))  # and the tangent's slope gives it exactly
    assert best <= problem.max_slope * (1 + 1e-15)
    assert best * z - float(utility.conjugate(best, c, problem.horizon_exposure)) == pytest.approx(direct, abs=1e-12)


@given(problems(), RATE, RATE, st.floats(0.0, 1.0))
def test_conjugate_is_stable_in_the_rate(problem, rate, other, part):
    slope, most = part * problem.max_slope, problem.horizon_exposure
    change = abs(
        utility.conjugate(slope, utility.curvature(rate, problem), most)
        - utility.conjugate(slope, utility.curvature(other, problem), most)
    )
    lipschitz = 4 * problem.saturation * most / problem.exposure_scale
    assert change <= lipschitz * abs(rate - other) * (1 + 1e-12) + 1e-14  # (17)


@given(st.integers(0, 10**6))
def test_no_input_of_any_size_gives_a_nan_or_a_warning(seed):
    rng = np.random.default_rng(seed)
    c = np.concatenate([[0.0, 5e-324, 1e-300], 10.0 ** rng.uniform(-300, 6, 20)])[:, None]
    slope = np.concatenate([[0.0, 5e-324, 1e-300, 1e300], 10.0 ** rng.uniform(-300, 10, 20)])
    most = float(10 ** rng.uniform(0, 7))
    for table in (
        utility.conjugate(slope, c, most),
        utility.supporting_exposure(slope, c, most),
        utility.value(c, np.linspace(0.0, most, 7)),
        utility.marginal(c, np.linspace(0.0, most, 7)),
    ):
        assert np.isfinite(table).all()


# --- weak and strong duality (sec. 2.3) ------------------------------------------------------------------------


@given(problems(), st.integers(0, 10**6))
def test_the_round_dual_is_above_the_optimum_for_any_slopes_and_price(problem, seed):
    rng = np.random.default_rng(seed)
    rate = rng.uniform(0.0, 0.25, problem.num_prompts) * rng.integers(0, 2, problem.num_prompts)
    slope = rng.uniform(0.0, 1.0, problem.num_prompts) ** rng.choice([0.2, 1.0, 5.0]) * problem.max_slope
    price = float(rng.uniform(0.0, 1.2) ** 3) * problem.max_slope
    best = optimum.solve_static(rate, problem).value
    assert fenchel_upper_bound(rate, slope, price, problem) >= best - 1e-10


@given(problems(), st.integers(0, 10**6))
def test_the_round_dual_is_tight_at_the_slopes_and_price_of_the_optimum(problem, seed):
    rng = np.random.default_rng(seed)
    rate = rng.uniform(0.0, 0.25, problem.num_prompts) * (rng.random(problem.num_prompts) < 0.8)
    best = optimum.solve_static_continuous(rate, problem)
    slope = utility.marginal(utility.curvature(rate, problem), best.exposure)
    bound = fenchel_upper_bound(rate, slope, best.multiplier, problem)
    assert bound == pytest.approx(best.value, rel=1e-8, abs=1e-9)


def test_the_round_dual_of_one_prompt_by_hand():
    problem = AllocationProblem(num_prompts=2, num_rounds=3, budget=4, capacity=2, max_units=2)
    # R = 2, cbar = 1/2, c = (1/2, 0); slopes (0.3, 0.2), price 0.1: the round gives both units to prompt 0.
    conjugate = 0.6 * math.log(0.5 / 0.3) + 0.6 - 1.0
    expected = 3 * (4 / 3 * 0.1 + 2 * (0.3 - 0.1)) - conjugate
    assert fenchel_upper_bound([0.25, 0.0], [0.3, 0.2], 0.1, problem) == pytest.approx(expected, rel=1e-12)


def test_the_residual_capacity_counts_in_the_round_dual():
    problem = AllocationProblem(num_prompts=3, num_rounds=1, budget=3, capacity=3, max_units=2)
    bound = fenchel_upper_bound([0.0, 0.0, 0.0], [0.5, 0.9, 0.7], 0.0, problem)
    assert bound == pytest.approx(2 * 0.9 + 1 * 0.7, rel=1e-12)
