import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cerolab import AllocationProblem, BudgetLedger, make
from cerolab.allocation import Feedback
from cerolab.optimum import dynamic_upper_bound, solve_dynamic, solve_static
from cerolab.optimum.value import path_value, path_variation
from cerolab.regret import dynamic_bound, same_path_regret, static_bound, static_regret
from tests.reference.naive_utility import support_exposure

# --- adversaries: each picks the successes of a round, knowing everything --------------------------------------


def below_median_slope(rng, allocator, prompts, responses, k):
    slope = allocator.slope_M[prompts]
    return np.where(slope <= np.median(slope), responses, 0) if prompts.size else responses


def with_rates(success):
    return lambda rng, allocator, prompts, responses, k: rng.binomial(responses, success[prompts])


ADVERSARIES = {
    "fair coins": lambda rng, allocator, prompts, responses, k: rng.binomial(responses, 0.5),
    "a rate a prompt": lambda rng, allocator, prompts, responses, k: rng.binomial(
        responses, (prompts + 0.5) / allocator.problem.num_prompts
    ),
    "any number": lambda rng, allocator, prompts, responses, k: rng.integers(0, responses + 1),
    "all succeed": lambda rng, allocator, prompts, responses, k: responses,
    "all fail": lambda rng, allocator, prompts, responses, k: np.zeros_like(responses),
    "alternating": lambda rng, allocator, prompts, responses, k: responses * (k % 2),
    "half": lambda rng, allocator, prompts, responses, k: responses // 2,
    "only the smallest slopes succeed": below_median_slope,
    "only the largest slopes succeed": lambda *a: a[3] - below_median_slope(*a),
    "success first, failure later": lambda rng, allocator, prompts, responses, k: (
        responses * (2 * k < allocator.problem.num_rounds)
    ),
}


def play(problem, adversary, seed=0, prior=(1.0, 1.0), forgetting=1.0, price=0.5):
    """All K rounds; those after the budget is spent count too, without rollouts."""
    pick = adversary if callable(adversary) else ADVERSARIES[adversary]
    rng = np.random.default_rng(seed)
    allocator = make("cero", problem, seed=seed, prior=prior, forgetting=forgetting, price=price)
    ledger = BudgetLedger(problem)
    num_rounds, num_prompts = problem.num_rounds, problem.num_prompts
    run = SimpleNamespace(
        units=np.zeros((num_rounds, num_prompts), int),
        virtual=np.zeros((num_rounds, num_prompts), int),
        qhat=np.zeros((num_rounds, num_prompts)),  # after each round
        price=np.zeros(num_rounds),  # before each step
        slope=np.zeros((num_rounds, num_prompts)),
    )
    a, b = np.full(num_prompts, prior[0]), np.full(num_prompts, prior[1])
    for k in range(num_rounds):
        run.price[k], run.slope[k] = allocator.price, allocator.slope_M
        virtual = allocator._virtual()
        run.virtual[k, virtual.prompts] = virtual.units
        allocation = allocator.allocate()
        ledger.spend(allocation)  # refuses whatever (1) does not allow
        responses = allocation.units * problem.responses_per_unit
        successes = np.asarray(pick(rng, allocator, allocation.prompts, responses, k))
        allocator.observe(allocation, Feedback(num_responses=responses, reward_sum=successes))
        ledger.end_round(updated=allocation.num_units > 0)
        run.units[k, allocation.prompts] = allocation.units
        a, b = prior[0] + forgetting * (a - prior[0]), prior[1] + forgetting * (b - prior[1])  # (5)
        a[allocation.prompts] += successes
        b[allocation.prompts] += responses - successes
        run.qhat[k] = a * b / ((a + b) * (a + b + 1))  # (6)
    run.last_price, run.last_slope = allocator.price, allocator.slope_M.copy()
    assert allocator.round_index == num_rounds
    assert ledger.remaining == allocator.remaining
    return run


@st.composite
def problems(draw, max_prompts=15, max_rounds=300, max_units=3):
    num_prompts = draw(st.integers(1, max_prompts))
    lengths = st.integers(1, max_rounds) if max_rounds < 20 else st.sampled_from([1, 2, 7, 30, 100, max_rounds])
    num_rounds = draw(lengths)
    most = draw(st.integers(1, max_units))
    capacity = draw(st.integers(1, num_prompts * most))
    return AllocationProblem(
        num_prompts=num_prompts,
        num_rounds=num_rounds,
        budget=max(1, round(draw(st.floats(0.05, 1.0)) * num_rounds * capacity)),
        capacity=capacity,
        max_units=most,
        responses_per_unit=draw(st.sampled_from([1, 4])),
        saturation=draw(st.sampled_from([0.3, 1.0, 4.0])),
    )


