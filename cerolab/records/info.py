"""What stands in run.json and experiment.json, declared once; what is read is checked against it.

Settings, results and keys that are not named here may be any JSON, so that a record of a later version still loads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, TypeAdapter, ValidationError

from cerolab.checks import FOLDER_NAME, LONGEST_FOLDER_NAME
from cerolab.errors import RecordError
from cerolab.records.schema import SCHEMA_VERSION, TABLES

_INT64 = 2**63 - 1
Name = Annotated[str, StringConstraints(pattern=f"^{FOLDER_NAME}$", max_length=LONGEST_FOLDER_NAME)]
_LONGEST = 100_000  # characters of a text
Text = Annotated[str, StringConstraints(max_length=_LONGEST)]
Whole = Annotated[int, Field(ge=-_INT64, le=_INT64)]
Size = Annotated[int, Field(ge=1, le=_INT64)]
Count = Annotated[int, Field(ge=0, le=_INT64)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    """A part of a record: of these types exactly, other keys are any JSON."""

    model_config = ConfigDict(strict=True, extra="allow", protected_namespaces=())
    __pydantic_extra__: dict[str, JsonValue]


class Problem(_Part):
    """``AllocationProblem.to_dict()``."""

    num_prompts: Size
    num_rounds: Size
    budget: Size
    capacity: Size
    max_units: Size = 1
    responses_per_unit: Size = 1
    saturation: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    token_budget: Size | None = None
    max_tokens: Size | None = None


class Scenario(_Part):
    """The world of a run: study, population, dynamics, rewards and lengths of a simulation, task and model of a
    training.
    """

    study: Text = ""
    population: Text = ""
    dynamics: Text = ""
    rewards: Text = ""
    lengths: Text = ""
    task: Text = ""
    model: Text = ""


class Provenance(_Part):
    """Of which code, on which machine."""

    commit: Text | None = None
    dirty: bool | None = None
    versions: dict[str, Text] = {}
    machine: dict[str, JsonValue] = {}


class Results(_Part):
    """Numbers of a run; null where a number does not exist."""

    units_spent: Count | None = None
    unspent_units: Count | None = None
    responses: Count | None = None
    tokens: Count | None = None
    unspent_tokens: Count | None = None
    updates: Count | None = None
    rounds: Count | None = None
    rounds_spent: Count | None = None
    groups: Count | None = None
    effective_groups: Count | None = None
    effective_group_rate: Number | None = None
    peak_pacing_gap_responses: Number | None = None
    final_pacing_gap_responses: Number | None = None
    value: Number | None = None
    optimum: Number | None = None
    optimum_kind: Text | None = None
    regret: Number | None = None
    regret_per_prompt: Number | None = None
    least_regret_per_prompt: Number | None = None
    variation: Number | None = None
    estimation_error: Number | None = None
    bound_total: Number | None = None
    bound_optimisation: Number | None = None
    bound_estimation: Number | None = None
    bound_variation: Number | None = None
    heldout_start: Number | None = None
    heldout_end: Number | None = None
    seconds: Number | None = None
    seconds_allocate: Number | None = None
    seconds_rollout: Number | None = None
    seconds_train: Number | None = None


class Resumed(_Part):
    """A start that went on with the run: when, and after which round."""

    at: Text
    round: Count


class RunInfo(_Part):
    """run.json."""

    schema_version: Literal[1]
    source: Name
    experiment: Name
    run_id: Name
    method: Name
    options: dict[str, JsonValue]
    problem: Problem
    seed: Whole
    scenario: Scenario
    detail: list[Literal[tuple(TABLES)]]  # type: ignore[valid-type]
    provenance: Provenance
    started: Text
    finished: Text | None
    status: Literal["running", "finished", "failed"]
    results: Results
    resolved_options: dict[str, JsonValue] = {}
    resumed: list[Resumed] = []
    error: Text = ""
    traceback: Text = ""
    plugin: dict[str, JsonValue] = {}  # digests of an allocator's code, by module


class ExperimentInfo(_Part):
    """experiment.json: the settings that all runs of the experiment share."""

    schema_version: Literal[1]


_WORDS = {
    "string_type": "is no text",
    "int_type": "is no whole number",
    "int_from_float": "is no whole number",
    "float_type": "is no number",
    "finite_number": "is no finite number",
    "bool_type": "is neither true nor false",
    "dict_type": "is no JSON object",
    "model_type": "is no JSON object",
    "list_type": "is no JSON list",
    "string_pattern_mismatch": "cannot be a folder name",
}


def text(words: str) -> str:
    """What a record can hold of an error: its end where it is too long, since there stands what was raised last."""
    return words.encode("utf-8", "backslashreplace").decode()[-_LONGEST:]


def checked_info(info: Any, where: object) -> dict[str, Any]:
    """``info`` itself, if it is a run.json of this schema version.

    Raises:
        RecordError: names the file and the field.
    """
    return _checked(_RUN, info, where, "is it a run record?")


def checked_experiment(info: Any, where: Path) -> dict[str, Any]:
    """``info`` itself, if it is an experiment.json of this schema version.

    Raises:
        RecordError: names the file and the field.
    """
    return _checked(_EXPERIMENT, info, where, "is it the folder of an experiment?")


_RUN, _EXPERIMENT = TypeAdapter(RunInfo), TypeAdapter(ExperimentInfo)


def _checked(kind: TypeAdapter[Any], info: Any, where: object, question: str) -> dict[str, Any]:
    if not isinstance(info, dict):
        raise RecordError(f"{where} holds no JSON object; {question}")
    version = info.get("schema_version")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise RecordError(f"{where}: schema_version is {_short(version)}, this cerolab reads {SCHEMA_VERSION}")
    try:
        kind.validate_python(info)
    except ValidationError as invalid:
        raise RecordError(f"{where}: {_explained(invalid)}; {question}") from None
    return info


def _explained(invalid: ValidationError) -> str:
    """The first fault: field, value and what is wrong with it, on one line."""
    fault = invalid.errors(include_url=False, include_context=False)[0]
    field = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "missing":
        return f"{field} is missing"
    said = fault["msg"].replace("Input should be", "should be")
    return f"{field}={_short(fault['input'])} {_WORDS.get(fault['type'], said)}"


def _short(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:50]}... ({len(text):,} characters)"
