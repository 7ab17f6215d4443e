"""Seeds simulated at once leave the records that they leave one by one; what cannot be stacked is not."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from cerolab import Allocation, AllocationProblem, BudgetLedger, Feedback, available, make
from cerolab.allocators._posterior import PosteriorAllocator, PosteriorOptions
from cerolab.allocators.cero import Cero
from cerolab.errors import InvalidValueError, OverspendError, ProtocolError
from cerolab.registry import allocator_class
from cerolab.selection.top_k import best_allocation
from cerolab.stack import LedgerStack, Stack, StackableAllocator, end_to_end
from cerolab.tools.method import Method
from sim.experiment.cell import Cell, Scenario
from sim.experiment.local_engine import run_locally
from sim.experiment.loop import simulate
from sim.experiment.runs import run_method, run_stack, stacks
from sim.experiment.task import RunFailedError, Task, stack_tasks
from sim.worlds.dynamics import StaticPath
from sim.worlds.rewards import Rewards
from tests.test_engines import assert_same_records, run_in_parcels
from tests.test_regret_sweep import settings, sweep

PROBLEM = AllocationProblem(
    num_prompts=60, num_rounds=40, budget=900, capacity=37, max_units=3, responses_per_unit=4
)  # the last prompt of a round gets less
METHODS = [
    "cero",
    "cero(catch_up=true)",
    "cero(forgetting=0.9, price=0.2)",
    "cero(precision=single)",
    "cero_fixed",
    "cero_greedy",
    "cero_greedy(forgetting=0.8)",
    "cero_preset",
    "dual_mirror_descent",
    "dual_mirror_descent(mirror_slopes=true)",
    "uniform",
]


def cells(seeds=4, problem=PROBLEM, **world):
    return [Cell(Scenario(**{"population": "beta(0.5, 0.5)", **world}), problem, seed) for seed in range(seeds)]


def test_the_methods_below_are_all_that_stack():
    stackable = [name for name in available() if issubclass(allocator_class(name), StackableAllocator)]
    declared = [name for name in stackable if allocator_class(name).stacks(allocator_class(name).Options())]
    assert set(declared) == {Method.parse(text).name for text in METHODS}


@pytest.mark.parametrize("text", METHODS)
def test_records_are_those_of_the_seeds_alone(tmp_path, text):
    method = Method.parse(text)
    assert all(stacks(cell, method) for cell in cells())
    run_stack(cells(), method, tmp_path / "together" / "x", {})
    for cell in cells():
        run_method(cell, method, tmp_path / "alone" / "x", (), {})
    assert_same_records(tmp_path / "together" / "x", tmp_path / "alone" / "x")


def test_records_are_the_same_where_rows_end_in_different_rounds(tmp_path):
    short = replace(PROBLEM, budget=300)
    run_stack(cells(6, short), Method.parse("cero(price=0)"), tmp_path / "together" / "x", {})
    spent = set()
    for cell in cells(6, short):
        spent.add(run_method(cell, Method.parse("cero(price=0)"), tmp_path / "alone" / "x", (), {})["rounds_spent"])
    assert len(spent) > 1
    assert_same_records(tmp_path / "together" / "x", tmp_path / "alone" / "x")


def test_every_row_has_the_state_that_it_would_have_alone():
    alone = [make("cero", PROBLEM, seed) for seed in range(3)]
    stack = Stack([make("cero", PROBLEM, seed) for seed in range(3)])
    rng = np.random.default_rng(0)
    for _ in range(PROBLEM.num_rounds + 2):  # past the horizon too
        wave, own = stack.allocate()
        expected = [allocator.allocate() for allocator in alone]
        assert all(a.matches(b) for a, b in zip(own, expected, strict=True))
        assert end_to_end(expected, PROBLEM.num_prompts).matches(wave)
        responses = wave.units * 4
        successes = rng.binomial(responses, 0.4)
        stack.observe(Feedback(responses, successes))
        at = np.cumsum([a.num_groups for a in own])[:-1]
        parts = zip(alone, own, np.split(responses, at), np.split(successes, at), strict=True)
        for allocator, allocation, n, won in parts:
            allocator.observe(allocation, Feedback(n, won))
    for one, row in zip(alone, stack.rows, strict=True):
        state = row.state_dict()
        for key, value in one.state_dict().items():
            np.testing.assert_array_equal(state[key], value, err_msg=key)
        again = make("cero", PROBLEM, row.seed)
        again.load_state_dict(state)


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_subclass_has_to_say_that_it_stacks():
    class Heavier(Cero):
        name = "heavier"

    assert Cero.stacks(Cero.Options())
    assert not Heavier.stacks(Heavier.Options())
    with pytest.raises(InvalidValueError, match=r"heavier.*does not stack"):
        Stack([Heavier(PROBLEM, 0, Heavier.Options())])


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([], "rows=\\[\\] is empty"),
        ([make("cero", PROBLEM), make("uniform", PROBLEM)], "differs in more than its seed"),
        ([make("cero", PROBLEM), make("cero", PROBLEM, price=0.1)], "differs in more than its seed"),
        ([make("cero", PROBLEM), make("cero", replace(PROBLEM, budget=800))], "differs in more than its seed"),
        ([make("cero", PROBLEM, prior="pool")], "does not stack with these options"),
        ([make("mopps", PROBLEM)], "does not stack with these options"),
        ([make("dapo", PROBLEM)], "does not stack with these options"),
        ([make("cero", replace(PROBLEM, token_budget=9000, max_tokens=10))], "token_budget=9000 is not stacked"),
    ],
)
def test_rows_that_cannot_be_stacked_are_refused(rows, problem):
    with pytest.raises(InvalidValueError, match=problem):
        Stack(rows)


@pytest.mark.parametrize(
    ("text", "world"),
    [
        ("cero", {"dynamics": "learning(0.2)"}),
        ("cero", {"dynamics": "growing(0.5, 4)"}),
        ("cero", {"rewards": "graded(3)"}),
        ("cero", {"lengths": "lognormal(100, 0.5)"}),
        ("cero(prior=pool)", {}),
        ("mopps", {}),
        ("random_matched(matches=uniform)", {}),
    ],
)
def test_what_does_not_stack(text, world):
    assert not stacks(cells(1, **world)[0], Method.parse(text))


def test_cells_that_cannot_be_stacked_are_refused_before_anything_is_written(tmp_path):
    for chosen in (cells(dynamics="learning(0.2)"), [*cells(1), *cells(1, population="beta(1, 1)")]):
        with pytest.raises(InvalidValueError, match="cannot be stacked in these cells"):
            run_stack(chosen, Method.parse("cero"), tmp_path / "x", {})
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("options", [{"bogus": 1}, {"forgetting": 3}])
def test_options_that_cannot_be_used_are_named_by_their_run(tmp_path, options):
    task = Task((cells(1)[0],), (Method(name="cero", options=options),), tmp_path / "x", ())
    with pytest.raises(RunFailedError, match=rf"cero.*seed=0: .*{next(iter(options))}"):
        list(run_locally([task], {}, 1, ()))


class Visited(PosteriorAllocator):
    """A plugin: rewards late visits more, so that it depends on the round."""

    name = "visited"
    row_arrays = (*PosteriorAllocator.posterior_arrays, "score_M")

    def __init__(self, problem, seed, options):
        super().__init__(problem, seed, options)
        self.score_M = np.zeros(problem.num_prompts)

    def _select(self):
        return best_allocation(self.score_M, self.ties, self.even_quota(), self.problem.max_units, floor=None)

    def _learn_prompts(self, allocation, feedback, request):
        super()._learn_prompts(allocation, feedback, request)
        self.score_M[allocation.prompts] -= feedback.reward_sum / np.sqrt(self.round_index + 1)


def simulated(rows):
    """Units of every prompt of every row after a horizon in a stack."""
    stack, ledgers = Stack(rows), LedgerStack(PROBLEM, len(rows))
    coins = Rewards.end_to_end([Rewards("binary", PROBLEM, row.seed) for row in rows])
    for _ in range(PROBLEM.num_rounds):
        wave, own = stack.allocate()
        ledgers.spend(wave, own)
        stack.observe(coins.draw(wave, np.full(PROBLEM.num_prompts * len(rows), 0.4)))
        ledgers.end_round(np.ones(len(rows), np.bool_))
    return np.split(ledgers.exposure_M, len(rows))


def test_a_plugin_that_looks_at_the_round_is_the_same_in_a_stack():
    together = simulated([Visited(PROBLEM, seed, PosteriorOptions()) for seed in range(3)])
    for seed in range(3):
        allocator, coins, ledger = (
            Visited(PROBLEM, seed, PosteriorOptions()),
            Rewards("binary", PROBLEM, seed),
            BudgetLedger(PROBLEM),
        )
        simulate(allocator, StaticPath(np.full(PROBLEM.num_prompts, 0.4)), coins, ledger)
        np.testing.assert_array_equal(together[seed], ledger.exposure_M)


@pytest.mark.parametrize("step", ["_learn", "observe", "training_mask", "_count"])
def test_a_method_with_a_step_of_its_own_that_a_stack_replaces_does_not_stack(step):
    own = {"row_arrays": Visited.row_arrays, step: lambda self, *given: None}
    assert Visited.stacks(PosteriorOptions())
    assert not type("Other", (Visited,), own).stacks(PosteriorOptions())


def test_an_array_that_is_replaced_is_named():
    class Replacing(Visited):
        row_arrays = Visited.row_arrays

        def _learn_prompts(self, allocation, feedback, request):
            self.score_M = self.score_M + 1

    with pytest.raises(ProtocolError, match="score_M of row_arrays was replaced"):
        simulated([Replacing(PROBLEM, 0, PosteriorOptions())])


def test_several_waves_a_round_are_refused():
    class Probing(Visited):
        row_arrays = Visited.row_arrays

        def _select(self):
            return Allocation(np.array([1]), np.array([1]), last_wave=False)

    with pytest.raises(ProtocolError, match="several waves a round are not stacked"):
        Stack([Probing(PROBLEM, 0, PosteriorOptions())]).allocate()


def test_graded_rewards_and_rows_that_have_begun_are_refused():
    stack = Stack([make("cero", PROBLEM)])
    wave, _ = stack.allocate()
    with pytest.raises(InvalidValueError, match="graded rewards"):
        stack.observe(Feedback(wave.units * 4, wave.units * 1.5, wave.units * 0.75))
    begun = make("cero", PROBLEM)
    begun.allocate()
    with pytest.raises(InvalidValueError, match="has begun its horizon"):
        Stack([begun])


def test_feedback_that_cannot_be_true_leaves_all_rows_as_they_were():
    stack = Stack([make("cero", PROBLEM, seed) for seed in range(2)])
    wave, _ = stack.allocate()
    before = [row.state_dict() for row in stack.rows]
    with pytest.raises(InvalidValueError, match="more successes than responses"):
        stack.observe(Feedback(wave.units * 4, wave.units * 5))
    for row, state in zip(stack.rows, before, strict=True):
        for key, value in row.state_dict().items():
            np.testing.assert_array_equal(value, state[key])
    stack.observe(Feedback(wave.units * 4, wave.units))
    with pytest.raises(ProtocolError, match="without an open wave"):
        stack.observe(Feedback(wave.units * 4, wave.units))


# --- ledgers ---------------------------------------------------------------------------------------------------------

GOOD = Allocation(np.array([5, 2]), np.array([3, 1]))


def spend(*own):
    ledgers = LedgerStack(PROBLEM, len(own))
    ledgers.spend(end_to_end(own, PROBLEM.num_prompts), own)
    return ledgers


def test_each_row_has_its_ledger():
    ledgers = spend(GOOD, Allocation.empty(), Allocation(np.array([2]), np.array([2])))
    assert [ledger.units for ledger in ledgers.ledgers] == [4, 0, 2]
    second_wave = [Allocation(np.array([7]), np.array([1]))] * 3
    ledgers.spend(end_to_end(second_wave, PROBLEM.num_prompts), second_wave)
    ledgers.end_round(np.array([True, False, True]))
    assert [ledger.updates for ledger in ledgers.ledgers] == [1, 0, 1]
    for ledger in ledgers.ledgers:
        again = BudgetLedger(PROBLEM)
        again.load_state_dict(ledger.state_dict())  # the ledger's own check of its sums
    np.testing.assert_array_equal(ledgers.exposure_M, np.concatenate([led.exposure_M for led in ledgers.ledgers]))
    assert ledgers.exposure_M.sum() == 9


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (Allocation(np.array([4, 4]), np.array([1, 1])), "prompt 4 is named twice"),
        (Allocation(np.array([4]), np.array([4])), "prompt 4 would get 4 units"),
        (Allocation(np.arange(20), np.full(20, 2)), "above capacity=37"),
        (Allocation(np.array([60]), np.array([1])), "60"),
    ],
)
def test_a_row_that_asks_for_too_much_is_refused_by_name(bad, reason):
    with pytest.raises((OverspendError, InvalidValueError), match=reason):
        spend(GOOD, bad)


def test_nothing_is_booked_where_one_row_cannot_pay():
    ledgers = LedgerStack(PROBLEM, 2)
    own = [GOOD, Allocation(np.arange(20), np.full(20, 2))]
    with pytest.raises(OverspendError, match="capacity"):
        ledgers.spend(end_to_end(own, PROBLEM.num_prompts), own)
    assert [ledger.units for ledger in ledgers.ledgers] == [0, 0]
    assert not ledgers.exposure_M.any()


# --- tasks -----------------------------------------------------------------------------------------------------------


def tasks_of(tmp_path, seeds=10, detail=(), sizes=(60, 3000, 30_000), texts=("cero", "uniform", "mopps")):
    methods = tuple(Method.parse(text) for text in texts)
    problems = [
        replace(PROBLEM, num_prompts=size, budget=15 * size, capacity=size // 2, num_rounds=rounds)
        for size in sizes
        for rounds in (40, 80)
    ]
    return [
        Task((cell,), methods, tmp_path / "x", detail)
        for problem in problems
        for cell in [*cells(seeds, problem), *cells(seeds, problem, dynamics="shift(0.3)")]
    ]


def runs_of(tasks):
    return Counter(
        cell.settings("x", method, task.detail).run_id
        for task in tasks
        for cell in task.cells
        for method in task.methods
    )


@pytest.mark.parametrize("workers", [1, 2, 16, 1000])
@pytest.mark.parametrize("detail", [(), ("rounds",)])
def test_stacking_neither_loses_nor_doubles_a_run(tmp_path, workers, detail):
    tasks = tasks_of(tmp_path, detail=detail)
    stacked = stack_tasks(tasks, workers)
    assert runs_of(stacked) == runs_of(tasks)
    assert [task.work for task in stacked] == sorted((task.work for task in stacked), reverse=True)
    assert sum(task.work for task in stacked) == pytest.approx(sum(task.work for task in tasks))
    for task in stacked:
        if len(task.cells) > 1:
            assert not detail
            assert {cell.scenario.dynamics for cell in task.cells} == {"static"}
            assert len({cell.any_seed() for cell in task.cells}) == 1
            assert sum(cell.problem.num_prompts for cell in task.cells) <= 10_000
    longest = max(len(task.cells) for task in stacked)
    assert longest == (1 if detail or workers == 1000 else 10)


def test_a_stack_has_fifty_seeds_at_most(tmp_path):
    stacked = stack_tasks(tasks_of(tmp_path, seeds=120, sizes=(60,), texts=("cero",)), 1)
    assert max(len(task.cells) for task in stacked) == 40  # three even parts


def test_a_sweep_leaves_the_same_records_stacked_or_not(tmp_path):
    one_by_one, at_once = (settings(tmp_path / name) for name in ("one", "all"))
    assert sweep(one_by_one, engine=run_in_parcels) == sweep(at_once, workers=1, engine=run_locally)
    assert_same_records(one_by_one.directory, at_once.directory)


def test_a_sweep_with_more_seeds_stacks_the_new_ones_only(tmp_path):
    few, many = (settings(tmp_path / "some", seeds=seeds) for seeds in (2, 5))
    whole = settings(tmp_path / "whole", seeds=5)
    first = sweep(few, workers=1)
    assert sweep(many, workers=1) == sweep(whole, workers=1) - first
    assert_same_records(many.directory, whole.directory)


def test_a_stack_that_fails_is_named_and_can_be_run_again(tmp_path, monkeypatch):
    given = settings(tmp_path, seeds=2, horizons=(10,), pool_sizes=(), drifts=(), dynamics=(), ablations=())
    with monkeypatch.context() as patch:
        patch.setattr(Cero, "_select", lambda self: Allocation(np.array([3]), np.array([99])))
        with pytest.raises(RunFailedError, match=r"cero on .*seed=0, seed=1: OverspendError: prompt 3 would get 99"):
            sweep(given, workers=1)
    assert sweep(given, workers=1) > 0
    assert sweep(given, workers=1) == 0