ADVERSARY = st.sampled_from(sorted(ADVERSARIES))
OPTIONS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10**6),
        "prior": st.one_of(
            st.sampled_from([(1.0, 1.0), (0.05, 0.05), (50.0, 50.0), (300.0, 3.0)]),
            st.tuples(st.floats(0.05, 20.0), st.floats(0.05, 20.0)),
        ),
        "forgetting": st.sampled_from([1.0, 0.9, 0.3]),
        "price": st.floats(0.0, 1.0),
    }
)


def adversarial_rates(qhat, seed):
    """Fixed rates, chosen after the play: random, extreme, or where the estimates were on average."""
    rng = np.random.default_rng(seed)
    size = qhat.shape[1]
    return (
        rng.uniform(0.0, 0.25, size),
        0.25 * rng.integers(0, 2, size),
        qhat.mean(axis=0),
        np.clip(qhat.mean(axis=0) + rng.normal(0.0, 0.01, size), 0.0, 0.25),
        qhat[-1],
    )


# --- theorem 1 (11) --------------------------------------------------------------------------------------------


@given(problems(), ADVERSARY, OPTIONS)
def test_regret_is_below_the_static_bound_for_any_feedback(problem, adversary, options):
    run = play(problem, adversary, **options)
    for rate in adversarial_rates(run.qhat, options["seed"]):
        regret = static_regret(rate, run.units.sum(axis=0), problem) / problem.num_prompts
        error = np.abs(run.qhat - rate).mean()
        assert -1e-9 <= regret <= static_bound(problem, error).total + 1e-9


def test_the_static_bound_says_something_in_most_of_these_cases():
    said, tightest = [], 0.0
    for number, adversary in enumerate(sorted(ADVERSARIES) * 3):
        rng = np.random.default_rng(number)
        num_prompts, num_rounds = int(rng.integers(5, 20)), int(rng.choice([150, 300]))
        problem = AllocationProblem(
            num_prompts=num_prompts,
            num_rounds=num_rounds,
            budget=int(rng.uniform(0.5, 0.95) * num_rounds * num_prompts),
            capacity=num_prompts,
            responses_per_unit=int(rng.choice([1, 4])),
        )
        run = play(problem, adversary, seed=number, prior=((1.0, 1.0), (0.3, 0.3), (30.0, 20.0))[number % 3])
        rate = run.qhat.mean(axis=0)
        regret = static_regret(rate, run.units.sum(axis=0), problem) / num_prompts
        bound = static_bound(problem, float(np.abs(run.qhat - rate).mean()))
        assert regret <= bound.total + 1e-9
        said.append(not bound.vacuous)
        tightest = max(tightest, regret / bound.total)
    assert np.mean(said) >= 0.8
    assert tightest >= 0.02  # regret is there to be bounded


def test_regret_falls_like_one_over_the_root_of_the_horizon():
    success = np.random.default_rng(0).beta(1.0, 1.0, 60)
    regrets = []
    for num_rounds in (25, 100, 400):
        problem = AllocationProblem(
            num_prompts=60, num_rounds=num_rounds, budget=30 * num_rounds, capacity=45, responses_per_unit=4
        )
        exposures = [play(problem, with_rates(success), seed=seed).units.sum(axis=0) for seed in range(4)]
        rate = success * (1 - success)
        regrets.append(np.mean([static_regret(rate, exposure, problem) / 60 for exposure in exposures]))
    assert regrets[0] > 1.4 * regrets[1] > 1.4**2 * regrets[2]  # a factor 2 each by theory, but for noise
    assert regrets[2] < 0.02


@pytest.mark.parametrize(("shape", "known"), [((1.0, 1.0), 0.0058), ((0.3, 1.0), 0.0088)])
def test_regret_is_what_the_project_has_measured_before(shape, known):
    problem = AllocationProblem(
        num_prompts=400, num_rounds=500, budget=100_000, capacity=400, max_units=2, responses_per_unit=4
    )
    regrets = []
    for seed in range(3):
        success = np.random.default_rng(seed).beta(*shape, 400)
        exposure = play(problem, with_rates(success), seed=seed).units.sum(axis=0)
        regrets.append(static_regret(success * (1 - success), exposure, problem) / 400)
    assert np.mean(regrets) == pytest.approx(known, rel=0.2)


# --- the inequalities behind both theorems ---------------------------------------------------------------------


def check_online_gradient(points, last, gradients, step, comparator):
    """Projected gradient steps of one coordinate each (columns): the regret against any comparator in [0, 1]."""
    assert (np.abs(gradients) <= 1.0 + 1e-12).all()
    regret = (gradients * (points - comparator)).sum(axis=0)
    assert (regret <= math.sqrt(len(points)) + 1e-9).all()
    # The same, path by path: 2 step * regret <= |x_1 - x|^2 - |x_K+1 - x|^2 + step^2 sum g^2.
    telescoped = (points[0] - comparator) ** 2 - (last - comparator) ** 2 + step**2 * (gradients**2).sum(axis=0)
    assert (2 * step * regret <= telescoped + 1e-9).all()


