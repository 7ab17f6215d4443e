import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cerolab.errors import InvalidValueError
from cerolab.selection.projection import project_box, project_capped_simplex
from cerolab.selection.top_k import TieOrder, best_allocation, fill_in_order, top_scores
from tests.reference.naive_utility import best_round_selection_brute

REAL = st.floats(-50.0, 50.0)
HALVES = st.integers(-8, 8).map(lambda n: n / 2)  # many ties
BOUND = st.one_of(st.floats(0.0, 20.0), st.integers(0, 12).map(float))


def vectors(max_size=8):
    return st.one_of(*(arrays(np.float64, st.integers(1, max_size), elements=e) for e in (REAL, HALVES)))


@st.composite
def polytopes(draw, points=1):
    size = draw(st.integers(1, 8))
    elements = draw(st.sampled_from([REAL, HALVES]))
    given_points = [draw(arrays(np.float64, size, elements=elements)) for _ in range(points)]
    return (*given_points, draw(BOUND), draw(st.one_of(st.floats(0.0, 5.0), st.integers(0, 3).map(float))))


def feasible_points(rng, size, capacity, max_units, count):
    for _ in range(count):
        point = rng.uniform(0.0, max_units, size) * rng.integers(0, 2, size)
        yield point * min(1.0, capacity / max(point.sum(), 1e-300))
    vertex = np.zeros(size)
    left = capacity
    for i in rng.permutation(size):
        vertex[i] = min(max_units, left)
        left -= vertex[i]
    yield vertex


# --- the box ---------------------------------------------------------------------------------------------------


@given(vectors(), st.floats(-3.0, 3.0), st.floats(0.0, 4.0))
def test_box_projection_is_feasible_idempotent_and_nearest(x, low, width):
    high = low + width
    p = project_box(x, low, high)
    assert ((p >= low) & (p <= high)).all()
    np.testing.assert_array_equal(project_box(p, low, high), p)
    inside = (x >= low) & (x <= high)
    np.testing.assert_array_equal(p[inside], x[inside])
    np.testing.assert_array_equal(p[x < low], low)
    np.testing.assert_array_equal(p[x > high], high)


@given(st.lists(st.tuples(REAL, REAL), min_size=1, max_size=8).map(np.array))
def test_box_projection_does_not_expand_distances(pair):
    x, y = pair.T
    assert np.linalg.norm(project_box(x) - project_box(y)) <= np.linalg.norm(x - y)


def test_box_projection_leaves_its_argument_alone_and_takes_lists():
    x = np.array([-1.0, 0.5, 2.0])
    np.testing.assert_array_equal(project_box(x), [0.0, 0.5, 1.0])
    np.testing.assert_array_equal(x, [-1.0, 0.5, 2.0])
    np.testing.assert_array_equal(project_box([3, -3], -1, 2), [2.0, -1.0])


def test_box_with_exchanged_bounds_is_refused():
    with pytest.raises(InvalidValueError, match=r"low=1.*above high=0"):
        project_box([0.5], 1.0, 0.0)


# --- the round polytope ----------------------------------------------------------------------------------------


@given(polytopes())
def test_polytope_projection_is_feasible_and_idempotent(drawn):
    x, capacity, max_units = drawn
    p = project_capped_simplex(x, capacity, max_units)
    assert p.shape == x.shape
    assert p.min() >= 0.0
    assert p.max() <= max_units
    assert p.sum() <= capacity + 1e-11
    np.testing.assert_allclose(project_capped_simplex(p, capacity, max_units), p, atol=1e-11)


@given(polytopes(), st.integers(0, 10**6))
def test_polytope_projection_fulfils_the_variational_inequality(drawn, seed):
    # p is the projection if and only if (x - p).(y - p) <= 0 for every feasible y.
    x, capacity, max_units = drawn
    p = project_capped_simplex(x, capacity, max_units)
    for y in feasible_points(np.random.default_rng(seed), x.size, capacity, max_units, 5):
        assert (x - p) @ (y - p) <= 1e-9


@given(polytopes())
def test_polytope_projection_beats_the_best_vertex_direction(drawn):
    # The variational inequality at its worst feasible point, which is the linear maximiser in direction x - p.
    x, capacity, max_units = drawn
    p = project_capped_simplex(x, capacity, max_units)
    left, best = capacity, 0.0
    for d in sorted(x - p, reverse=True):
        if d <= 0.0 or left <= 0.0:
            break
        units = min(max_units, left)
        best += d * units
        left -= units
    assert best - (x - p) @ p <= 1e-9


