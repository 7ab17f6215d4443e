"""When vLLM gets weights and when it sleeps, with a stand-in for vLLM under TRL's own code."""

import pytest

from tests.llm.scripted import Rounds
from tests.llm.small import allocated, problem, run
from tests.llm.stub_vllm import ALL, stub_vllm

ENGINE = {"use_vllm": True, "vllm_mode": "colocate", "vllm_max_model_length": 64}


def trained(folder, rounds, **given):
    sizes = problem(num_rounds=len(rounds), budget=8 * len(rounds), max_units=2)
    with stub_vllm():
        trainer = allocated(folder, allocator=Rounds(sizes, rounds, untrained=9), **ENGINE, **given)
    trainer.vllm_generation.llm.respond = lambda prompts: [[3 + 7 * i % 40, 2] for i in range(len(prompts))]
    run(trainer)
    return trainer, trainer.vllm_generation.llm


FULL, TWO_WAVES, NOBODY, UNTRAINED = [{1: 2, 2: 1}], [{3: 1}, {4: 2}], [{}], [{9: 2}]


@pytest.mark.parametrize(
    ("rounds", "syncs"),
    [
        ([FULL, FULL, FULL], 3),
        ([FULL, NOBODY, NOBODY, FULL, FULL], 3),
        ([NOBODY, FULL, NOBODY], 1),
        ([FULL, UNTRAINED, UNTRAINED, FULL], 2),  # responses without an update: the first update is seen, no other
        ([TWO_WAVES, TWO_WAVES], 2),
    ],
)
def test_weights_are_sent_once_after_an_update_and_never_without(tmp_path, rounds, syncs):
    _, llm = trained(tmp_path, rounds)
    assert llm.syncs == syncs


def test_what_vllm_has_is_what_the_learner_had_before_its_last_update(tmp_path):
    trainer, llm = trained(tmp_path / "a", [FULL, NOBODY, UNTRAINED, FULL])
    before, _ = trained(tmp_path / "b", [FULL, NOBODY, UNTRAINED])
    for name, weight in before.model.named_parameters():
        assert weight.detach().equal(llm.loaded[name]), name
    assert any(not weight.detach().equal(llm.loaded[name]) for name, weight in trainer.model.named_parameters())


@pytest.mark.parametrize("steps", [2, 4])
def test_of_several_updates_a_round_one_that_is_idle_hides_none(tmp_path, steps):
    given = {"per_device_train_batch_size": 32 // steps, "gradient_accumulation_steps": 1}
    trainer, llm = trained(tmp_path, [[{1: 1}], NOBODY, FULL], steps_per_generation=steps, **given)
    assert trainer.state.global_step == 3 * steps
    assert llm.syncs == 2


def test_vllm_sleeps_between_the_waves(tmp_path):
    """Its weights are gone then, so that each wave sends them again; an idle round wakes nothing."""
    _, llm = trained(tmp_path, [FULL, NOBODY, TWO_WAVES], vllm_enable_sleep_mode=True)
    assert llm.calls == ["sleep", *3 * ["sync", "generate", "sleep"]]
    assert not llm.awake


def test_a_process_of_fillers_syncs_where_the_others_do_and_sleeps_again(tmp_path):
    trainer, llm = trained(tmp_path, [FULL], vllm_enable_sleep_mode=True)
    llm.calls.clear()
    trainer.state.global_step += 1
    assert trainer._generate_nothing() == ([], [])
    assert trainer._generate_nothing() == ([], [])  # a second wave: the others sync again, having slept
    assert llm.calls == ["sync", "sleep", "sync", "sleep"]
    assert not llm.awake
    assert trainer.vllm_generation._llm_weights_sleeping


def test_without_sleep_mode_it_syncs_after_an_update_only(tmp_path):
    trainer, llm = trained(tmp_path, [FULL])
    llm.calls.clear()
    trainer.state.global_step += 1
    assert trainer._generate_nothing() == trainer._generate_nothing() == ([], [])
    assert llm.calls == ["sync"]
    assert llm.awake == ALL


def test_an_evaluation_uses_the_present_weights(tmp_path):
    trainer, llm = trained(tmp_path, [FULL], vllm_enable_sleep_mode=True)
    llm.calls.clear()
    assert trainer.generate_with_vllm([[3, 4]], 0.5, 2) == [[3, 2]]
    assert llm.calls == ["sync", "generate", "sleep"]
    for name, weight in trainer.model.named_parameters():
        assert weight.detach().equal(llm.loaded[name]), name
