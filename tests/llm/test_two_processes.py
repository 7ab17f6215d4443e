"""Two processes train what one would: the same allocations, rewards and ledger, weights up to rounding.

Responses are a function of their place in the run instead of samples, since each process samples from its own seed.
This file is a test and, under torchrun, the program of its two processes.
"""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from trl.trainer import grpo_trainer

from cerolab import make
from cerolab.integrations.trl.processes.agreement import DivergedError
from cerolab.records import find_runs, read_run
from llm.models.tiny import tiny_tokenizer
from tests.llm.scripted import Rounds, ScriptedTrainer
from tests.llm.small import config, digits, pool, problem, small_model, weights

ROOT = Path(__file__).resolve().parents[2]
LETTERS = range(3, 46)  # of the tokenizer; 2 ends a text


ROUNDS = (
    [{5: 1}],  # one response where g is 1: the second process has fillers only
    [{3: 2, 9: 1}],  # an odd number of them
    [{}],
    [{1: 2, 2: 2, 7: 1}, {2: 1, 8: 2}],  # prompt 2 goes on in the second wave
    [{4: 1}, {4: 2}],
    [{0: 2, 6: 2, 10: 2, 11: 1}],
    [{12: 3, 13: 1}],
)


class Scripted(ScriptedTrainer):
    """Its model's responses are written down."""

    shortest = 1  # tokens of a response

    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        self.model.generate = self.respond

    def respond(self, input_ids, **_):
        rows = []
        for rng in self.luck([[token for token in prompt if token] for prompt in input_ids.tolist()]):
            length = int(rng.integers(self.shortest, 7))
            rows.append([*rng.choice(LETTERS, length - 1), *([2] if length < 6 else rng.choice(LETTERS, 1))])
            rows[-1] += [0] * (6 - len(rows[-1]))
        return torch.cat([input_ids, torch.tensor(np.array(rows))], dim=1)


class Wordy(Scripted):
    """No response of its own is a filler's one token."""

    shortest = 2


class WithEngine(Scripted):
    """vLLM in the process, which has odd log-probabilities."""

    def __init__(self, *given, **named):
        engine = SimpleNamespace(generate=self.answer, mode="colocate", enable_sleep_mode=False)
        with patch.object(grpo_trainer, "VLLMGeneration", lambda **_: engine):
            super().__init__(*given, **named)
        self.vllm_generation.sync_weights = lambda: None

    def answer(self, prompts, **_):
        width = max(map(len, prompts))
        rows = self.respond(torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts]))
        ids = [[token for token in row if token] for row in rows[:, width:].tolist()]
        return prompts, ids, [[[-2.0 - (token % 8) / 4] for token in row] for row in ids], None


def no_fillers(completions, completion_ids, log_extra, **_):
    """Digits; fails on a filler's response."""
    assert completions
    assert all(len(ids) > 1 for ids in completion_ids)
    log_extra("letters", list(map(len, completions)))
    return digits(completions)


def sometimes_none(completions, **_):
    """Digits, and nothing to say of some responses."""
    return [
        None if text[:1] in "pqrs" else reward for text, reward in zip(completions, digits(completions), strict=True)
    ]


def lengths(completions, **_):
    """No probabilities: the range is found as they come."""
    return [-3.0 * len(text) for text in completions]


