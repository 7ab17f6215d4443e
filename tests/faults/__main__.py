"""``python -m tests.faults``: kill sweeps and trainings at random moments, compare, and write down how it went."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

os.environ["OMP_NUM_THREADS"] = "1"  # sums in one order everywhere

from cyclopts import Parameter
from rich.console import Console

from cerolab.cli import launch
from cerolab.errors import CerolabError
from cerolab.records import provenance
from cerolab.records.files import read_json, write_json
from tests.faults.kills import Tally, Target, fork, kill_until_done
from tests.faults.records import leftovers
from tests.faults.targets import SWEEP, TRAINING, Sweep, Training, make_model, shown

HELP = """Kill a sweep of the simulator and a training with SIGKILL at random moments, start each again until it is
done, and compare it with an uninterrupted one: the same records but for times, the same budget, no run counted twice,
nothing half-written counted as a result. Writes OUT/kills.json; ends with an error where anything differs.
"""


def faults(
    *,
    kills: int = 60,
    cold: int = 12,
    seed: int = 0,
    only: Annotated[tuple[str, ...], Parameter(negative=())] = ("sweep", "training"),
    out: Path = Path("results/faults"),
) -> None:
    """Kill, resume, compare.

    Parameters
    ----------
    kills
        Of each, in children that have everything imported: half by time, half just before a file operation.
    cold
        Of each besides, of a command in a fresh interpreter, by time.
    seed
        Of the moments.
    only
        sweep, training or both.
    out
        Folder of kills.json.
    """
    console, found = Console(), {}
    for name, settings in (("sweep", SWEEP), ("training", TRAINING)):
        if name not in only:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            target = _target(name, Path(scratch))
            counted = _killed(target, Path(scratch), kills, cold, seed)
            found[name] = {"seed": seed, "settings": shown(settings), **counted, "provenance": provenance()}
        console.print(
            f"{name}, seed {seed}: {found[name]['kills']} kills, {found[name]['runs']} runs brought to their end, "
            f"{len(found[name]['mismatches'])} mismatches"
        )
    out.mkdir(parents=True, exist_ok=True)
    file = out / "kills.json"
    write_json(file, {**(read_json(file) if file.exists() else {}), **found})  # one of the two can be done again
    if any(one["mismatches"] for one in found.values()):
        raise CerolabError(f"a killed run did not end as the uninterrupted one; see {out / 'kills.json'}")


def _target(name: str, scratch: Path) -> Target:
    if name == "sweep":
        import sim.engine  # noqa: F401  (the children need not)

        return Sweep()
    import llm.run  # noqa: F401

    # In a child: a process that has computed gradients does not fork well.
    if os.waitpid(fork(lambda: make_model(scratch / "model"), scratch / "log"), 0)[1]:
        raise CerolabError(f"the model could not be made: {(scratch / 'log').read_text()[-2000:]}")
    return Training(scratch / "model")


def _killed(target: Target, scratch: Path, kills: int, cold: int, seed: int) -> dict[str, Any]:
    began, tallies = time.perf_counter(), []
    for number, is_cold in ((kills, False), (cold, True)):
        if number:
            folder = scratch / f"cold-{is_cold}"
            folder.mkdir()
            tallies.append(kill_until_done(target, folder, number, seed, is_cold, _progress))
    together = Tally()
    for tally in tallies:
        together.kills += tally.kills
        together.states += tally.states
        together.runs += tally.runs
        together.comparisons += tally.comparisons
        together.mismatches += tally.mismatches
    return {
        "kills": together.kills.total(),
        "moments": dict(sorted(together.kills.items())),
        "what the kills left": dict(sorted(together.states.items())),
        "runs": together.runs,
        "comparisons": together.comparisons,
        "left behind, never read": leftovers(scratch),
        "mismatches": together.mismatches,
        "seconds": round(time.perf_counter() - began),
    }


def _progress(tally: Tally) -> None:
    kills, ends = tally.kills.total(), tally.runs
    print(f"{kills} kills, brought to its end {ends} times, {len(tally.mismatches)} mismatches", flush=True)


if __name__ == "__main__":
    launch(faults, "python -m tests.faults", HELP)
