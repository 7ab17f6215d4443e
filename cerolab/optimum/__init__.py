"""Full-information optima: exact for fixed rates, also in a pool that grows, certified for rates along a known path.

And what they are out of reach by: ``learner_bound``, the least regret of any policy that has to learn the rates.
Under a token budget: ``solve_static_tokens``.
"""

from cerolab.optimum.convex import SolvedOptimum, solve_static_cvxpy
from cerolab.optimum.dynamic import DynamicOptimum, dynamic_upper_bound, num_arcs, solve_dynamic
from cerolab.optimum.growing import solve_growing
from cerolab.optimum.plan import feasible_plan, first_round_of_plan
from cerolab.optimum.static import (
    Optimum,
    checked_rates,
    largest_gains,
    largest_gains_by_kind,
    solve_static,
    solve_static_continuous,
)
from cerolab.optimum.stopping import (
    LearnerBound,
    StoppingPlan,
    StoppingProblem,
    learner_bound,
    solve_stopping,
    stopping_problem,
)
from cerolab.optimum.tokens import largest_gains_per_token, solve_static_tokens

__all__ = [
    "DynamicOptimum",
    "LearnerBound",
    "Optimum",
    "SolvedOptimum",
    "StoppingPlan",
    "StoppingProblem",
    "checked_rates",
    "dynamic_upper_bound",
    "feasible_plan",
    "first_round_of_plan",
    "largest_gains",
    "largest_gains_by_kind",
    "largest_gains_per_token",
    "learner_bound",
    "num_arcs",
    "solve_dynamic",
    "solve_growing",
    "solve_static",
    "solve_static_continuous",
    "solve_static_cvxpy",
    "solve_static_tokens",
    "solve_stopping",
    "stopping_problem",
]
