"""How far the offline benchmark is from what a general solver (cvxpy) finds, in sentences."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from analysis.data.load import Runs


def offline_check(runs: Runs) -> str:
    """What the closed forms and cvxpy say of the same cells, and which solver failed where; "" if none was asked."""
    of_kind: dict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for info in runs.infos.values():
        results = info["results"]
        if results.get("cvxpy_solver") is not None:
            cell = repr((info["scenario"], info["problem"], info["seed"]))
            of_kind[results["cvxpy_kind"]][cell] = results
    return " ".join(_sentence(kind, list(cells.values())) for kind, cells in sorted(of_kind.items(), reverse=True))


def _sentence(kind: str, found: list[Mapping[str, Any]]) -> str:
    """Of the cells of one kind of programme."""
    solved = [results for results in found if results["cvxpy_optimum"] is not None]
    solvers = " and ".join(sorted({results["cvxpy_solver"] for results in found}))
    count = f"{len(solved)} of {len(found)}" if len(solved) < len(found) else f"{len(found)}"
    text = f"Offline optimum by cvxpy ({kind}, {solvers}) in {count} cell{'s' if len(found) > 1 else ''}"
    if solved:
        apart = max(abs(_off(results["cvxpy_optimum"], results["cvxpy_closed_form"])) for results in solved)
        if kind.startswith("static"):
            text += f": at most {_size(apart)} from the closed form"
            whole = [_off(results["optimum"], results["cvxpy_closed_form"]) for results in solved]
            if any(abs(off) > 0 for off in whole):
                text += f", and regret's optimum in whole units at most {_size(max(map(abs, whole)))} below it"
        else:
            text += f": the bound that stands for it is at most {_size(apart)} above"
    failed = sorted({results["cvxpy_status"] for results in found if results["cvxpy_optimum"] is None})
    return f"{text}{'; it failed elsewhere: ' + ', '.join(failed) if failed else ''}."


def _off(value: float, closed: float) -> float:
    """Relative difference; of two zeros none."""
    return 0.0 if value == closed else (value - closed) / closed


def _size(relative: float) -> str:
    """``3e-9``, of the optimum; what double precision cannot tell from nothing is 1e-12."""
    return f"{max(relative, 1e-12):.0e}".replace("e-0", "e-")
