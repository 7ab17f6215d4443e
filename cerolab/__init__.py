"""cerolab: rollout-allocation algorithms for RL post-training under one budget.

The library decides, round by round, which prompts get rollouts and how many. Its objects run unchanged in the
simulator (``sim``) and in real training.

    problem = AllocationProblem(num_prompts=8960, num_rounds=500, budget=64_000, capacity=132,
                                max_units=2, responses_per_unit=4)
    allocator = make("cero", problem, seed=0)
    allocation = allocator.allocate()
    allocator.observe(allocation, Feedback(num_responses=..., reward_sum=...))
"""

from cerolab.allocation import Allocation, Allocator, Feedback, Wave
from cerolab.allocator import BaseAllocator
from cerolab.errors import CerolabError
from cerolab.ledger import BudgetLedger
from cerolab.problem import AllocationProblem
from cerolab.registry import available, make, register

__version__ = "0.1.0"

__all__ = [
    "Allocation",
    "AllocationProblem",
    "Allocator",
    "BaseAllocator",
    "BudgetLedger",
    "CerolabError",
    "Feedback",
    "Wave",
    "available",
    "make",
    "register",
]
