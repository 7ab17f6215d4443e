"""The contract as a user's test: an allocator that breaks a rule is told which, and how; the template breaks none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cerolab import AllocationProblem, registry
from cerolab.errors import UnknownNameError
from cerolab.testing import RULES, BrokenRuleError, check_allocator, report_on
from cerolab.testing.check import scenarios
from tests.test_regret_sweep import lend_registry

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = (ROOT / "examples" / "least_visited.py").read_text()
SMALL = AllocationProblem(num_prompts=12, num_rounds=5, budget=30, capacity=7, max_units=2, responses_per_unit=3)


def replaced(old: str, new: str) -> str:
    assert old in TEMPLATE
    return TEMPLATE.replace(old, new, 1)


def first(code: str) -> str:
    """The template with a line at the beginning of ``_select``."""
    return replaced("        chosen = ", f"        {code}\n        chosen = ")


def last(code: str) -> str:
    """The template with a line at the end of ``_learn``."""
    line = "        self.exposure_M[allocation.prompts] += allocation.units\n"
    return replaced(line, f"{line}        {code}\n")


def score(code: str) -> str:
    """The template with other scores."""
    return replaced("np.argsort(self.exposure_M,", f"np.argsort({code},")


def method(head: str, *body: str) -> str:
    """The template with a method more."""
    code = "\n        ".join((f"    def {head}:", *body))
    return replaced("    def _arrays(self):", f"{code}\n\n    def _arrays(self):")


# Rule that is broken, the template as it breaks it, and words that tell how.
BROKEN = [
    ("interface", replaced("    def _select", "    done = True\n\n    def _select"), "done is True before the first"),
    ("feasible", replaced("np.ones(chosen.size", "np.full(chosen.size, 9"), "prompt"),
    ("feasible", replaced("self.even_quota()", "10**6"), "capacity"),
    ("select_changes_nothing", first("self.exposure_M[0] += 1"), "allocate() changed exposure of the state"),
    ("select_changes_nothing", first("self.calls = vars(self).get('calls', 0) + 1"), "it changes self.calls"),
    ("no_nan", score("self.exposure_M * 0.0 / 0.0"), "FloatingPointError: invalid value"),
    ("no_nan", score("self.exposure_M * float('nan')"), "argsort() of nan at"),
    ("no_nan", first("np.lexsort((self.exposure_M, self.exposure_M * np.nan))"), "lexsort() of nan at"),
    ("no_nan", first("sorted([0.5, float('nan')])"), "sorted() of nan at"),
    ("no_nan", first("sorted(range(3), key=lambda i: (i, np.nan))"), "sorted() of nan at"),
    ("no_nan", first("max(range(3), key=(self.exposure_M * np.nan).__getitem__)"), "max() of nan at"),
    ("no_nan", first("import heapq; heapq.nlargest(2, [0.5, float('nan'), 1.0])"), "of nan at"),
    ("no_nan", first("[0.5, float('nan')].sort()"), "sort() of nan at"),
    ("no_nan", last("self.score_M = self.exposure_M * np.nan"), "self.score_M has nan"),
    ("steps_take_no_turns", last("self.allocate()"), "_learn called allocate()"),
    ("done_admits_nobody", replaced("    def _select", "    done = False\n\n    def _select"), "not done after"),
    ("turns", method("observe(self, a, f)", "return"), "before allocate() was taken"),
    ("seeded", first("np.random.random()"), "NumPy's global generator"),
    ("seeded", first("import random; random.random()"), "Python's global generator"),
    ("seeded", score("np.random.default_rng().random(self.exposure_M.size)"), "decides otherwise the second time"),
    ("same_in_another_process", score("[hash(str(i)) for i in range(self.exposure_M.size)]"), "another process"),
    ("independent", replaced("    Options = Options\n", "    Options = Options\n    seen = []\n").replace(
        "        self.exposure_M[al", "        self.seen.append(1)\n        self.exposure_M[al").replace(
        "np.argsort(self.exposure_M,", "np.argsort(np.arange(self.exposure_M.size) * len(self.seen) % 7,"),
     "with another one beside it"),
    ("bad_feedback_is_refused", method(
        "observe(self, a, f)", "import cerolab", "super().observe(a, cerolab.Feedback(a.units * 0, a.units * 0))"),
     "nan rewards was taken"),
    ("feedback_is_only_read", method(
        "observe(self, a, f)", "super().observe(a, f)", "np.asarray(f.reward_sum)[:] = 0"), "writes into the feedback"),
    ("graded_rewards", last("assert feedback.binary"), "_learn raised AssertionError"),
    ("ungraded_responses", last("assert feedback.num_responses.all()"), "no response was graded in round 0"),
    ("predictions", method("predicted_success(self)", "return np.full(3, 2.0)"), "predicted_success() is no array of"),
    ("looking_changes_nothing", replaced("self.exposure_M.copy()", "self.exposure_M"), "read and written over"),
    ("metrics", method("metrics(self)", "return super().metrics() | {'price': 1}"), "['price'] is 1, no float"),
    ("training_mask", method("training_mask(self, waves)", "return np.ones(1, bool)"), "training_mask() has shape"),
    ("options_are_kept", method("options_dict(self)", "return {}"), "the state of another bonus is taken"),
    ("state_is_plain", replaced("self.exposure_M.copy()", "self.exposure_M"), "return copies"),
    ("resumes", last("self.late = vars(self).get('late', 0) + 1").replace(
        "np.argsort(self.exposure_M,", "np.argsort(self.exposure_M * (1 - vars(self).get('late', 0)),"),
     "is all that _select reads in _arrays()?"),
    ("can_be_taken_back", replaced('np.array(arrays["exposure"])', 'arrays["exposure"]'), "copy them in _load_arrays"),
    ("foreign_states_are_refused", method(
        "load_state_dict(self, state)", "self._load_arrays(state)", "self.remaining = int(state['remaining'])",
        "self.round_index = int(state['round_index'])"), "is taken"),
    ("extends", method("_joined(self, own, start)", "return start"), "changed exposures of the old prompts"),
]  # fmt: skip


def written(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str, module: str) -> str:
    """The name of an allocator whose module can be imported, also by other processes."""
    (folder / f"{module}.py").write_text(code.replace('name = "least_visited"', f'name = "{module}"'))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, module, raising=False)
    lend_registry(monkeypatch)
    registry.import_plugins([module])
    return module


@pytest.mark.parametrize(
    ("rule", "code", "words"), BROKEN, ids=[f"{rule}-{at}" for at, (rule, _, _) in enumerate(BROKEN)]
)
def test_a_broken_rule_is_found_and_named(tmp_path, monkeypatch, rule, code, words):
    at = next(index for index, case in enumerate(BROKEN) if case[1] is code)
    report = report_on(written(tmp_path, monkeypatch, code, f"broken_{at}"), rules=[rule])
    found = {result.rule.name: result.broken for result in report.broken}
    assert rule in found
    assert words in found[rule]
    with pytest.raises(BrokenRuleError) as caught:
        report.raise_if_broken()
    assert RULES[rule].words in str(caught.value)
    assert words in str(caught.value)


def test_every_rule_has_an_allocator_that_breaks_it():
    assert {rule for rule, _, _ in BROKEN} == set(RULES)


def test_a_round_that_never_ends_is_a_broken_rule_not_a_check_that_never_ends(tmp_path, monkeypatch):
    endless = replaced("np.ones(chosen.size, np.int64))", "np.ones(chosen.size, np.int64), last_wave=False)")
    name = written(tmp_path, monkeypatch, endless.replace("self.even_quota()", "0"), "endless")
    (result,) = report_on(name, rules=["feasible"]).broken
    assert "chose a wave without units that is not the round's last" in result.broken
    assert "endless.py, line" in result.broken


def test_the_template_breaks_none(tmp_path, monkeypatch):
    check_allocator(written(tmp_path, monkeypatch, TEMPLATE, "whole"), bonus=2.0)
    check_allocator("whole", problem=SMALL)


def test_what_keeps_what_follows_from_its_state_breaks_no_rule(tmp_path, monkeypatch):
    kept = first("self.order = np.argsort(self.exposure_M, kind='stable')")  # as often as it likes
    report_on(written(tmp_path, monkeypatch, kept, "keeps"), problem=SMALL).raise_if_broken()


def test_an_allocator_that_is_not_known_or_refuses_all_sizes_is_an_error_not_a_broken_rule():
    with pytest.raises(UnknownNameError, match="unknown allocator 'nobody'"):
        check_allocator("nobody")
    with pytest.raises(UnknownNameError, match="unknown option of 'uniform' 'speed'"):
        check_allocator("uniform", speed=3)


def test_sizes_that_a_method_does_not_serve_are_left_out():
    served = {scenario.problem.max_units for scenario in scenarios("hora", None, {"probe_units": 3})}
    assert served == {3}
    assert {scenario.problem.max_units for scenario in scenarios("hora", None, {})} == {2, 3}


def command(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cerolab", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "COLUMNS": "400"},
    )


def test_the_command_prints_every_rule_and_ends_with_1_where_one_is_broken(tmp_path):
    done = command("check", "least_visited(bonus=2)", "--plugins", "examples/least_visited.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("kept")] == [
        f"kept    {rule.words}" for rule in RULES.values()
    ]
    assert done.stdout.splitlines()[-1] == f"least_visited(bonus=2) keeps all {len(RULES)} rules"
    (tmp_path / "mine.py").write_text(first("self.exposure_M[0] += 1"))
    done = command("check", "least_visited", "--plugins", "mine.py", folder=tmp_path)
    assert done.returncode == 1
    assert f"broken  {RULES['select_changes_nothing'].words}" in done.stdout
    assert "allocate() changed exposure of the state" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "nobody"], "unknown allocator 'nobody'"),
        (["check", "uniform("], "allocator='uniform(' is not of the form"),
        (["check"], "ALLOCATOR"),
        (["check", "cero(speed=1)"], "unknown option of 'cero' 'speed'"),
        (["check", "mine", "--plugins", "not_there.py"], "plugins='not_there.py' does not exist"),
        (["check", "mine", "--plugins", "examples/json.py"], "does not exist"),
    ],
)
def test_what_cannot_be_checked_is_one_line(arguments, message):
    done = command(*arguments)
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
