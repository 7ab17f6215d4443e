"""The columns of every table of a run record, with their units. The same for simulator and training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 1

NUM_BINS = 20  # of predicted success rate, for selection lift and calibration


class Column(NamedTuple):
    """A column: name, Arrow type, meaning with unit, and whether a number in it may be unknown (nan)."""

    name: str
    type: str
    meaning: str
    may_be_nan: bool = False


TABLES: dict[str, tuple[Column, ...]] = {
    "rounds": (
        Column("round", "int64", "round, from 0"),
        Column("price", "float64", "normalised budget price before the round; nan where the method has none", True),
        Column("virtual_units", "int64", "units of the virtual allocation; the executed ones where there is none"),
        Column("units", "int64", "units executed"),
        Column("remaining_units", "int64", "units of the budget left after the round"),
        Column("waves", "int64", "waves in the round"),
        Column("groups", "int64", "groups generated"),
        Column("effective_groups", "int64", "groups with mixed rewards"),
        Column("trained_groups", "int64", "groups trained on"),
        Column("responses", "int64", "responses generated"),
        Column("reward_sum", "float64", "sum of rewards"),
        Column("tokens", "int64", "tokens generated; 0 in a simulation without lengths"),
        Column("updated", "bool", "whether the policy was updated"),
        Column("predicted_value_mean", "float64", "mean q-hat of the admitted prompts before the round", True),
        Column("observed_value_mean", "float64", "mean unbiased within-group reward variance of the round", True),
        Column("true_value_mean", "float64", "mean true reward variance of admitted prompts; nan in training", True),
        Column("value", "float64", "utility gained up to here; nan in training", True),
        Column("pool_histogram", "list<int64>", f"prompts of the pool by predicted success, {NUM_BINS} equal bins"),
        Column("seconds_allocate", "float64", "seconds in allocate()"),
        Column("seconds_rollout", "float64", "seconds generating and grading"),
        Column("seconds_train", "float64", "seconds in the policy update"),
        Column("seconds_observe", "float64", "seconds in observe()"),
    ),
    "groups": (
        Column("round", "int64", "round, from 0"),
        Column("wave", "int64", "wave in the round, from 0"),
        Column("prompt", "int64", "prompt id"),
        Column("units", "int64", "units executed"),
        Column("responses", "int64", "responses generated"),
        Column("reward_sum", "float64", "sum of rewards; successes where rewards are binary"),
        Column("reward_mean", "float64", "mean reward"),
        Column("reward_variance", "float64", "unbiased reward variance of the group; nan for one response", True),
        Column("predicted_success", "float64", "p-hat before the decision; nan where the method has none", True),
        Column("predicted_value", "float64", "q-hat before the decision; nan where the method has none", True),
        Column("true_success", "float64", "true success rate; nan in training", True),
        Column("exposure_before", "int64", "units the prompt had before this round"),
        Column("tokens", "int64", "tokens generated; 0 in a simulation without lengths"),
        Column("trained", "bool", "whether the group was trained on"),
    ),
    "evals": (
        Column("round", "int64", "rounds completed before the evaluation"),
        Column("responses_spent", "int64", "responses of the budget spent before it"),
        Column("suite", "string", "evaluation suite"),
        Column("problem", "string", "problem of the suite; 'all' for the suite's mean"),
        Column("samples", "int64", "responses a problem, n; 0 where the rate is known exactly"),
        Column("avg_at_n", "float64", "mean reward"),
        Column(
            "pass_at_n", "float64", "unbiased chance of a success in n (16 where samples is 0); nan if unknown", True
        ),
    ),
    "pool": (
        Column("prompt", "int64", "prompt id"),
        Column("exposure", "int64", "units over the whole horizon"),
        Column("true_success_start", "float64", "true success rate at the start, or on arrival; nan in training", True),
        Column("true_success_end", "float64", "true success rate after the last round; nan in training", True),
        Column("optimal_exposure", "int64", "units under the optimum for fixed rates; -1 where there is none"),
    ),
}


def arrow_schema(table: str) -> pa.Schema:
    """The table's Arrow schema."""
    import pyarrow as pa

    types: dict[str, Any] = {
        "int64": pa.int64(),
        "float64": pa.float64(),
        "bool": pa.bool_(),
        "string": pa.string(),
        "list<int64>": pa.list_(pa.int64()),
    }
    return pa.schema([pa.field(column.name, types[column.type], nullable=False) for column in TABLES[table]])
