"""Generated questions: distinct, drawn by seed alone, graded by reasoning-gym's scorers."""

import hashlib
import inspect
import pickle
import re
import subprocess
import sys
from collections import Counter

import pytest

from cerolab.errors import CerolabError, InvalidValueError, UnknownNameError
from llm.tasks import Question, load_task
from llm.tasks.easy import EASY
from llm.tasks.reasoning import _portions
from llm.tasks.reasoning_gym_source import RUNS_RESPONSES, GymVerifier, gym_names

pytest.importorskip("reasoning_gym")

SMALL = "reasoning_gym(gcd, chain_sum, products, count_bits, letter_counting, basic_arithmetic)"


@pytest.fixture(scope="module")
def easy():
    return load_task("reasoning_gym(easy)", 400, 100)


@pytest.fixture(scope="module")
def small():
    return load_task(SMALL, 120, 30)


@pytest.mark.parametrize("name", ["easy", "small"])
def test_questions_are_distinct_and_held_out_ones_are_not_trained_on(name, request):
    task = request.getfixturevalue(name)
    questions = (*task.train, *task.heldout)
    assert len({question.prompt for question in questions}) == len(questions)
    assert all(question.id.startswith(f"{question.suite}-") for question in questions)


def test_a_right_number_is_right_and_another_is_wrong(easy, small):
    for task in (easy, small):
        for question in task.train:
            assert task.verify(f"The answer is {question.answer}.", question) == 1
            assert task.verify(f"The answer is {question.answer}7.", question) == 0
            assert task.verify("", question) == 0
            assert task.verify("I do not know.", question) == 0


def test_easy_is_the_default_and_has_its_shares(easy):
    assert load_task("reasoning_gym", 400, 100).train == easy.train
    sizes = Counter(question.suite for question in (*easy.train, *easy.heldout))
    assert set(sizes) == {family.name for family in EASY}
    whole = sum(family.weight for family in EASY)
    small = {"sub11": 55}
    for family in EASY:
        assert sizes[family.name] == pytest.approx(500 * family.weight / whole, abs=2) or family.name in small


def test_every_family_is_held_out_in_its_share(easy):
    train, heldout = (Counter(question.suite for question in part) for part in (easy.train, easy.heldout))
    for suite, size in heldout.items():
        assert size == pytest.approx((size + train[suite]) / 5, abs=1)


def test_arguments_have_equal_shares(small):
    sizes = Counter(question.suite for question in (*small.train, *small.heldout))
    assert set(sizes.values()) == {25}
    mixed = load_task("reasoning_gym(easy, letter_counting)", 100, 0)
    assert Counter(question.suite for question in mixed.train)["letter_counting"] == 50


def test_the_draw_depends_on_the_seed_only(small):
    again, other = load_task(SMALL, 120, 30), load_task(SMALL, 120, 30, seed=1)
    assert (again.train, again.heldout) == (small.train, small.heldout)
    assert len({question.id for question in other.train} & {question.id for question in small.train}) < 60


def test_the_draw_is_the_same_in_another_process(easy):
    code = (
        "from llm.tasks import load_task; import hashlib; task = load_task('reasoning_gym(easy)', 400, 100);"
        "print(hashlib.sha256(repr((task.train, task.heldout)).encode()).hexdigest())"
    )
    env = {"PYTHONHASHSEED": "1", "PYTHONPATH": ":".join(sys.path)}
    printed = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == hashlib.sha256(repr((easy.train, easy.heldout)).encode()).hexdigest()


def test_small_families_give_all_they_have_and_the_others_make_up_for_it():
    task = load_task("reasoning_gym(easy)", 2000, 0)
    sizes = Counter(question.suite for question in task.train)
    assert sizes["add11"] == sizes["mul11"] == sizes["add_teens"] == 100
    assert sizes["sub11"] == 55
    assert sizes["add22"] > 100
    assert len(task.train) == 2000