# Sizes of the problem, then what else is asked for. Rows do not divide evenly where g is odd.
UNEVEN = {"responses_per_unit": 3, "max_units": 2, "capacity": 7, "budget": 63, "num_rounds": 10}
EVEN = {"max_units": 2, "capacity": 8, "budget": 63, "num_rounds": 10}
SHORT = UNEVEN | {"budget": 28, "num_rounds": 4}
SINGLE = {"responses_per_unit": 1, "max_units": 3, "capacity": 8, "budget": 56, "num_rounds": 7}
SCENARIOS = {
    "cero, grpo, even": ("cero", EVEN, {"loss_type": "grpo"}),
    "cero, grpo, uneven": ("cero", UNEVEN, {"loss_type": "grpo"}),
    "cero, dapo, uneven": ("cero", UNEVEN, {"loss_type": "dapo", "save_strategy": "steps", "save_steps": 4}),
    "cero, dapo, adamw": (
        "cero",
        UNEVEN,
        {"loss_type": "dapo", "save_strategy": "steps", "save_steps": 4, "optim": "adamw_torch", "learning_rate": 1e-3},
    ),
    "cero, dapo, uneven, micro-batches": ("cero", UNEVEN, {"loss_type": "dapo", "micro_batches": 3}),
    "cero, grpo, uneven, micro-batches": ("cero", UNEVEN, {"loss_type": "grpo", "micro_batches": 3}),
    "cero, grpo, all rows": ("cero", UNEVEN, {"loss_type": "grpo", "skip_zero_advantage": False}),
    "uniform, dapo, ungraded": ("uniform", UNEVEN, {"loss_type": "dapo", "reward": sometimes_none}),
    "cero, dapo, uneven, lengths": ("cero", UNEVEN, {"loss_type": "dapo", "reward": lengths}),
    "scheduled, grpo": ("scheduled", SINGLE, {"loss_type": "grpo"}),
    "scheduled, dapo": ("scheduled", SINGLE, {"loss_type": "dapo", "micro_batches": 3}),
    "scheduled, fillers are never graded": ("scheduled", SINGLE, {"trainer": Wordy, "reward": no_fillers}),
    "scheduled, bad rewards end it": (
        "scheduled",
        SINGLE,
        {"trainer": Wordy, "reward": no_fillers, "on_bad_reward": "error"},
    ),
    "scheduled, vllm": ("scheduled", SINGLE, {"trainer": WithEngine, "use_vllm": True}),
    "cero, vllm, all rows": (
        "cero",
        SHORT,
        {"trainer": WithEngine, "use_vllm": True, "skip_zero_advantage": False, "num_iterations": 2},
    ),
    "cero, two iterations": (
        "cero",
        SHORT,
        {"loss_type": "grpo", "num_iterations": 2, "epsilon": 0.001, "micro_batches": 2},  # some are clipped
    ),
    "cero, two steps": ("cero", SHORT, {"loss_type": "dapo", "micro_batches": 2, "steps_per_generation": 4}),
    **{
        f"cero, {loss}": ("cero", SHORT, {"loss_type": loss}) for loss in ("dr_grpo", "sapo", "luspo", "cispo", "vespo")
    },
}
RESUMED = ("cero, dapo, uneven", "cero, dapo, adamw")
SHARES = ("step_time", "loss", "profiling")  # what is of a process, or of a micro-batch
TABLES = ("prompt", "completion", "advantages")


def trainer_of(scenario, folder, rounds):
    method, sizes, given = SCENARIOS[scenario]
    given = dict(given)
    sizes, processes = problem(**sizes), int(os.environ.get("WORLD_SIZE", "1"))
    allocator = Rounds(sizes, ROUNDS, untrained=8) if method == "scheduled" else make(method, sizes, seed=0)
    micro_batches = given.pop("micro_batches", 1)
    own = {"on_bad_reward": "skip"}
    own |= {name: given.pop(name) for name in ("skip_zero_advantage", "on_bad_reward") if name in given}
    given = {"optim": "sgd", "learning_rate": 0.1, "max_grad_norm": 0.0, "num_generations": 2} | given
    return given.pop("trainer", Scripted)(
        small_model(), given.pop("reward", digits),
        config(folder, per_device_train_batch_size=36 // processes // given.get("steps_per_generation", micro_batches),
               gradient_accumulation_steps=micro_batches, **given),
        pool(), allocator=allocator, processing_class=tiny_tokenizer(), on_round=rounds, **own,
    )  # fmt: skip


