"""Verifiers: what counts as right, from any thread, and without a warning."""

import threading
from fractions import Fraction

import pytest

from cerolab.errors import CerolabError, InvalidValueError
from llm.grading.verify import exact, final_number, is_mathematical, last_box, last_number, mathematical, number
from llm.tasks import Question

pytest.importorskip("math_verify")


def question(answer):
    return Question("id", "prompt", answer, "suite")


def in_a_thread(function, *arguments):
    """What the function returns or raises in another thread."""
    outcome = []

    def run():
        try:
            outcome.append(function(*arguments))
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("abc", 1),
        ("  abc \nand more", 1),
        ("\n\nabc", 1),
        ("abcd", 0),
        ("no\nabc", 0),
        ("", 0),
        (" \n ", 0),
        ("ABC", 0),
    ],
)
def test_exact_compares_the_first_line(text, right):
    assert exact(text, question("abc ")) == right


def test_an_empty_response_is_not_even_an_empty_answer():
    assert exact("", question("")) == 0


@pytest.mark.parametrize(
    ("text", "written", "value"),
    [
        ("7", "7", 7),
        ("The answer is 7.", "7", 7),
        ("3 + 4 = 7", "7", 7),
        ("12 eggs cost $1,234.50.", "1,234.50", Fraction("1234.5")),
        ("it is 1{,}200", "1,200", 1200),
        ("1,2,3", "3", 3),
        ("10-3", "3", 3),
        ("= -3", "-3", -3),
        ("5 - 8 = \N{MINUS SIGN}3", "-3", -3),
        ("(-3)", "-3", -3),
        ("x=.5", ".5", Fraction(1, 2)),
        ("about 3/4", "3/4", Fraction(3, 4)),
        ("7.0", "7.0", 7),
        ("007", "007", 7),
        ("18%", "18", 18),
        ("2^10", "10", 10),
    ],
)
def test_the_last_number_is_found_and_read(text, written, value):
    assert last_number(text) == written
    assert number(written) == value
    assert final_number(text, question(str(value))) == 1


@pytest.mark.parametrize("text", ["", "seven", "...", "-", "1/0", "9" * 5000, "the 7th, no: 8"])
def test_other_responses_are_wrong(text):
    assert final_number(text, question("7")) == 0


@pytest.mark.parametrize("text", ["", "7 apples", "5.", "1 2", "3/0", "nan", "1e5", "9" * 5000, "٣"])
def test_what_is_not_one_number_has_no_value(text):
    assert number(text) is None


def test_an_answer_that_is_no_number_is_an_error():
    with pytest.raises(InvalidValueError, match="answer='seven' of question id is no number"):
        final_number("7", question("seven"))


RIGHT = [
    ("18", "The answer is 18."),
    ("18", r"not \boxed{17} but \boxed{18}"),
    ("18", r"\boxed{ 18. }"),
    (r"\frac{1}{2}", r"so \boxed{0.5}"),
    (r"\frac12", r"Thus it is $\frac{2}{4}$."),
    (r"\frac{3}{4}", "3/4"),
    ("x^2+2x+1", r"\boxed{(x+1)^2}"),
    (r"2\sqrt{3}", r"\boxed{\sqrt{12}}"),
    (r"\{1,2\}", r"\boxed{\{2,1\}}"),
    (r"\text{Bea}", r"\boxed{Bea}"),
    ("1,200", r"\boxed{1200}"),
    ("34", "So it is.\n\nAnswer: $34$"),
    ("204", r"\fbox{204}"),
]
WRONG = [
    ("18", r"first 18, then \boxed{17}"),
    ("18", "no idea"),
    ("18", ""),
    ("18", r"\boxed{}"),
    ("18", r"\boxed{"),
    ("7", "1/0"),
    ("(3,5)", r"\boxed{(5,3)}"),
    (r"\frac{1}{2}", r"\boxed{\frac{1}{}"),
    ("7", r"\boxed{\nosuchcommand{7}}"),
    ("7", "\\boxed{" * 300),
    ("7", "$" * 3000),
    ("7", "7 " * 5 + "\x00 \ud800 8"),
]
CASES = [(*case, 1) for case in RIGHT] + [(*case, 0) for case in WRONG]


@pytest.mark.parametrize(("answer", "text", "right"), CASES)
def test_mathematical_compares_what_is_meant(answer, text, right):
    assert mathematical(text, question(answer)) == right


def test_other_threads_judge_the_same():
    def judge(cases):
        return [mathematical(text, question(answer)) for answer, text, _ in cases]

    assert in_a_thread(judge, CASES) == [right for _, _, right in CASES]


def test_many_threads_get_their_own_replies():
    replies = {}

    def judge(value):
        replies[value] = [mathematical(rf"\boxed{{{value}}}", question(str(k))) for k in range(8)]

    threads = [threading.Thread(target=judge, args=(value,)) for value in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies == {value: [float(value == k) for k in range(8)] for value in range(8)}


@pytest.mark.parametrize("run", [lambda f, *a: f(*a), in_a_thread], ids=["main thread", "other thread"])
def test_a_tower_of_powers_is_wrong_within_seconds(run):
    assert run(mathematical, r"\boxed{9^{9^{9^9}}}", question("7")) == 0


def test_warnings_and_logs_stay_silent(capfd, caplog, recwarn):
    for answer, text, _ in CASES:
        mathematical(text, question(answer))
    assert not recwarn.list
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("run", [lambda f, *a: f(*a), in_a_thread], ids=["main thread", "other thread"])
@pytest.mark.parametrize("answer", ["", " ", r"\frac{", r"\nosuchcommand{3}"])
def test_an_answer_without_meaning_is_found_and_is_an_error(run, answer):
    assert not run(is_mathematical, answer)
    with pytest.raises(InvalidValueError, match="has no mathematical meaning; drop the question"):
        run(mathematical, "3", question(answer))


@pytest.mark.parametrize("answer", sorted({answer for answer, _ in RIGHT}))
def test_answers_with_meaning_are_told(answer):
    assert is_mathematical(answer)


def test_a_dead_helper_is_an_error_and_no_wrong_response():
    from llm.grading import math_equivalence

    helper = math_equivalence._Helper()
    helper._process.kill()
    with pytest.raises(CerolabError, match="died with code -9"):
        helper.ask("response", "7", "7")
    helper._close()


@pytest.mark.parametrize(
    ("text", "box"),
    [
        (r"a \boxed{1} b \boxed{ 2 } c", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\left\{ x \right.}", r"\left\{ x \right."),
        (r"\boxed 32$", "32"),
        (r"\boxed{1", None),
        ("1", None),
    ],
)
def test_the_last_box(text, box):
    assert last_box(text) == box
