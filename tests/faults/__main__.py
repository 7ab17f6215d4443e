"""``python -m tests.faults``: kill sweeps and trainings, compare, and write down how it went."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

os.environ["OMP_NUM_THREADS"] = "1"  # sums in one order everywhere

from pydantic import Field
from rich.console import Console

from cerolab.errors import CerolabError
from cerolab.records import provenance
from cerolab.records.files import read_json, write_json
from cerolab.tools.command_line import launch
from cerolab.tools.settings import NoRepeats, Seed, one_of
from tests.faults.kills import Tally, Target, fork, kill_at_every_operation, kill_until_done
from tests.faults.records import leftovers
from tests.faults.targets import STACK, SWEEP, TRAINING, Sweep, Training, make_model, shown

SETTINGS = {"sweep": SWEEP, "stack": STACK, "training": TRAINING}
HELP = """Kill sweeps of the simulator, with seeds one by one and at once, and a training with SIGKILL at random
moments (commands by turns alone, with their workers, and alone by SIGTERM), start each again until it is done, and
compare it with an uninterrupted one: the same records but for times, the same budget, no run counted twice, nothing
half-written counted as a result. With --every each file operation has its kill instead. Writes OUT/kills.json; ends
with an error where anything differs.
"""


def faults(
    *,
    kills: Annotated[int, Field(ge=0)] = 60,
    cold: Annotated[int, Field(ge=0)] = 12,
    seed: Seed = 0,
    every: Annotated[int, Field(ge=0)] = 0,
    only: Annotated[tuple[Annotated[str, one_of("target", SETTINGS)], ...], NoRepeats] = tuple(SETTINGS),
    out: Path = Path("results/faults"),
) -> None:
    """Kill, resume, compare.

    Parameters
    ----------
    kills
        Of each, in children that have everything imported: half by time, half just before a file operation.
    cold
        Of each besides, of a command in a fresh interpreter, by time: by turns of it alone, with its workers, and alone
        by SIGTERM.
    seed
        Of the moments.
    every
        Instead of KILLS and COLD: one kill just before each EVERY-th file operation, of an undisturbed start.
    only
        sweep, stack or training, or several.
    out
        Folder of kills.json.
    """
    console, found = Console(), {}
    for name, settings in SETTINGS.items():
        if name not in only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            scratch = Path(folder)
            target, began = _target(name, scratch), time.perf_counter()
            if every:
                key, how = f"{name}, file operations one by one", {"every": every}
                tally = kill_at_every_operation(target, _empty(scratch / "every"), every, _progress)
            else:
                key, how = name, {"seed": seed}
                tally = kill_until_done(target, _empty(scratch / "warm"), kills, seed, False, _progress)
                if cold:
                    tally += kill_until_done(target, _empty(scratch / "cold"), cold, seed, True, _progress)
            seconds = round(time.perf_counter() - began)
            found[key] = {**how, "settings": shown(settings), **_counted(tally), "seconds": seconds}
            found[key] |= {"left behind, never read": leftovers(scratch), "provenance": provenance()}
        console.print(
            f"{key}, {how}: {found[key]['kills']} kills, {found[key]['runs']} runs brought to their end, "
            f"{len(found[key]['mismatches'])} mismatches"
        )
    out.mkdir(parents=True, exist_ok=True)
    file = out / "kills.json"
    write_json(file, {**(read_json(file) if file.exists() else {}), **found})  # one of them can be done again
    if any(one["mismatches"] for one in found.values()):
        raise CerolabError(f"a killed run did not end as the uninterrupted one; see {out / 'kills.json'}")


def _target(name: str, scratch: Path) -> Target:
    if name != "training":
        import sim.experiment.engine  # noqa: F401  (the children need not)

        return Sweep(SETTINGS[name], name)
    import llm.training.run  # noqa: F401

    # In a child: a process that has computed gradients does not fork well.
    if os.waitpid(fork(lambda: make_model(scratch / "model"), scratch / "log"), 0)[1]:
        raise CerolabError(f"the model could not be made: {(scratch / 'log').read_text()[-2000:]}")
    return Training(scratch / "model")


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _counted(tally: Tally) -> dict[str, Any]:
    return {
        "kills": tally.kills.total(),
        "moments": dict(sorted(tally.kills.items())),
        "what the kills left": dict(sorted(tally.states.items())),
        "runs": tally.runs,
        "comparisons": tally.comparisons,
        "mismatches": tally.mismatches,
    }


def _progress(tally: Tally) -> None:
    kills, ends = tally.kills.total(), tally.runs
    print(f"{kills} kills, brought to its end {ends} times, {len(tally.mismatches)} mismatches", flush=True)


if __name__ == "__main__":
    launch(faults, "python -m tests.faults", HELP)