def outcome(trainer, rounds):
    return {
        "allocations": [
            [(w.allocation.prompts.tolist(), w.allocation.units.tolist()) for w in view.waves] for view in rounds
        ],
        "feedback": [
            [tuple(np.asarray(part).tolist() for part in (w.feedback.num_responses, w.feedback.reward_sum))
             for w in view.waves]
            for view in rounds
        ],
        "map": trainer.feedback_map.state.tolist(),
        "tokens": [view.tokens.tolist() for view in rounds],
        "ledger": {key: np.asarray(value).tolist() for key, value in trainer.ledger.state_dict().items()},
        "allocator": {key: np.asarray(value).tolist() for key, value in trainer.allocator.state_dict().items()},
        "log": [
            {name: value for name, value in entry.items() if not name.startswith(SHARES)}
            for entry in trainer.state.log_history[:-1]
        ],
        "tables": {name: list(trainer._logs[name]) for name in TABLES},
        "columns": {
            name: list(values) for part in ("rewards", "extra") for name, values in trainer._logs[part].items()
        },
        "made": trainer.made,
        "weights": weights(trainer),
    }  # fmt: skip


def play(folder):
    """Every scenario in this process or, under torchrun, in all of them together."""
    found = {}
    for scenario in SCENARIOS:
        rounds = []
        trainer = trainer_of(scenario, folder / scenario, rounds.append)
        trainer.train()
        found[scenario] = outcome(trainer, rounds)
    return found | {f"resumed, {scenario}": resume(scenario, folder) for scenario in RESUMED}


def resume(scenario, folder):
    rounds = []
    trainer = trainer_of(scenario, folder / "resumed" / scenario, rounds.append)
    trainer.train(resume_from_checkpoint=str(folder / scenario / "checkpoint-4"))
    return outcome(trainer, rounds)


def diverged(folder):
    """What a training comes to whose processes' allocators have seeds of their own."""
    sizes = problem(**UNEVEN)
    trainer = Scripted(
        small_model(), digits, config(folder / "diverged", num_generations=2, per_device_train_batch_size=18), pool(),
        allocator=make("cero", sizes, seed=int(os.environ["RANK"])), processing_class=tiny_tokenizer(),
    )  # fmt: skip
    try:
        trainer.train()
    except DivergedError as error:
        return str(error), trainer.ledger.responses


def training_command(folder):
    return [
        "llm.train", "--model", str(folder / "model"), "--out", str(folder / "results"), "--allocator", "cero",
        "--num-prompts", "24", "--num-heldout", "13", "--num-rounds", "3", "--budget", "15", "--responses-per-unit",
        "3", "--max-new-tokens", "3", "--eval-every", "2", "--save-every", "2", "--final-samples", "2", "--no-bf16",
    ]  # fmt: skip


@contextmanager
def together(processes, what, folder):
    """This file as the program of several processes, beside what stands inside."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes),
               __file__, what, folder]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    said = folder / f"output-{processes}"
    with said.open("a") as output:
        program = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
        try:
            yield
            program.wait(timeout=300)
        finally:
            program.kill()
            program.wait()
    assert program.returncode == 0, said.read_text()[-5000:]


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """What one process and each of two came to, and where the two wrote."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    small_model().save_pretrained(two / "model")
    tiny_tokenizer().save_pretrained(two / "model")
    with together(2, "all", two):
        alone = play(one)
    return alone, [torch.load(two / f"{rank}.pt", weights_only=False) for rank in (0, 1)], two


def close(left, right):
    """Whether two trainings came to the same weights, up to rounding; they must have moved."""
    start = torch.cat([parameter.detach().flatten() for parameter in small_model().parameters()])
    moved = float((left - start).norm())
    assert moved > 1e-3
    return float((left - right).norm()) < 1e-5 * moved


def test_two_processes_train_what_one_would(played):
    alone, (first, second), _ = played
    for scenario in SCENARIOS:
        one, two = alone[scenario], first[scenario]
        for key in ("allocations", "feedback", "tokens", "ledger", "allocator", "map"):
            assert one[key] == two[key], (scenario, key)
        for mine, theirs in zip(one["log"], two["log"], strict=True):
            assert mine.keys() == theirs.keys(), scenario
            for key, left in mine.items():
                right = theirs[key]
                assert left == (right if right is None else pytest.approx(right, rel=1e-3, abs=1e-6)), (scenario, key)
        assert close(one["weights"], two["weights"]), scenario
        assert torch.equal(first[scenario]["weights"], second[scenario]["weights"]), scenario
        assert first[scenario]["allocator"] == second[scenario]["allocator"], scenario