def test_too_few_distinct_questions_are_counted():
    with pytest.raises(
        InvalidValueError, match=r"has 260 distinct questions \(coin_flip 260\), not 9000 and 1 held out; ask for fewer"
    ):
        load_task("reasoning_gym(coin_flip)", 9000, 1)


@pytest.mark.parametrize(
    ("call", "num_train", "num_heldout", "error", "message"),
    [
        (
            "reasoning_gym(gdc)",
            10,
            0,
            UnknownNameError,
            "unknown reasoning-gym data set 'gdc' .did you mean 'gcd'.*lcm",
        ),
        ("reasoning_gym(countdown)", 10, 0, InvalidValueError, "has a scorer that runs the response as code"),
        ("reasoning_gym(game_of_life_halting)", 10, 0, InvalidValueError, "pays for every response"),
        ("reasoning_gym(propositional_logic)", 10, 0, InvalidValueError, "pays for 'P or Q' on 4 of 5 questions"),
        ("reasoning_gym(composite)", 10, 0, UnknownNameError, "unknown"),
        ("reasoning_gym(gcd, gcd)", 10, 0, InvalidValueError, "names a data set twice"),
        (
            "reasoning_gym(easy)",
            0,
            0,
            InvalidValueError,
            "num_prompts=0 takes all questions, and .* has no end",
        ),
        ("reasoning_gym(easy)", 1, -1, InvalidValueError, "num_heldout=-1 is negative"),
    ],
)
def test_what_cannot_be_served_is_named_with_its_remedy(call, num_train, num_heldout, error, message):
    with pytest.raises(error, match=message):
        load_task(call, num_train, num_heldout)
    assert issubclass(error, CerolabError)


def test_scorers_that_run_responses_are_all_refused():
    """Of all data sets, also of a later version: no scorer in use hands the response to an evaluator."""
    from reasoning_gym.factory import DATASETS

    for name in gym_names():
        source = inspect.getsource(DATASETS[name][0].score_answer)
        runs = re.findall(r"\b(?:eval|exec|sympify|parse_expr)\(([^)]*)\)", source)
        assert all("entry" in argument for argument in runs), name
    assert set(DATASETS) >= RUNS_RESPONSES


class Scorer:
    """Stands in for a data set: full score for one text, part of it for what holds that text."""

    def score_answer(self, answer, entry):
        if answer == "trip":
            raise IndexError
        return 1.0 if answer == entry["answer"] else 0.5 * (entry["answer"] in answer)


@pytest.mark.parametrize(
    ("answer", "text", "right"),
    [
        ("1200", "It is 1,200.", 1),
        ("7", "7 or 8", 0),
        ("north", "north", 1),
        ("north", "  north\n", 1),
        ("north", "I walk.\nnorth", 1),
        ("north", "The answer is north.", 1),
        ("north", "Walk.\nAnswer: **north**", 1),
        ("north", "north by northwest", 0),
        ("north", "north\nsouth", 0),
        ("a b\nc d", "a b\nc d\n", 1),
        ("trip", "trip", 0),
        ("north", "", 0),
    ],
)
def test_responses_are_stripped_to_their_answer(answer, text, right):
    question = Question("id", "prompt", answer, "suite")
    verify = GymVerifier({"id": (Scorer(), {"answer": answer})})
    assert verify(text, question) == right


def test_scorers_decide_where_several_answers_are_right():
    task = load_task("reasoning_gym(rush_hour, boxnet)", 4, 0)
    assert all(task.verify("no idea", question) == 0 for question in task.train)


def test_a_task_can_be_sent_to_another_process(small):
    sent = pickle.loads(pickle.dumps(small))
    assert sent.train == small.train
    assert sent.verify(small.train[0].answer, sent.train[0]) == 1


@pytest.mark.parametrize(
    ("size", "weights", "portions"),
    [(10, [1, 1], [5, 5]), (5, [1, 1], [3, 2]), (0, [1, 2], [0, 0]), (7, [1, 2, 4], [1, 2, 4]), (1, [1, 3], [0, 1])],
)
def test_portions_add_up(size, weights, portions):
    assert _portions(size, weights) == portions