@given(polytopes(points=2))
def test_polytope_projection_does_not_expand_distances(drawn):
    x, y, capacity, max_units = drawn
    px, py = (project_capped_simplex(v, capacity, max_units) for v in (x, y))
    assert np.linalg.norm(px - py) <= np.linalg.norm(x - y) + 1e-11


@pytest.mark.parametrize("seed", range(8))
def test_polytope_projection_equals_a_quadratic_programme(seed):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(2, 9))
    x = rng.normal(1.0, 2.0, size)
    if seed % 2:
        x = np.round(x)  # ties
    max_units = float(rng.integers(1, 4))
    capacity = float(rng.uniform(0.3, 1.0) * max_units * size / 2)
    y = cp.Variable(size)
    programme = cp.Problem(cp.Minimize(cp.sum_squares(y - x)), [y >= 0, y <= max_units, cp.sum(y) <= capacity])
    programme.solve(solver=cp.CLARABEL, tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)
    np.testing.assert_allclose(project_capped_simplex(x, capacity, max_units), y.value, atol=2e-6)


@pytest.mark.parametrize(
    ("x", "capacity", "max_units", "expected"),
    [
        ([0.5, 0.25], 1.0, 1.0, [0.5, 0.25]),  # inside already
        ([-2.0, 0.5], 1.0, 1.0, [0.0, 0.5]),
        ([5.0, 7.0], 3.0, 1.0, [1.0, 1.0]),  # the cap binds, the capacity does not
        ([1.0, 1.0], 1.0, 1.0, [0.5, 0.5]),
        ([3.0, 3.0, 0.0], 3.0, 2.0, [1.5, 1.5, 0.0]),
        ([10.0, 1.0, 0.5], 2.5, 2.0, [2.0, 0.5, 0.0]),  # one at the cap, one between, one at zero
        ([100.0, 0.0], 1.0, 1.0, [1.0, 0.0]),
        ([100.0, 50.0, 0.0], 2.0, 2.0, [2.0, 0.0, 0.0]),  # nobody is strictly between
        ([3.0, 1.0], 0.0, 2.0, [0.0, 0.0]),
        ([3.0, 1.0], 5.0, 0.0, [0.0, 0.0]),
    ],
)
def test_polytope_projection_of_points_done_by_hand(x, capacity, max_units, expected):
    np.testing.assert_allclose(project_capped_simplex(x, capacity, max_units), expected, atol=1e-14)


def test_polytope_projection_without_a_cap_is_the_one_with_the_capacity_as_cap():
    # No entry can be above the capacity, so an infinite cap is a plain simplex, not a nan.
    np.testing.assert_allclose(project_capped_simplex([1.0, 2.0, 3.0], 2.0, np.inf), [0.0, 0.5, 1.5], atol=1e-14)
    np.testing.assert_allclose(project_capped_simplex([1.0, 2.0, 3.0], np.inf, np.inf), [1.0, 2.0, 3.0])


def test_polytope_projection_of_a_large_vector_meets_the_capacity():
    x = np.random.default_rng(0).normal(0.0, 3.0, 100_000)
    p = project_capped_simplex(x, 1234.5, 2.0)
    assert p.sum() == pytest.approx(1234.5, rel=1e-10)
    # By the optimality conditions x - p is one number wherever p is strictly between its bounds.
    shifts = (x - p)[(p > 0) & (p < 2)]
    assert shifts.size > 100
    assert np.ptp(shifts) < 1e-9
    assert (x[p == 0] <= shifts[0] + 1e-9).all()
    assert (x[p == 2] >= 2 + shifts[0] - 1e-9).all()


@pytest.mark.parametrize(
    ("field", "x", "capacity", "max_units"),
    [
        ("capacity", [1.0], -1.0, 1.0),
        ("capacity", [1.0], np.nan, 1.0),
        ("max_units", [1.0], 1.0, -0.5),
        ("max_units", [1.0], 1.0, np.nan),
        ("x", [1.0, np.nan], 1.0, 1.0),
        ("x", [np.inf, 1.0], 1.0, 1.0),
    ],
)
def test_polytope_projection_refuses_what_it_cannot_project(field, x, capacity, max_units):
    with pytest.raises(InvalidValueError) as caught:
        project_capped_simplex(x, capacity, max_units)
    assert caught.value.field == field


# --- the linear maximiser over it (8) --------------------------------------------------------------------------