def test_fillers_are_never_generated(played):
    alone, both, _ = played
    for scenario in SCENARIOS:
        spent = alone[scenario]["ledger"]["responses"]
        assert spent == alone[scenario]["made"] == sum(rank[scenario]["made"] for rank in both), scenario
        waves = [wave for found in alone[scenario]["allocations"] for wave in found]
        odd = [sum(units) * SCENARIOS[scenario][1].get("responses_per_unit", 4) % 2 for _, units in waves]
        assert sum(odd) == both[0][scenario]["made"] - both[1][scenario]["made"], scenario  # the second has the fillers
        assert any(odd) == (SCENARIOS[scenario][1] is not EVEN), scenario
    assert alone["scheduled, grpo"]["allocations"][0] == [([5], [1])]  # one response, hence none in the second process


def test_what_is_logged_of_single_responses_has_no_fillers(played):
    alone, both, _ = played
    for scenario in SCENARIOS:
        one, two = alone[scenario], both[0][scenario]
        for name in ("prompt", "completion"):
            assert one["tables"][name] == two["tables"][name], scenario
        assert one["tables"]["advantages"] == pytest.approx(two["tables"]["advantages"], abs=1e-5), scenario
        for name, values in one["columns"].items():
            assert values == pytest.approx(two["columns"][name], nan_ok=True), (scenario, name)
        assert all(len(values) == len(one["tables"]["prompt"]) for values in one["columns"].values()), scenario


def test_allocators_of_different_seeds_end_the_training_before_it_starts(played):
    _, both, _ = played
    for rank in both:
        message, responses = rank["diverged"]
        assert message.startswith("round 0: processes decide differently from process 0 (process 1: prompts")
        assert responses == 0


@pytest.mark.parametrize("scenario", RESUMED)
def test_resumed_together_they_end_at_the_same_weights(played, scenario):
    alone, both, _ = played
    for found in (alone, *both):
        again, whole = found[f"resumed, {scenario}"], found[scenario]
        assert torch.equal(again["weights"], whole["weights"])
        assert again["ledger"] == whole["ledger"]
        assert again["allocations"] == whole["allocations"][4:]


@pytest.mark.slow
@pytest.mark.parametrize("scenario", RESUMED)
def test_three_processes_go_on_where_two_stopped(played, scenario):
    _, (two, _), folder = played
    with together(3, scenario, folder):
        pass
    for rank in range(3):
        three = torch.load(folder / f"resumed-{rank}.pt", weights_only=False)
        assert three["allocations"] == ([] if rank else two[scenario]["allocations"][4:])  # the first one reports
        assert three["ledger"] == two[scenario]["ledger"]
        assert close(three["weights"], two[scenario]["weights"])


@pytest.mark.parametrize("scenario", RESUMED)
def test_one_process_goes_on_where_two_stopped(played, scenario):
    _, (two, _), folder = played
    one = resume(scenario, folder)
    assert one["allocations"] == two[scenario]["allocations"][4:]
    assert one["ledger"] == two[scenario]["ledger"]
    assert close(one["weights"], two[scenario]["weights"])


def test_the_command_line_in_two_processes_writes_one_record(played):
    *_, folder = played
    (path,) = find_runs([folder / "results"])
    run = read_run(path)
    rounds, evals = run.table("rounds"), run.table("evals")
    assert rounds["round"].tolist() == [0, 1, 2]
    assert rounds["responses"].sum() == run.info["results"]["responses"] <= 45
    assert evals[(evals["suite"] == "all") & (evals["problem"] == "all")]["round"].tolist() == [0, 2, 3, 3]
    assert not (path / "checkpoints").exists()
    assert (path / "model" / "model.safetensors").exists()
    assert (folder / "output-2").read_text().count("records in") == 1


def main(what, folder):
    from cerolab.tools.command_line import launch
    from llm.presets import PRESETS
    from llm.train import HELP, train

    if what in SCENARIOS:
        torch.save(resume(what, folder), folder / f"resumed-{os.environ['RANK']}.pt")
        return
    torch.save(play(folder) | {"diverged": diverged(folder)}, folder / f"{os.environ['RANK']}.pt")
    with patch.object(sys, "argv", training_command(folder)):
        launch(train, "python -m llm.train", HELP, presets=PRESETS)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
