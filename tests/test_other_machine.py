"""What is decided does not hang on the arithmetic of the machine; what is written agrees in the digits kept."""

from __future__ import annotations

import pytest

from sim.leaderboard_settings import FITTED
from tests.other_machine import both, can_be_emulated

WORLDS = ("beta(1, 1)", "0.5*point(0.5) + 0.5*beta(2, 2)", "beta(0.5, 0.5) under drift(1)", FITTED)
LEARN_THE_PRIOR = ("resolve", "renew")  # by iteration, so that it is as exact as that has come to its end


@pytest.mark.skipif(not can_be_emulated(), reason="nothing to turn off that we know how to")
def test_every_allocator_decides_the_same_on_another_machine() -> None:
    found = both({"num_prompts": 60, "moving_prompts": 40, "num_rounds": 30, "seeds": 1, "scenarios": WORLDS})
    assert len(found) == 19 * len(WORLDS)
    others = [one for one in found if not one.run_id.startswith(LEARN_THE_PRIOR)]
    assert {one.run_id: one.by_key for one in others if one.most > 1e-9} == {}
    assert sum(not one.by_key for one in others) >= 0.9 * len(others)
    assert {one.run_id: one.by_key for one in found if one.most > 1e-5} == {}