@given(problems(), ADVERSARY, OPTIONS)
def test_the_price_has_no_regret_against_any_fixed_price(problem, adversary, options):
    run = play(problem, adversary, **options)
    spend = run.virtual.sum(axis=1)
    mean_spend = problem.budget / problem.num_rounds
    gradients = (mean_spend - spend) / max(mean_spend, problem.capacity - mean_spend)
    step = 1 / math.sqrt(problem.num_rounds)
    random = np.random.default_rng(options["seed"]).random(3)
    for comparator in (0.0, 1.0, run.last_price, *random):
        check_online_gradient(run.price[:, None], run.last_price, gradients[:, None], step, comparator)


@settings(max_examples=max(5, settings.default.max_examples // 2))
@given(problems(max_prompts=8), ADVERSARY, OPTIONS)
def test_every_slope_has_no_regret_against_any_fixed_slope(problem, adversary, options):
    run = play(problem, adversary, **options)
    largest = problem.saturation / (problem.budget / problem.num_prompts)
    most = problem.num_rounds * problem.max_units
    support = np.empty(run.slope.shape)
    for at in np.ndindex(support.shape):  # old slope, new qhat
        support[at] = support_exposure(float(largest * run.slope[at]), float(4 * largest * run.qhat[at]), most)
    gradients = (run.virtual - support / problem.num_rounds) / problem.max_units
    step = 1 / math.sqrt(problem.num_rounds)
    rng = np.random.default_rng(options["seed"])
    for comparator in (0.0, 1.0, run.last_slope, rng.random(problem.num_prompts)):
        check_online_gradient(run.slope, run.last_slope, gradients, step, comparator)


@given(problems(max_rounds=100), ADVERSARY, OPTIONS)
def test_the_virtual_allocation_maximises_the_round_and_the_executed_one_is_its_head(problem, adversary, options):
    run = play(problem, adversary, **options)
    left = problem.budget
    for k in range(problem.num_rounds):
        margin = run.slope[k] - run.price[k]
        best = np.sort(np.maximum(margin, 0.0))[::-1]
        full, rest = divmod(problem.capacity, problem.max_units)
        most = problem.max_units * best[:full].sum() + rest * best[full : full + 1].sum()
        assert margin @ run.virtual[k] == pytest.approx(most, abs=1e-12)
        assert run.units[k].sum() == min(run.virtual[k].sum(), left)
        assert (run.units[k] <= run.virtual[k]).all()
        left -= run.units[k].sum()


# --- theorem 2 (12) --------------------------------------------------------------------------------------------


def adversarial_paths(run, seed):
    rng = np.random.default_rng(seed)
    shape = run.qhat.shape
    start = rng.uniform(0.0, 0.25, shape[1])
    yield np.clip(start + np.cumsum(rng.normal(0.0, 0.02, shape), axis=0), 0.0, 0.25)
    yield rng.uniform(0.0, 0.25, shape)
    yield run.qhat
    yield np.tile(run.qhat.mean(axis=0), (shape[0], 1))
    yield np.clip(run.qhat.mean(axis=0) + np.linspace(-0.002, 0.002, shape[0])[:, None], 0.0, 0.25)


@settings(max_examples=max(5, settings.default.max_examples // 4))
@given(problems(max_prompts=3, max_rounds=12, max_units=2), ADVERSARY, OPTIONS)
def test_same_path_regret_is_below_the_dynamic_bound(problem, adversary, options):
    run = play(problem, adversary, **options)
    for path in adversarial_paths(run, options["seed"]):
        regret = same_path_regret(path, run.units, problem) / problem.num_prompts
        bound = dynamic_bound(problem, np.abs(run.qhat - path).mean(), path_variation(path))
        assert -1e-6 <= regret <= bound.total + 1e-6


def test_the_dynamic_bound_says_something_and_holds_on_longer_paths():
    said = []
    for number, adversary in enumerate(sorted(ADVERSARIES)):
        rng = np.random.default_rng(number)
        problem = AllocationProblem(
            num_prompts=8, num_rounds=80, budget=int(rng.integers(350, 600)), capacity=8, saturation=1.0
        )
        run = play(problem, adversary, seed=number, prior=(40.0, 30.0), forgetting=0.9)
        drift = np.linspace(0.0, float(rng.choice([0.0, 0.005, 0.01])), 80)[:, None]
        path = np.clip(run.qhat.mean(axis=0) + drift, 0.0, 0.25)
        bound = dynamic_bound(problem, np.abs(run.qhat - path).mean(), path_variation(path))
        # The optimum is replaced by an upper bound on it, which only makes the test harder.
        regret = (dynamic_upper_bound(path, problem, 20) - path_value(path, run.units, problem)) / 8
        assert regret <= bound.total + 1e-9
        said.append(not bound.vacuous)
    assert np.mean(said) >= 0.8


@pytest.mark.parametrize("adversary", ["fair coins", "alternating", "only the smallest slopes succeed"])
def test_the_dynamic_bound_holds_where_it_is_below_its_ceiling_and_the_optimum_is_exact(adversary):
    problem = AllocationProblem(num_prompts=3, num_rounds=16, budget=40, capacity=3, responses_per_unit=1)
    run = play(problem, adversary, seed=1, prior=(60.0, 40.0), forgetting=0.9)
    path = np.clip(run.qhat.mean(axis=0) + np.linspace(0.0, 0.004, 16)[:, None], 0.0, 0.25)
    bound = dynamic_bound(problem, np.abs(run.qhat - path).mean(), path_variation(path))
    assert not bound.vacuous
    assert same_path_regret(path, run.units, problem) / 3 <= bound.total


# --- the numbers -----------------------------------------------------------------------------------------------


def paper_problem(**changes):
    settings = {
        "num_prompts": 8960,
        "num_rounds": 500,
        "budget": 64_000,
        "capacity": 132,
        "max_units": 2,
        "responses_per_unit": 4,
    }
    return AllocationProblem(**{**settings, **changes})


def test_bound_of_the_paper_settings_by_hand():
    # Nbar = 64,000 / (500 * 8,960) = 1/70, Bbar = 128, G_B = max(128, 4) = 128, G_B/M = 1/70, N_max/Nbar = 140.
    bound = static_bound(paper_problem(), 0.01)
    assert bound.optimisation == pytest.approx((2 + 1 / 70) * 70 / math.sqrt(500), rel=1e-12)
    assert bound.optimisation == pytest.approx(6.305712, rel=1e-6)
    assert bound.estimation == pytest.approx(8 * 140 * 0.01, rel=1e-12)
    assert bound.variation == 0.0
    assert bound.total == bound.ceiling == 1.0
    assert bound.vacuous  # the theorem says nothing at the paper's scale


def test_dynamic_bound_of_the_paper_settings_by_hand():
    bound = dynamic_bound(paper_problem(saturation=2.0), 0.01, 0.03)
    assert bound.optimisation == pytest.approx(2 * 6.305712, rel=1e-6)
    assert bound.estimation == pytest.approx(2 * 11.2, rel=1e-12)
    assert bound.variation == pytest.approx(4 * 2 * 141 * 0.03, rel=1e-12)
    assert bound.total == bound.ceiling == 2.0
    assert bound.vacuous


def test_a_long_horizon_makes_the_bound_say_something():
    # Nbar = 1/2, Bbar = 5, C - Bbar = 3: G_B/M = 1/2; (1 + 1/2) * 2 / sqrt(10,000) = 0.03; 8 * 2 * 0.001 = 0.016.
    problem = AllocationProblem(num_prompts=10, num_rounds=10_000, budget=50_000, capacity=8)
    bound = static_bound(problem, 0.001)
    assert bound.total == pytest.approx(0.03 + 0.016)
    assert not bound.vacuous
    assert dynamic_bound(problem, 0.001, 0.01).total == pytest.approx(0.03 + 0.016 + 4 * 3 * 0.01)


def test_the_wider_side_of_the_budget_sets_the_price_scale():
    narrow = AllocationProblem(num_prompts=10, num_rounds=100, budget=100, capacity=10)  # Bbar = 1, C - Bbar = 9
    assert static_bound(narrow, 0.0).optimisation == pytest.approx((1 + 0.9) * 10 / 10)


def test_static_regret_of_the_optimum_is_zero_and_of_nothing_is_the_optimum():
    problem = AllocationProblem(num_prompts=3, num_rounds=4, budget=6, capacity=2)
    rate = [0.05, 0.25, 0.1]
    best = solve_static(rate, problem)
    assert static_regret(rate, best.exposure, problem) == 0.0
    assert static_regret(rate, np.zeros(3), problem) == best.value > 0.0


def test_same_path_regret_of_the_optimum_is_zero_and_of_nothing_is_the_optimum():
    problem = AllocationProblem(num_prompts=3, num_rounds=4, budget=6, capacity=2)
    path = np.random.default_rng(0).uniform(0.0, 0.25, (4, 3))
    best = solve_dynamic(path, problem)
    assert same_path_regret(path, best.units, problem) == pytest.approx(0.0, abs=1e-12)
    assert same_path_regret(path, np.zeros((4, 3)), problem) == pytest.approx(best.value)
