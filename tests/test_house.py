"""Where things are: what the core may import, who knows TRL, that no folder grows without end."""

import ast
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("cerolab", "sim", "llm", "analysis")
FILES = [file.relative_to(ROOT) for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
NOT_CORE = ("cerolab/__main__.py", "cerolab/integrations/", "cerolab/records/", "cerolab/tools/")
CORE = [file for file in FILES if file.parts[0] == "cerolab" and not str(file).startswith(NOT_CORE)]
FAMILY = {"cero", "cero_fixed", "cero_greedy", "cero_preset", "dual_mirror_descent"}
MOST_FILES = 18
WIDE = {"cerolab/allocators": "a method is a file", "analysis/figures": "a figure is a file"}
COMMANDS = [
    "analysis.agreement",
    "analysis.leaderboard",
    "analysis.paper",
    "analysis.readme",
    "analysis.report",
    "analysis.scaling",
    "analysis.sweep",
    "analysis.training",
    "cerolab",
    "llm.evaluate",
    "llm.pretrain",
    "llm.study",
    "llm.train",
    "sim.leaderboard",
    "sim.paper_scale",
    "sim.regret_sweep",
    "sim.replica",
]


def imports(file: Path) -> set[str]:
    """Modules that a file imports at any place, and names that it takes from them as if they were modules."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: imports are absolute"
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("file", CORE, ids=str)
def test_the_core_imports_numpy_and_scipy_only(file):
    roots = {name.partition(".")[0] for name in imports(file)}
    assert roots - set(sys.stdlib_module_names) <= {"cerolab", "numpy", "scipy"}
    above = {name for name in imports(file) if name.startswith(("cerolab.integrations", "cerolab.tools"))}
    assert not above
    reads_records = any(name.startswith("cerolab.records") for name in imports(file))
    assert reads_records == (file.name == "random_matched.py")  # it plays back another run's schedule


def test_cerolab_is_imported_and_an_allocator_made_without_its_extras():
    extras = {
        "cyclopts",
        "matplotlib",
        "pandas",
        "pyarrow",
        "pydantic",
        "rich",
        "torch",
        "tqdm",
        "transformers",
        "yaml",
    }
    code = (
        "import sys; import cerolab; "
        "problem = cerolab.AllocationProblem(num_prompts=9, num_rounds=3, budget=9, capacity=3, max_units=1); "
        f"cerolab.make('cero', problem); print({extras!r} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"


def test_an_allocator_imports_no_other():
    names = {file.stem for file in (ROOT / "cerolab/allocators").glob("[!_]*.py")}
    for name in names:
        others = {
            other
            for other in names - {name}
            if f"cerolab.allocators.{other}" in imports(Path(f"cerolab/allocators/{name}.py"))
        }
        assert not others or {name, *others} <= FAMILY, f"{name} imports {others}"


def test_the_contract_names_every_allocator():
    contract = (ROOT / "pyproject.toml").read_text()
    for file in (ROOT / "cerolab/allocators").glob("[!_]*.py"):
        assert f'    "cerolab.allocators.{file.stem}",\n' in contract


def test_only_the_seam_knows_the_internals_of_trl():
    for file in FILES:
        inside = {name for name in imports(file) if name.startswith("trl.") and name != "trl.GRPOConfig"}
        assert not inside or str(file).startswith("cerolab/integrations/trl/"), f"{file} imports {inside}"


def test_the_seam_is_there_under_its_public_name_and_costs_nothing_before():
    code = "import sys; import cerolab.integrations.trl; print({'torch', 'trl', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"
    tree = ast.parse((ROOT / "cerolab/integrations/trl/trainer.py").read_text())
    assert "AllocatedGRPOTrainer" in {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    from cerolab.integrations import trl

    with pytest.raises(AttributeError, match="no attribute 'Allocated'"):
        _ = trl.Allocated


def test_no_folder_grows_without_end():
    counts = Counter(str(file.parent) for file in FILES if not file.name.startswith("__"))
    assert {folder: n for folder, n in counts.items() if n > MOST_FILES and folder not in WIDE} == {}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_stay_where_users_know_them(command):
    spec = find_spec(command)
    assert spec is not None
    main = Path(str(spec.origin))
    main = main.with_name("__main__.py") if main.name == "__init__.py" else main
    assert '__name__ == "__main__"' in main.read_text()
