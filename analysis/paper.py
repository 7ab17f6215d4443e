"""Every figure and table of the paper from the committed records: ``python -m analysis.paper``."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from tqdm import tqdm

from analysis.agreement.page import find_agreement
from analysis.command import says_errors
from analysis.data.load import Runs, load_runs, load_setting
from analysis.data.results import results_frame
from analysis.figures import OF_SETTING, OF_STUDY
from analysis.plotting.draw import FigureModule, save
from analysis.tables.paper_tables import ablations, main_results, mechanisms
from analysis.tables.same import same_file
from cerolab.errors import RecordError
from cerolab.records.files import read_json, write_bytes, write_json, write_text
from cerolab.tools.command_line import start
from cerolab.tools.settings import FolderToFill

ROOT = Path(__file__).resolve().parents[1]
MANIFEST = "manifest.json"

_SWEEP = "sim/regret_sweep"
_PAPER_SCALE = "sim/paper_scale"
_LEADERBOARD = "sim/leaderboard"  # drawn where it is
_REPLICAS, _TRAININGS = "sim/replica-*", "llm/study-*"
_SIDE_BY_SIDE = 2  # panels of a setting, at most, for all settings to share a file

app = App(
    name="python -m analysis.paper",
    help="Redraw every figure and table of the paper from the committed records, and from nothing else.",
    version_flags=[],
    help_epilogue="Example: python -m analysis.paper --check",
)


def make_paper(results: Path, out: Path, quiet: bool = True) -> dict[str, Any]:
    """Draw all figures and write all tables into ``out``, which must be new or empty; returns the manifest.

    Raises:
        RecordError: an experiment is missing, or a record is damaged; names folder or file.
    """
    leaderboards = sorted(results.glob(_LEADERBOARD))
    sweep = load_runs(_experiment(results, _SWEEP), *leaderboards)
    simulated = load_setting(_experiment(results, _PAPER_SCALE))
    trainings = [load_setting(folder) for folder in sorted(results.glob(_TRAININGS))]
    if not trainings:
        raise RecordError(f"{results / 'llm'}: no study; make it with `python -m llm.study`")
    replicas = {folder.name: load_setting(folder) for folder in sorted(results.glob(_REPLICAS))}
    settings = [simulated, *trainings, *replicas.values()]
    jobs = [*_study_figures(sweep), *_setting_figures(settings)]
    for stem, figure, shown in tqdm(jobs, desc="figures", unit="figure", disable=quiet):
        save(figure, shown, out / stem, "pdf")
    main_results(trainings).save(out)
    ablations(trainings, results_frame(sweep.study("horizon"))).save(out)
    mechanisms([simulated, *trainings]).save(out)
    for training in trainings:
        name = _name(training).removeprefix("study-")
        if f"replica-{name}" in replicas:
            agreement = find_agreement(training, replicas[f"replica-{name}"])
            write_text(out / f"agreement-{name}.md", agreement.markdown())
            agreement.draw(out / f"agreement-{name}", "pdf")
    manifest = {
        "inputs": _hashes(results, _inputs([sweep, *settings])),
        "outputs": sorted(file.name for file in out.iterdir()),  # their bytes are this machine's
        "made_with": {package: metadata.version(package) for package in ("matplotlib", "numpy", "pandas", "scipy")},
    }
    write_json(out / MANIFEST, manifest)
    return manifest


def differences(committed: Path, fresh: Path) -> list[str]:
    """What is not the same in two folders made by ``make_paper``: other records, or files that say something else.

    Records must be the same to the byte, as in every checkout; what is made of them as ``same_file`` says, since two
    machines may have made it.
    """
    if not (committed / MANIFEST).exists():
        return [f"{committed / MANIFEST} is missing"]
    old, new = read_json(committed / MANIFEST), read_json(fresh / MANIFEST)
    found = [
        f"{name}: {'changed' if name in old['inputs'] and name in new['inputs'] else 'added or removed'}"
        for name in sorted({*old["inputs"], *new["inputs"]})
        if old["inputs"].get(name) != new["inputs"].get(name)
    ]
    for name in sorted({*old["outputs"], *new["outputs"]}):
        if not ((committed / name).exists() and (fresh / name).exists()):
            found.append(f"{name}: made from records that changed, or no longer made")
        elif not same_file(committed / name, fresh / name):
            found.append(f"{name}: not what the records give")
    return found


def _study_figures(sweep: Runs) -> Iterator[tuple[str, FigureModule, list[Runs]]]:
    for stem, (figure, study) in OF_STUDY.items():
        of_study = sweep.study(study)
        if of_study.infos or study != _LEADERBOARD.partition("/")[2]:
            yield stem, figure, [of_study]


def _setting_figures(settings: list[Runs]) -> Iterator[tuple[str, FigureModule, list[Runs]]]:
    """(name, figure, settings in it): all settings side by side, or a file each where a figure has many panels."""
    for stem, figure in OF_SETTING.items():
        shown = [runs for runs in settings if not figure.missing(runs)]
        if all(len(figure.panels(runs)) <= _SIDE_BY_SIDE for runs in shown):
            yield stem, figure, shown
        else:
            yield from ((f"{stem}-{_name(runs)}", figure, [runs]) for runs in shown)


def _name(runs: Runs) -> str:
    return next(iter(runs.folders.values())).name


def _experiment(results: Path, name: str) -> Path:
    folder = results / name
    if not folder.is_dir():
        raise RecordError(f"{folder} does not exist; make it with `python -m sim.{folder.name}`")
    return folder


def _inputs(loaded: list[Runs]) -> list[Path]:
    """Records of the runs that were read: the packed files of an experiment, else run.json and tables of each run."""
    found: set[Path] = set()
    for runs in loaded:
        for folder in set(runs.folders.values()):
            packed = set(folder.glob("*.parquet"))
            loose = [] if packed else [folder / run_id for run_id, at in runs.folders.items() if at == folder]
            found |= packed | {file for run in loose for file in (run / "run.json", *run.glob("*.parquet"))}
    return sorted(found)


def _hashes(root: Path, files: list[Path]) -> dict[str, str]:
    return {file.relative_to(root).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@app.default
@says_errors
def main(
    *,
    check: Annotated[
        bool, Parameter(help="Change nothing; fail if OUT is not what the records give.", negative="")
    ] = False,
    out: Annotated[FolderToFill, Parameter(help="Folder of the figures and tables.", show_default=False)] = ROOT
    / "paper_figs",
    results: Annotated[Path, Parameter(help="Folder of the records.", show_default=False)] = ROOT / "results",
    quiet: Annotated[bool, Parameter(help="No progress bar.", negative="")] = False,
) -> int:
    """Redraw every figure and table of the paper from the committed records, and from nothing else."""
    with tempfile.TemporaryDirectory() as made:
        fresh = Path(made)
        manifest = make_paper(results, fresh, quiet)
        if check:
            changed = differences(out, fresh)
            for line in changed:
                print(line, file=sys.stderr)
            if changed:
                print(f"{out} is not up to date with the records; run `python -m analysis.paper`", file=sys.stderr)
                return 1
            print(f"{out} is up to date: {len(manifest['outputs'])} files from {len(manifest['inputs'])} records")
            return 0
        replace(out, fresh)
    print(f"{len(manifest['outputs'])} figures and tables of {len(manifest['inputs'])} records: {out}")
    return 0


def replace(out: Path, fresh: Path) -> None:
    """Put the files of ``fresh`` into ``out``, and remove those that an earlier run made and this one did not.

    Raises:
        RecordError: ``out`` has files but no manifest, so they are not ours to replace.
    """
    if out.exists() and any(out.iterdir()) and not (out / MANIFEST).exists():
        raise RecordError(f"{out} is not empty and was not made by this command; choose another --out")
    if (out / MANIFEST).exists():
        for name in read_json(out / MANIFEST)["outputs"]:
            (out / name).unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    for file in sorted(fresh.iterdir()):
        write_bytes(out / file.name, file.read_bytes())


if __name__ == "__main__":
    start(app)
