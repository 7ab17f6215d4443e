"""What is decided does not hang on the arithmetic of the machine; what is written agrees in the digits kept."""

from __future__ import annotations

import pytest

from sim.leaderboard_settings import FITTED
from tests.other_machine import both, can_be_emulated

WORLDS = ("beta(1, 1)", "0.5*point(0.5) + 0.5*beta(2, 2)", "beta(0.5, 0.5) under drift(1)", FITTED)


@pytest.mark.skipif(not can_be_emulated(), reason="nothing to turn off that we know how to")
def test_every_allocator_decides_the_same_on_another_machine() -> None:
    found = both({"num_prompts": 60, "moving_prompts": 40, "num_rounds": 30, "seeds": 1, "scenarios": WORLDS})
    assert len(found) == 19 * len(WORLDS)
    assert {one.run_id: one.by_key for one in found if one.most > 1e-9} == {}
    assert sum(not one.by_key for one in found) >= 0.9 * len(found)
