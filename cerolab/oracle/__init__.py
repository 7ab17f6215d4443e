"""Full-information optima: exact for fixed rates, certified for rates that move along a known path."""

from cerolab.oracle.convex import solve_static_cvxpy
from cerolab.oracle.dynamic import DynamicOptimum, dynamic_upper_bound, solve_dynamic
from cerolab.oracle.plan import feasible_plan, first_round_of_plan
from cerolab.oracle.static import Optimum, checked_rates, largest_gains, solve_static, solve_static_continuous

__all__ = [
    "DynamicOptimum",
    "Optimum",
    "checked_rates",
    "dynamic_upper_bound",
    "feasible_plan",
    "first_round_of_plan",
    "largest_gains",
    "solve_dynamic",
    "solve_static",
    "solve_static_continuous",
    "solve_static_cvxpy",
]
