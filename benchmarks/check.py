"""``python -m benchmarks.check``: measure the quick benchmarks again, compare their ratios with the committed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from analysis.command import says_errors
from benchmarks.measure import ROOT, Ratio, measure, ratios
from cerolab.errors import RecordError
from cerolab.records.files import read_json
from cerolab.tools.command_line import start

TOLERANCE = 1.5  # times the committed ratio
_MORE_CHANCES = 2
_REMEDY = "run `make bench` on a machine without other work and commit results/bench"

Ratios = Mapping[str, Ratio]

app = App(
    name="python -m benchmarks.check",
    help="Measure the quick benchmarks again, two minutes; fail where a ratio is 1.5 times the committed one.",
    version_flags=[],
)


def committed_ratios(summary: Path) -> dict[str, float]:
    """The ratios of a summary.json that are checked, by name.

    Raises:
        RecordError: there is none, or it has no ratios.
    """
    rows = read_json(summary).get("ratios")
    if not isinstance(rows, list) or not rows:
        raise RecordError(f"{summary}: 'ratios' is missing, empty or no list; {_REMEDY}")
    try:
        return {row["name"]: float(row["value"]) for row in rows if not row["slow"]}
    except (TypeError, KeyError, ValueError) as error:
        raise RecordError(f"{summary}: a ratio has no name, value or 'slow' ({error!r}); {_REMEDY}") from None


def unmatched(committed: Mapping[str, float], fresh: Ratios) -> list[str]:
    """Ratios that only one side has."""
    new = [f"{name}: measured, but not committed; {_REMEDY}" for name in fresh if name not in committed]
    gone = [f"{name}: committed, but no longer measured; {_REMEDY}" for name in committed if name not in fresh]
    return new + gone


def worse(committed: Mapping[str, float], fresh: Ratios) -> dict[str, str]:
    """What to say of each ratio that is more than ``TOLERANCE`` times the committed one, by name."""
    return {
        name: f"{name}: {ratio.value:.3g}, committed {committed[name]:.3g}: {ratio.value / committed[name]:.2f} times "
        f"as much, {TOLERANCE} are allowed"
        for name, ratio in fresh.items()
        if not ratio.value <= TOLERANCE * committed[name]
    }


def complaints(committed: Mapping[str, float], measured: Callable[..., Ratios]) -> list[str]:
    """What is wrong with the ratios as ``measured()`` gives them; what is worse has two more chances.

    A regression is there each time; a page of memory in the wrong place, or other work, is not.

    Args:
        committed: ratios by name.
        measured: measures all quick benchmarks, or those that it is given.
    """
    fresh = measured()
    if lines := unmatched(committed, fresh):
        return lines
    late = worse(committed, fresh)
    for _ in range(_MORE_CHANCES):
        if not late:
            break
        print("Once more, as other work on the machine may be to blame:", *late.values(), sep="\n  ")
        again = measured(*sorted({fresh[name].test for name in late}))
        late = worse(committed, {name: again.get(name, fresh[name]) for name in late})
    return list(late.values())


def _measured(*tests: str) -> Ratios:
    return {ratio.name: ratio for ratio in ratios(measure(*tests).timings)}


@app.default
@says_errors
def check(
    *, summary: Annotated[Path, Parameter(show_default=False)] = ROOT / "results" / "bench" / "summary.json"
) -> int:
    """Measure the quick benchmarks again, two minutes; fail where a ratio is 1.5 times the committed one.

    Parameters
    ----------
    summary
        The committed ratios; results/bench/summary.json by default.
    """
    committed = committed_ratios(summary)
    lines = complaints(committed, _measured)
    for line in lines:
        print(line, file=sys.stderr)
    if not lines:
        print(f"{len(committed)} ratios are at most {TOLERANCE} times the committed ones")
    return 1 if lines else 0


if __name__ == "__main__":
    start(app)
