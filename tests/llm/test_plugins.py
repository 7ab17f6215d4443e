"""Own allocators in real training: an edited one is another run, which is said; own runs stay apart from committed."""

from __future__ import annotations

import logging

import pytest

from cerolab.records import RunWriter, own, read_infos, read_run
from llm.study import StudySettings, _missing
from llm.training.run import run_training
from llm.training.session import prepare
from tests.llm.small import learned_model
from tests.llm.test_session import HELDOUT, POOL, settings
from tests.test_plugins import TEMPLATE, plugin

__all__ = ["plugin"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return learned_model(tmp_path_factory.mktemp("model"), POOL, HELDOUT)


def test_a_training_whose_allocator_was_edited_is_a_run_of_its_own_and_says_so(model, tmp_path, plugin, caplog):
    plugin(TEMPLATE)
    given = settings(model, tmp_path, allocator="mine", plugins=("mine",), eval_every=0, final_samples=0)
    session = prepare(given)
    RunWriter(given.directory, session.run, {}).close()  # one that was stopped
    plugin(TEMPLATE.replace("np.argsort(self", "np.argsort(-self"))
    with caplog.at_level(logging.WARNING):
        trained = run_training(prepare(given), quiet=True)
    assert trained != session.directory
    assert f"the code of mine has changed since run {session.run.run_id} (running)" in caplog.text
    assert read_run(session.directory, unfinished=True).info["status"] == "running"
    assert set(read_run(trained).info["plugin"]) == {"mine"}
    plugin(TEMPLATE)  # the change undone: the first run goes on
    assert prepare(given).directory == session.directory


def test_own_trainings_go_beside_a_committed_study_whose_runs_count_as_done(model, tmp_path, plugin, monkeypatch):
    plugin(TEMPLATE)
    small = {"num-rounds": 2, "budget": 16, "num-prompts": POOL, "num-heldout": HELDOUT, "model": str(model)}
    small |= {"eval-every": 0, "final-samples": 0, "batch-size": 16}
    given = {"out": tmp_path, "tasks": ("arithmetic(broad)",), "seeds": 1, "preset": "tiny", "settings": small}
    committed = tmp_path / "llm" / "study-arithmetic-broad"
    ((uniform,),) = StudySettings(**given, methods=("uniform",)).chains()
    run_training(prepare(uniform), quiet=True)
    monkeypatch.setattr(own, "is_committed", lambda directory: directory.resolve() == committed.resolve())
    asked = StudySettings(**given, methods=("uniform", "mine"), plugins=("mine",))
    (place,) = asked.directories().values()
    assert place == tmp_path / "own" / "llm" / "study-arithmetic-broad"
    ((mine,),) = _missing(asked.chains())
    assert mine.allocator == "mine"
    assert mine.directory == place
    run_training(prepare(mine), quiet=True)
    assert _missing(asked.chains()) == []
    assert {info["method"] for info in read_infos(place).values()} == {"mine"}
    assert {info["method"] for info in read_infos(committed).values()} == {"uniform"}
    from analysis.training import report_training

    report_training(place, tmp_path / "figures")
    assert "| mine" in (place / "summary.md").read_text().lower()
    assert "| uniform" in (place / "summary.md").read_text().lower()
    assert not (committed / "summary.md").exists()
    single = settings(model, tmp_path, name="study-arithmetic-broad", allocator="mine", plugins=("mine",))
    assert single.directory == place
    assert settings(model, tmp_path, name="study-arithmetic-broad", allocator="uniform").directory == committed
