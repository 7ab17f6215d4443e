"""Rules of what an allocator shows: predictions, metrics, which groups to train on."""

from __future__ import annotations

import numpy as np

from cerolab.testing.play import Play, Scenario, differing, one_round, pairs_of, play
from cerolab.testing.rules.rule import require, rule


@rule()
def predictions(scenario: Scenario) -> None:
    """Predictions are float64 [M], all nan or none, rates in [0, 1] and variances in [0, 0.25]."""

    def check(result: Play) -> None:
        allocator = result.allocator
        for name, most in (("predicted_success", 1.0), ("predicted_value", 0.25)):
            array = getattr(allocator, name)()
            want = (scenario.problem.num_prompts,)
            require(isinstance(array, np.ndarray) and array.shape == want, f"{name}() is no array of shape {want}")
            require(array.dtype == np.float64, f"{name}() is {array.dtype}, not float64")
            known = array[~np.isnan(array)]
            require(
                known.size in (0, array.size), f"{name}() is nan for {array.size - known.size} prompts, not for all"
            )
            inside = bool(((known >= 0.0) & (known <= most)).all())
            require(inside, f"{name}() leaves [0, {most}] in round {result.ledger.round_index}")

    allocator = scenario.make()
    start = play(allocator, scenario.problem, scenario.luck, rounds=0)
    check(start)
    play(allocator, scenario.problem, scenario.luck, ledger=start.ledger, after_round=check)


@rule()
def looking_changes_nothing(scenario: Scenario) -> None:
    """Looking changes no decision; writing into what was shown changes nothing inside."""
    looked, silent = scenario.make(), scenario.make()
    for k in range(scenario.problem.num_rounds):
        shown = [looked.predicted_success(), looked.predicted_value(), *looked.state_dict().values()]
        looked.metrics(), looked.training_mask([])
        for value in shown:
            if isinstance(value, np.ndarray) and value.flags.writeable:
                value[...] = np.zeros((), value.dtype)
        same = pairs_of(one_round(looked, scenario.luck)) == pairs_of(one_round(silent, scenario.luck))
        require(same, f"after predictions, metrics and state were read and written over, round {k} is another")
    state = differing(looked.state_dict(), silent.state_dict())
    require(
        not state, f"after predictions, metrics and state were read and written over, {', '.join(state)} is another"
    )


@rule()
def metrics(scenario: Scenario) -> None:
    """Metrics are finite floats by name, and say what remains."""

    def check(result: Play) -> None:
        shown = result.allocator.metrics()
        for name, value in shown.items():
            require(type(name) is str and type(value) is float, f"metrics()[{name!r}] is {value!r}, no float")
            require(bool(np.isfinite(value)), f"metrics()[{name!r}] is {value}")
        require(shown.get("remaining") == result.ledger.remaining, "metrics()['remaining'] is not what is left")

    play(scenario.make(), scenario.problem, scenario.luck, after_round=check)


@rule()
def training_mask(scenario: Scenario) -> None:
    """training_mask is bool, one flag a group of the round."""
    allocator = scenario.make()
    for _ in range(scenario.problem.num_rounds):
        waves = one_round(allocator, scenario.luck)
        mask, want = allocator.training_mask(waves), (sum(wave.allocation.num_groups for wave in waves),)
        require(mask.shape == want, f"training_mask() has shape {mask.shape}, not {want}")
        require(mask.dtype == np.bool_, f"training_mask() is {mask.dtype}, not bool")
    require(allocator.training_mask([]).shape == (0,), "training_mask([]) is not empty")
