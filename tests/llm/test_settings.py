"""Settings of training, study and evaluation: what is known to be bad is refused before anything is loaded."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cerolab.errors import CerolabError, InvalidValueError, UnknownNameError
from cerolab.integrations.trl.options import trl_options
from llm import evaluate, study, train
from llm.presets import PRESETS
from llm.settings import TrainSettings
from llm.study import StudySettings, train_settings
from llm.tasks import load_evaluation, load_task
from llm.training.grpo_settings import grpo_config
from llm.training.plan import plan
from tests.llm.test_command_line import command

__all__ = ["command"]

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")


@pytest.fixture(autouse=True)
def nothing_is_loaded(monkeypatch, request):
    """Loading a model is a failure here."""

    def load(*_, **__):
        raise AssertionError("a model is loaded")

    monkeypatch.setattr("llm.models.loading.load_model", load)
    monkeypatch.setattr("llm.training.session.load_model", load)


def rows(folder: Path, name: str, count: int, **fixed) -> Path:
    """A .jsonl file with questions that are all different."""
    lines = [{"problem": f"What is {k} + {k}?", "answer": str(2 * k)} | fixed for k in range(count)]
    file = folder / name
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def grade_school(folder: Path, count: int = 40, name: str = "my.jsonl") -> Path:
    lines = [{"question": f"What is {k} + 1?", "answer": f"#### {k + 1}"} for k in range(count)]
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / name


# --- one line, dry run included --------------------------------------------------------------------------------------

REFUSED = [
    ("--loss grppo", "unknown loss 'grppo' (did you mean 'grpo'?)"),
    ("--report-to wandbb", "unknown tracker report_to 'wandbb' (did you mean 'wandb'?)"),
    ("--learning-rate -1", "learning_rate=-1.0 is below 0"),
    ("--learning-rate nan", "learning_rate=nan is"),
    ("--seed -1", "seed=-1 is below 0"),
    ("--eval-temperature 0", "eval_temperature=0.0 is not above 0"),
    ("--temperature -1", "temperature=-1.0 is not above 0"),
    ("--max-units 0", "max_units=0 is below 1"),
    ("--num-rounds 2.6", "num_rounds=2.6 is no whole number"),
    ("--num-prompts 50.9", "num_prompts=50.9 is no whole number"),
    ("--num-prompts 10000000000", "num_prompts=10000000000 is above 10,000,000"),
    ("--num-prompts 0", "num_prompts=0 takes all questions, and arithmetic(broad) has no end"),
    ("--adam-beta2 1", "adam_beta2=1.0 is not below 1"),
    ("--clip-low 2", "clip_low=2.0 is above 1"),
    ("--vllm-memory 1.5", "vllm_memory=1.5 is above 1"),
    ("--name ../x", "name='../x' cannot be a folder name"),
    ("--name my,run", "name='my,run' cannot be a folder name"),
    ("--model ~nobody/x", "model='~nobody/x' is no folder"),
    ("--lr-schedule cosin", "cosin is not a valid SchedulerType"),
    ("--lr-schedule cosine_with_min_lr", "lr_schedule='cosine_with_min_lr' cannot be used"),
    ("--attention flash", "attention='flash' cannot be used"),
    ("--engine vllm-server --vllm-url here", "vllm_url='here' is no address"),
    ("--task reasoning_gym(easy)", "which reads arithmetic only; give --model smollm2"),
    ("--eval-task aime(x.jsonl)", "eval_task='aime(x.jsonl)' is not for the model tiny"),
    ("--model smollm2 --task reasoning_gym(easy)", "eval_samples=0 asks for exact success rates"),
    ("--model smollm2 --task reasoning_gym(gdc) --eval-samples 4", "did you mean"),
    ("--task owner/name", "write gsm8k(owner/name), math(owner/name)"),
    ("--trl.top_p abc", "trl.top_p='abc' cannot be read (invalid float value: 'abc'); TRL takes float"),
    ("--trl.top-p 5", "trl.top_p=5.0 is outside"),
    ("--trl.top_k 2.5", "trl.top_k='2.5' cannot be read"),
    ("--trl.mask_truncated_completions maybe", "Truthy value expected"),
    ("--trl.importance-sampling-level sequnce", "did you mean 'sequence'?"),
    ("--trl.learning-rate 1", "has a name of its own here, --learning-rate"),
    ("--trl.weight_dekay 1", "is no setting of TRL's GRPOConfig; did you mean trl.weight_decay"),
    ("--trl.optim sgdd", "trl.optim='sgdd' cannot be read"),
    ("--trl.adam-beta1 -1", "Invalid beta parameter"),
    ("--trl.eval-strategy steps --trl.eval-steps 5", "evaluates by TRL"),
]


@pytest.mark.parametrize(("line", "words"), REFUSED, ids=[line for line, _ in REFUSED])
@pytest.mark.parametrize("dry", [True, False], ids=["dry run", "run"])
def test_known_bad_settings_of_a_training(command, tmp_path, line, words, dry):
    if "attention" in line and not dry:
        pytest.skip("only the model knows; the plan asks it for its shape")
    status, text = command(train, *line.split(), "--out", tmp_path, *(["--dry-run"] if dry else []))
    assert status == 1, text
    assert words in text
    assert text.count("error:") == 1
    assert "Traceback" not in text
    assert not list(tmp_path.iterdir())


def test_a_tracker_whose_package_is_missing_is_named_with_the_package(command, monkeypatch):
    from transformers.integrations import integration_utils

    monkeypatch.setattr(integration_utils, "get_available_reporting_integrations", lambda: ["wandb"])
    status, text = command(train, "--report-to", "tensorboard", "--dry-run")
    assert status == 1
    assert "report_to='tensorboard' is not installed; install its package (tensorboard), or use wandb" in text
    assert command(train, "--report-to", "wandb", "--dry-run")[0] == 0


@pytest.mark.parametrize(
    "name", ["num_rounds: 2.6", "seed: 1.5", "seed: true", "num_prompts: '50'", "trl: {top_k: 2.5}"]
)
def test_a_settings_file_is_not_rounded_either(command, tmp_path, name):
    file = tmp_path / "settings.yaml"
    file.write_text(name + "\n")
    status, text = command(train, "--config", file, "--dry-run")
    assert status == 1 or name == "num_prompts: '50'"  # in quotes or not, the file says 50
    assert "Traceback" not in text


def test_a_settings_file_runs_no_code(command, tmp_path):
    file = tmp_path / "settings.yaml"
    for text in ("plugins: [os]", "trust_remote_code: true", "vllm_url: http://x", "trl: {model_init_kwargs: {a: 1}}"):
        file.write_text(text + "\n")
        status, written = command(train, "--config", file, "--dry-run")
        assert status == 1
        assert "on the command line if you trust it" in written


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--settings.trl.top-p", "0.9"], "settings.trl.top-p='0.9' is a setting within a setting; give --trl.top-p"),
        (["--settings.trl", "x"], "settings.trl='x' has a name of its own here; give --trl.NAME VALUE"),
        (["--settings.learning-rate", "-1"], "settings.learning-rate='-1' is below 0"),
        (["--settings.learnin-rate", "1"], "is no setting of llm.train; did you mean learning_rate"),
        (["--settings.num-rounds", "2.5"], "settings.num-rounds='2.5' is no whole number"),
        (["--settings.bf16", "maybe"], "settings.bf16='maybe'"),
        (["--settings.report-to", "foo"], "unknown tracker report_to 'foo'"),
        (["--settings.seed", "3"], "settings.seed='3' is not of one run"),
        (["--trl.top-p", "7"], "trl.top_p=7.0 is outside"),
        (["--methods", "uniform", "uniform"], "names something twice"),
        (["--methods"], "methods=() names nothing"),
        (["--tasks", "arithmetic(broad)", "arithmetic( broad )"], "name one twice"),
        (["--seeds", "2.7"], "seeds=2.7 is no whole number"),
        (["--seeds", "0"], "seeds=0 is below 1"),
        (["--preset", "tinny"], "did you mean 'tiny'?"),
        (["--methods", "random_matched"], "lack cero"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_known_bad_settings_of_a_study(command, tmp_path, arguments, words):
    status, text = command(study, *arguments, "--out", tmp_path)
    assert status == 1, text
    assert words in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "/nope/x.json"], "out='/nope/x.json' lies in /nope, which is no folder; make that folder first"),
        (["--out", "/"], "is a folder"),
        (["--task", "gsm8k(my.jsonl)"], "reads arithmetic only; give --model"),
        (["--samples", "1.5"], "samples=1.5 is no whole number"),
        (["--dtype", "fp16"], "unknown dtype 'fp16'"),
        (["--model", "smollm2", "--task", "reasoning_gym(easy)", "--samples", "0"], "samples=0 asks for exact"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_known_bad_settings_of_an_evaluation(command, arguments, words):
    status, text = command(evaluate, *arguments)
    assert status == 1, text
    assert words in text


@pytest.mark.parametrize("module", [train, evaluate])
def test_the_folder_of_a_run_is_told_from_that_of_its_model(command, tmp_path, module):
    run = tmp_path / "cero-1"
    (run / "model").mkdir(parents=True)
    (run / "run.json").write_text("{}")
    status, text = command(module, "--model", run)
    assert status == 1
    assert "is the folder of a run, not of a model; it kept none" in text
    (run / "model" / "config.json").write_text("{}")
    status, text = command(module, "--model", run)
    assert status == 1
    assert f"give {run / 'model'}" in text


def test_results_that_cannot_be_written_are_refused_first(command, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    status, text = command(train, "--out", file / "results", "--dry-run")
    assert status == 1
    assert f"{file} is a file" in text


# --- a task that is a file -------------------------------------------------------------------------------------------


def test_a_file_alone_is_told_the_form_that_it_has(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grade_school(tmp_path)
    grade_school(tmp_path, name="my data/train.jsonl")
    for text in ("my.jsonl", "my data/train.jsonl"):
        status, written = command(train, "--task", text, "--model", "smollm2", "--dry-run")
        assert status == 1
        assert f"task='{text}' says where the data is, not of what form; write gsm8k({text})" in written
    status, written = command(train, "--task", "nowhere.jsonl", "--dry-run")
    assert "write gsm8k(nowhere.jsonl), math(nowhere.jsonl), dapo_math(nowhere.jsonl), aime(nowhere.jsonl)" in written


def test_the_tiny_model_is_not_given_sentences(command, tmp_path):
    file = grade_school(tmp_path)
    status, text = command(train, "--task", f"gsm8k({file})", "--dry-run")
    assert status == 1
    assert "is not for the model tiny, which reads arithmetic only; give --model smollm2" in text


def test_what_a_local_tokenizer_cannot_read_is_said(command, model, tmp_path):
    file = grade_school(tmp_path)
    given = ["--model", model, "--task", f"gsm8k({file})", "--num-prompts", "0", "--eval-samples", "1", "--dry-run"]
    status, text = command(train, *given)
    assert status == 1
    assert "has a prompt that the model" in text
    assert "give another --model" in text


def test_a_small_file_says_how_to_take_all_of_it(tmp_path):
    file = grade_school(tmp_path)
    given = TrainSettings(model="Qwen/Qwen3-4B", task=f"gsm8k({file})", eval_samples=1, num_rounds=3, budget=24)
    with pytest.raises(InvalidValueError, match=r"num_prompts=2000 is more than the 32 .*--num-prompts 0 takes all"):
        plan(given)
    told = plan(replace(given, num_prompts=0))
    assert told["pool"].startswith("32 prompts")
    assert told["held out"] == "8 questions"  # a fifth


# --- evaluation sets -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["paper-1.5b", "paper-4b", "paper-7b"])
def test_the_presets_of_the_paper_hold_out_all_of_aime(tmp_path, name):
    aime = rows(tmp_path, "aime.jsonl", 30)
    pool = tmp_path / "dapo.jsonl"
    lines = [{"prompt": f"Sum of {k} and 7?", "reward_model": {"ground_truth": str(k + 7)}} for k in range(90)]
    pool.write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings = TrainSettings(**{**PRESETS[name], "task": f"dapo_math({pool})", "eval_task": f"aime({aime})",
                                "num_prompts": 90})  # fmt: skip
    assert plan(settings)["held out"] == "30 questions"
    assert plan(replace(settings, num_heldout=30))["held out"] == "30 questions"
    assert plan(replace(settings, num_heldout=0))["held out"] == "0 questions: nothing is evaluated"
    with pytest.raises(InvalidValueError, match="num_heldout=31 is more than the 30 questions"):
        plan(replace(settings, num_heldout=31))


def test_sets_of_their_own_are_taken_whole(tmp_path):
    file, other = rows(tmp_path, "a.jsonl", 60), rows(tmp_path, "b.jsonl", 500, type="algebra")
    assert len(load_evaluation(f"math({other})").heldout) == 500
    assert len(load_evaluation(f"math({other})", 500).heldout) == 500
    assert len(load_evaluation(f"math({file}, {other})").heldout) == 500
    assert len(load_task(f"math({other}, {file})", 0).heldout) == 60
    assert len(load_task(f"math({other})", 0).heldout) == 100
    assert len(load_evaluation("arithmetic(hard)").heldout) == 1000
    with pytest.raises(InvalidValueError, match="num_heldout=0 leaves no question"):
        load_evaluation(f"math({file})", 0)


def test_an_evaluation_asks_the_questions_that_the_training_held_out(tmp_path):
    file = rows(tmp_path, "a.jsonl", 60)
    assert load_evaluation(f"math({file})", 12).heldout == load_task(f"math({file})", 0, 12).heldout
    trained = load_task("arithmetic(broad)", 200, 50, seed=1)
    assert load_evaluation("arithmetic(broad)", 50, seed=1, num_train=200).heldout == trained.heldout


def test_an_evaluation_task_may_be_generated():
    settings = TrainSettings(num_prompts=100, num_heldout=70, eval_task="arithmetic(hard)")
    assert plan(settings)["held out"] == "70 questions"


def test_defaults_keep_the_names_of_runs():
    assert TrainSettings().scenario()["num_heldout"] == 1000
    assert TrainSettings(num_heldout=1000).scenario() == TrainSettings().scenario()
    assert TrainSettings(eval_task="aime(x)", model="m", eval_samples=1).scenario()["num_heldout"] is None


# --- settings of TRL -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "typed"),
    [
        ({"importance-sampling-level": "sequence"}, {"importance_sampling_level": "sequence"}),
        ({"top_p": "0.9"}, {"top_p": 0.9}),
        ({"top-p": 1}, {"top_p": 1.0}),
        ({"mask_truncated_completions": "false"}, {"mask_truncated_completions": False}),
        ({"mask_truncated_completions": True}, {"mask_truncated_completions": True}),
        ({"top_k": "20"}, {"top_k": 20}),
        ({"min_p": None}, {"min_p": None}),
        ({"optim": "sgd"}, {"optim": "sgd"}),
        ({"chat_template_kwargs": {"enable_thinking": False}}, {"chat_template_kwargs": {"enable_thinking": False}}),
        ({"vllm_importance_sampling_clip_max": "2"}, {"vllm_importance_sampling_clip_max": 2.0}),
    ],
)
def test_trl_types_its_own_settings(given, typed):
    found = trl_options(given)
    assert found == typed
    assert list(map(type, found.values())) == list(map(type, typed.values()))


@pytest.mark.parametrize(
    "given",
    [{"top_p": True}, {"top_p": "inf"}, {"top_k": [1]}, {"optim": {"a": 1}}, {"top_p": None}, {"top_k": ""},
     {"top-p": 0.5, "top_p": 0.5}, {"": 1}, {"beta": 0.1}, {"seed": 1}],
)  # fmt: skip
def test_trl_refuses_what_it_cannot_take(given):
    with pytest.raises(CerolabError, match=r"trl\."):
        trl_options(given)


def test_masking_that_is_switched_off_is_off_and_text_and_number_name_one_run(tmp_path):
    settings = TrainSettings(trl={"mask-truncated-completions": "false", "top-p": "0.9"})
    settings.check()
    args = grpo_config(settings, settings.problem(2000), tmp_path, 7, use_cpu=True)
    assert args.mask_truncated_completions is False
    assert args.top_p == 0.9
    same = replace(settings, trl={"mask_truncated_completions": False, "top_p": 0.9})
    assert settings.scenario() == same.scenario()


def test_the_example_of_the_help_runs(command):
    assert command(train, "--trl.importance-sampling-level", "sequence", "--dry-run")[0] == 0


def test_settings_of_a_study_are_those_of_a_training():
    given = {
        "learning-rate": "1e-4",
        "bf16": "false",
        "num-heldout": "20",
        "report-to": "wandb",
        "eval-task": "aime(x)",
    }
    found = train_settings(given)
    assert found == {"learning_rate": 1e-4, "bf16": False, "num_heldout": 20, "report_to": ("wandb",),
                     "eval_task": "aime(x)"}  # fmt: skip
    chains = StudySettings(seeds=1, methods=("uniform",), tasks=("arithmetic",), trl={"top-p": "0.9"}).chains()
    assert chains[0][0].scenario()["trl"] == {"top_p": 0.9}


def test_every_setting_has_a_range_or_a_type_that_is_checked():
    """None takes what is nothing like its default."""
    for name in TrainSettings.__dataclass_fields__:
        with pytest.raises((InvalidValueError, UnknownNameError)):
            TrainSettings(**{name: object()})