@st.composite
def rounds(draw, max_prompts=5):
    score = draw(st.lists(st.one_of(HALVES, REAL), min_size=1, max_size=max_prompts))
    max_units = draw(st.integers(1, 3))
    capacity = draw(st.integers(1, len(score) * max_units))
    tie_rank = draw(st.permutations(range(len(score))))
    return np.array(score), TieOrder(tie_rank), capacity, max_units


def linear_value(score, allocation):
    return float(score[allocation.prompts] @ allocation.units)


@given(rounds())
def test_best_allocation_is_feasible_and_has_the_brute_force_value(drawn):
    score, ties, capacity, max_units = drawn
    allocation = best_allocation(score, ties, capacity, max_units)
    assert allocation.num_units <= capacity
    assert (allocation.units <= max_units).all()
    assert np.unique(allocation.prompts).size == allocation.num_groups
    best = best_round_selection_brute(score.tolist(), capacity, max_units)
    assert linear_value(score, allocation) == pytest.approx(best, abs=1e-9)


@given(rounds(), HALVES)
def test_a_floor_is_the_same_as_scores_less_the_floor(drawn, price):
    score, ties, capacity, max_units = drawn
    allocation = best_allocation(score, ties, capacity, max_units, floor=price)
    margin = score - price
    best = best_round_selection_brute(margin.tolist(), capacity, max_units)
    assert linear_value(margin, allocation) == pytest.approx(best, abs=1e-9)
    assert (score[allocation.prompts] > price).all()  # a margin of exactly zero is not admitted


@given(rounds())
def test_without_a_floor_the_capacity_is_filled_at_the_best_value(drawn):
    score, ties, capacity, max_units = drawn
    allocation = best_allocation(score, ties, capacity, max_units, floor=None)
    assert allocation.num_units == capacity
    shift = 1000.0  # makes every score positive, so that the brute force fills the capacity too
    best = best_round_selection_brute((score + shift).tolist(), capacity, max_units)
    assert linear_value(score + shift, allocation) == pytest.approx(best)


def by_sorting(score, tie_rank, capacity, max_units, floor):
    order = [i for i in range(len(score)) if floor is None or score[i] > floor]
    order.sort(key=lambda i: (-score[i], tie_rank[i]))
    prompts, units = [], []
    for i in order:
        if capacity <= 0:
            break
        prompts.append(i)
        units.append(min(max_units, capacity))
        capacity -= units[-1]
    return prompts, units


@given(
    st.integers(0, 10**6),
    st.integers(1, 60),
    st.integers(1, 4),
    st.integers(1, 6),
    st.sampled_from([0.0, 1.0, None]),
)
def test_priority_is_by_score_and_then_by_tie_rank(seed, num_prompts, max_units, levels, floor):
    rng = np.random.default_rng(seed)
    score = rng.integers(-1, levels, num_prompts).astype(float)
    tie_rank = rng.permutation(num_prompts)
    capacity = int(rng.integers(1, num_prompts * max_units + 1))
    allocation = best_allocation(score, TieOrder(tie_rank), capacity, max_units, floor=floor)
    prompts, units = by_sorting(score.tolist(), tie_rank.tolist(), capacity, max_units, floor)
    assert allocation.prompts.tolist() == prompts
    assert allocation.units.tolist() == units


def test_among_equals_the_smaller_tie_rank_is_served_first():
    score = np.array([1.0, 2.0, 2.0, 2.0, 1.0])
    ties = TieOrder([0, 4, 2, 3, 1])
    allocation = best_allocation(score, ties, capacity=2, max_units=1)
    assert allocation.prompts.tolist() == [2, 3]
    allocation = best_allocation(score, ties, capacity=4, max_units=1)
    assert allocation.prompts.tolist() == [2, 3, 1, 0]


def test_the_last_prompt_gets_the_residual_where_the_cap_does_not_divide_the_capacity():
    score = np.array([0.1, 0.9, 0.5, 0.7])
    allocation = best_allocation(score, TieOrder(range(4)), capacity=7, max_units=3)
    assert allocation.prompts.tolist() == [1, 3, 2]
    assert allocation.units.tolist() == [3, 3, 1]


def test_a_capacity_below_the_cap_is_one_short_group():
    allocation = best_allocation(np.array([0.1, 0.9]), TieOrder(range(2)), capacity=2, max_units=5)
    assert (allocation.prompts.tolist(), allocation.units.tolist()) == ([1], [2])


def test_nobody_is_admitted_without_a_positive_margin():
    allocation = best_allocation(np.array([0.5, 0.2]), TieOrder(range(2)), capacity=2, max_units=1, floor=0.5)
    assert allocation.num_groups == 0
    assert allocation.num_units == 0


def test_a_full_pool_is_admitted_whole_and_leaves_no_residual():
    allocation = best_allocation(np.array([0.5, 0.2]), TieOrder(range(2)), capacity=4, max_units=2)
    assert allocation.units.tolist() == [2, 2]


# --- large pools, where the selection looks at a sample first ---------------------------------------------------

LARGE = 40_000


def large_scores(kind):
    rng = np.random.default_rng(0)
    if kind == "distinct":
        return rng.normal(size=LARGE)
    if kind == "a few levels":
        return rng.integers(-1, 4, LARGE) / 4
    if kind == "nearly all equal":
        return np.where(rng.random(LARGE) < 0.001, rng.random(LARGE), 0.5)
    if kind == "all equal":
        return np.full(LARGE, 0.5)
    if kind == "a shared top and distinct below":
        return np.where(rng.random(LARGE) < 0.02, 1.0, rng.random(LARGE))
    if kind == "sorted":
        return np.sort(rng.random(LARGE))
    every_nth = np.arange(LARGE) % (LARGE // 8192) == 0  # where a regular sample would look
    if kind == "the sample sees the best only":
        return np.where(every_nth, 2.0 + rng.random(LARGE), rng.integers(-1, 4, LARGE) / 4)
    if kind == "the sample sees many best and there are no others":
        return np.where(every_nth & (rng.random(LARGE) < 0.4), 2.0 + rng.random(LARGE), 0.5)
    if kind == "the sample sees a shared best only":
        return np.where(every_nth, 2.0, rng.random(LARGE))
    return np.where(every_nth, -rng.random(LARGE), rng.random(LARGE))  # the worst only


@pytest.mark.parametrize("floor", [None, 0.0, 0.5, 10.0])
@pytest.mark.parametrize(
    "kind",
    [
        "distinct",
        "a few levels",
        "nearly all equal",
        "all equal",
        "a shared top and distinct below",
        "sorted",
        "the sample sees the best only",
        "the sample sees many best and there are no others",
        "the sample sees a shared best only",
        "the sample sees the worst only",
    ],
)
def test_top_scores_of_a_large_pool_equal_a_full_sort(kind, floor):
    score = large_scores(kind)
    tie_rank = np.random.default_rng(1).permutation(LARGE)
    order = np.lexsort((tie_rank, -score))
    if floor is not None:
        order = order[score[order] > floor]
    ties = TieOrder(tie_rank)
    for count in (1, 7, 132, 800, 5000, 9999, 10_000, 10_001, 39_999, LARGE, LARGE + 5):
        np.testing.assert_array_equal(top_scores(score, ties, count, floor), order[:count])


@pytest.mark.parametrize("count", [0, 1, 9024, 9025, 15_000, 29_999, 30_000])
@pytest.mark.parametrize("share", [0.75, 1.0, 0.01])  # 0.75 is right, and only sets how far to look at a time
def test_equal_scores_are_found_wherever_they_are_in_the_tie_order(count, share):
    rng = np.random.default_rng(2)
    tie_rank = rng.permutation(LARGE)
    shared = tie_rank >= 10_000
    score = np.where(shared, 0.5, rng.random(LARGE))
    expected = np.argsort(np.where(shared, tie_rank, LARGE))[:count]
    np.testing.assert_array_equal(TieOrder(tie_rank).first_equal(score, 0.5, count, share), expected)


@pytest.mark.parametrize("rank", [[0, 0], [1, 2], [0, 2, 1, 4], [-1, 0], [0.0, 1.0], [[0, 1]], 0, [True, False]])
def test_a_tie_order_that_is_no_permutation_is_refused(rank):
    with pytest.raises(InvalidValueError) as caught:
        TieOrder(rank)
    assert caught.value.field == "rank_M"


@pytest.mark.parametrize("count", [0, -1])
def test_top_scores_of_nobody_is_empty(count):
    assert top_scores(np.array([1.0, 2.0]), TieOrder(range(2)), count).size == 0


@given(st.integers(0, 6), st.integers(1, 4), st.integers(0, 30))
def test_fill_in_order_serves_the_first_prompts_fully(num_prompts, max_units, units):
    filled = fill_in_order(np.arange(num_prompts), max_units, units)
    assert filled.sum() == min(units, num_prompts * max_units)
    assert (filled[:-1] == max_units).all()
    assert ((filled >= 1) & (filled <= max_units)).all()
