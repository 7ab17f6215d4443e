r"""Answers and responses of every kind, with what mathematics says of them, and properties that no kind breaks.

``data/answers.jsonl`` was written by hand: kind, answer, response, and 1 where the response is right.
"""

import json
import re
import time
from collections import defaultdict
from pathlib import Path

import pytest

from cerolab.errors import InvalidValueError
from llm.grading.final_answer import final_answers
from llm.grading.math_equivalence import is_mathematical, means
from llm.grading.verify import final_number
from llm.tasks import Question, load_task

math_verify = pytest.importorskip("math_verify")

ROWS = [json.loads(line) for line in (Path(__file__).parent / "data" / "answers.jsonl").read_text().splitlines()]
KINDS = defaultdict(list)
for _row in ROWS:
    KINDS[_row["kind"]].append((_row["gold"], _row["response"], bool(_row["right"])))
GOLDS = sorted({row["gold"] for row in ROWS})


def question(answer):
    return Question("id", "prompt", answer, "suite")


def pays(text, answer):
    try:
        return means(text, answer)
    except InvalidValueError:
        return False


def alone(text, answer):
    """What math-verify says by itself."""
    return math_verify.verify(math_verify.parse(rf"\boxed{{{answer}}}"), math_verify.parse(text))


def test_the_pairs_are_many_and_of_both_sorts():
    assert len(ROWS) >= 500
    assert len({(row["gold"], row["response"]) for row in ROWS}) == len(ROWS)
    assert sum(row["right"] for row in ROWS) >= 200
    assert sum(not row["right"] for row in ROWS) >= 200
    assert len(KINDS) >= 30


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_response_is_paid_when_it_is_right(kind):
    wrong = [(gold, text, right) for gold, text, right in KINDS[kind] if pays(text, gold) != right]
    assert wrong == []


@pytest.mark.parametrize("gold", GOLDS)
def test_an_answer_is_right_for_itself_and_wrong_with_another_digit(gold):
    assert means(rf"so \boxed{{{gold}}}", gold)
    if re.search("lfloor|binom|6/2=3", gold):  # of 2.5 and of 2.6 it is the same; 5 over 2 is 5 over 3
        return
    digits = list(re.finditer("[0-9]", gold))
    for digit in (digits[:1] + digits[-1:])[: len(digits)]:
        other = gold[: digit.start()] + str((int(digit.group()) + 1) % 10) + gold[digit.end() :]
        assert not means(rf"so \boxed{{{other}}}", gold), other


@pytest.mark.parametrize(
    "gold",
    [
        r"1-\frac1{\mathrm e}", r"\frac \pi4 + 2 - \sqrt2", r"2007 + \frac\pi 2", "n=2, 3, 4", r"\frac{2^{2005}+1}{3}",
        r"\pm 2021", "(27,20,13), (18,20,22)", r"2\sqrt3+5", r"12x+7y=3", r"[2,5)", r"x\le 13", r"15\text{ cm}+x",
        "3:4:5",
        r"\begin{pmatrix}1\\2\end{pmatrix}", r"\frac{3}{8}", "11,13", r"7\frac12", r"10^{12}", r"\log_2 5",
    ],
)  # fmt: skip
def test_no_number_inside_an_answer_is_the_answer(gold):
    for part in set(re.findall(r"[0-9]+", gold)) | {"1", "e", r"\pi", "x", ""}:
        for text in (rf"\boxed{{{part}}}", f"The answer is {part}.", f"#### {part}", f"{part}"):
            assert not pays(text, gold), text


# The case of a letter means nothing in a power of ten, a unit, a time, the constant of an integral, a sum that is 1.
NO_CASE = {"1e-6", r"5\text{ m/s}", "9:00 a.m.", r"\frac{x^2}{2}+C", r"\sin^2x+\cos^2x"}
LETTER = re.compile(r"(?<![\\a-zA-Z{])[a-zA-Z](?![a-zA-Z])")


@pytest.mark.parametrize("gold", [gold for gold in GOLDS if LETTER.search(gold) and gold not in NO_CASE])
def test_letters_are_themselves(gold):
    """Another case is another variable."""
    other = LETTER.sub(lambda match: match.group().swapcase(), gold)
    assert not pays(rf"\boxed{{{other}}}", gold), other


# Answers of two questions that mean the same though math-verify refuses the second for the first, of all pairs.
SAME = {
    (r"(-\infty,-2)\cup(3,\infty)", "x<-2 or x>3"),
    (r"(-\infty,1)\cup(2,\infty)", r"x<1 \text{ or } x>2"),
    (r"(-\infty,3]", r"x\le3"),
    ("(0,1)", "0<x<1"),
    ("(1,2,3)", r"\langle 1,2,3\rangle"),
    ("1,2", "[1,2]"),
    ("1,2,3", r"\langle 1,2,3\rangle"),
    (r"1-\frac1{\mathrm e}", r"1-\frac1{\mathrm{e}}"),
    (r"1-\frac1{\mathrm{e}}", r"1-\frac1{\mathrm e}"),
    ("10^{-6}", "1e-6"),
    ("1e-6", "10^{-6}"),
    ("2(3)", "6"),
    (r"33\frac13\%", r"\frac13"),
    (r"33\frac13\%", r"\frac{100}{3}"),
    (r"33\frac13\%", r"\{\frac13\}"),
    (r"45^\circ", r"\arctan 1"),
    (r"45^{\circ}", r"\arctan 1"),
    ("6", "2(3)"),
    (r"90^\circ", r"\frac{\pi}{2}"),
    ("C", r"\textbf{(C)}\ 12"),
    ("No solution", r"\emptyset"),
    ("No solution", r"\varnothing"),
    ("[1,2]", "1,2"),
    ("[1,2]", "x=1 or x=2"),
    ("[1,2]", "x=1,2"),
    (r"[\sqrt{2},\infty)", r"m\ge\sqrt2"),
    (r"\arctan 1", r"45^\circ"),
    (r"\arctan 1", r"45^{\circ}"),
    (r"\emptyset", "No solution"),
    (r"\emptyset", r"\varnothing"),
    (r"\frac13", r"33\frac13\%"),
    (r"\frac{100}{3}", r"33\frac13\%"),
    (r"\frac{1}{\sqrt n}", r"\sqrt{1/n}"),
    (r"\frac{\pi}{2}", r"90^\circ"),
    (r"\langle 1,2,3\rangle", "(1,2,3)"),
    (r"\langle 1,2,3\rangle", "1,2,3"),
    (r"\langle 1,2,3\rangle", "a=1,b=2,c=3"),
    (r"\sqrt{1/n}", r"\frac{1}{\sqrt n}"),
    (r"\textbf{(C)}\ 12", "12"),
    (r"\textbf{(C)}\ 12", r"3\cdot4"),
    (r"\textbf{(C)}\ 12", "C"),
    (r"\textbf{(C)}\ 12", r"\text{(C)}"),
    (r"\text{(C)}", r"\textbf{(C)}\ 12"),
    (r"\varnothing", "No solution"),
    (r"\varnothing", r"\emptyset"),
    (r"\{\frac13\}", r"33\frac13\%"),
    ("a=1,b=2,c=3", r"\langle 1,2,3\rangle"),
    ("x<-2 or x>3", r"(-\infty,-2)\cup(3,\infty)"),
    (r"x<1 \text{ or } x>2", r"(-\infty,1)\cup(2,\infty)"),
    ("x=1 or x=2", "[1,2]"),
    ("x=1,2", "[1,2]"),
}


@pytest.mark.parametrize(("gold", "other"), sorted(SAME))
def test_what_math_verify_refuses_and_is_right_is_paid(gold, other):
    assert {gold, other} <= set(GOLDS)
    assert means(rf"\boxed{{{other}}}", gold)
    assert not alone(rf"\boxed{{{other}}}", gold)


@pytest.mark.parametrize("gold", GOLDS[::9])
def test_what_math_verify_refuses_and_is_wrong_is_not_paid(gold):
    """Answers of other questions: what math-verify refuses is paid for the pairs that are named, and for no other."""
    responses = {other: rf"\boxed{{{other}}}" for other in GOLDS[::4] if other != gold and (gold, other) not in SAME}
    assert [other for other, text in responses.items() if pays(text, gold) and not alone(text, gold)] == []


NONSENSE = [
    "", " ", "\\", "{", "}", "\\boxed", "\\boxed{", "\\text", "\\frac", "\\frac{", "$", "$$", "\\sqrt[", "^", "_",
    "\\{", "\\}",
    "\\left", "\\begin{pmatrix}",
    "(" * 500, "{" * 500, "}" * 500, "\\frac" * 200, "1" * 3000, "x^" * 300, "\\pm" * 50, "1,2" * 500,
    "\x00", "\ud800", "\u0663", "\N{FULLWIDTH DIGIT ONE}", "√", "½½½", "√(", "9^{9^{9^9}}", "1000000!", "(1,", "[1",
    "x=", "=", "<",
    "1 to", "1:", ":", "<answer>", "<answer></answer>", "####", "#### ", "Answer:", "the answer is", "</think>",
    "\\boxed{\\boxed{}}",
    "\\boxed{" * 300, "$" * 3000, "=" * 3000, "\\text{" * 100, "1+" * 700, "\\sum_{k=1}^{10^{10}} k", "\\int",
    "\\lim", "\\binom{1}",
    "\\binom{99999999}{4444444}", "\\{x|", "\\{|\\}", "x\\in", "1\\cup2", "(1,2)\\cup", "_8", "12_", "1_{}", "a.m.",
    "12:99", "%", "-",
]  # fmt: skip


@pytest.mark.parametrize(
    "gold", ["18", r"\frac{1}{2}", "x^2+1", "(1,2)", r"\{1,2\}", r"(-\infty,3]", r"\text{Bea}", "B"]
)
def test_nonsense_is_wrong_without_an_error_and_soon(gold):
    begun = time.monotonic()
    for text in NONSENSE:
        assert not means(text, gold), text
        assert not means(rf"\boxed{{{text}}}", gold), text
        final_number(text, question("18"))
    assert time.monotonic() - begun < 60


@pytest.mark.parametrize("text", NONSENSE)
def test_nonsense_is_no_answer_of_a_question(text):
    if is_mathematical(text):
        assert means(rf"\boxed{{{text}}}", text)
        assert not means(r"\boxed{18}", text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"\boxed{18}. Note that 16-3-4=9.", ["18"]),
        (r"\boxed{1} and \boxed{2}", ["1 , 2"]),
        (r"not \boxed{17} but \boxed{18}", ["18"]),
        ("#### 18\nThat is all.", ["18"]),
        ("The answer is (B).", ["(B)"]),
        ("18 (see step 2)", ["18"]),
        ("12*6 = 72, then", []),
        ("<think>\\boxed{1}</think>\\boxed{2}", ["2"]),
        ("I do not know.", ["I do not know."]),
    ],
)
def test_the_answer_stands_where_the_writer_put_it(text, found):
    assert final_answers(text)[:1] == found


@pytest.mark.parametrize(
    ("text", "right"),
    [
        (r"gives \boxed{18}. Note that 16-3-4=9.", 1), (r"gives \boxed{9}. It is not 18", 0), ("18 (see step 2)", 1),
        ("12*6 = 18, then", 0), ("#### 18\nwhich is 3 more than 15", 1),
        ("The answer is 18. 9+9 is 18, and 2+2 is 4.", 1),
        ("The answer is 18 apples, 3 more than 15.", 1), (r"\boxed{\$18.00}", 1), (r"\boxed{18 \text{ dollars}}", 1),
        (r"\boxed{x = 18}", 1), (r"\boxed{\sqrt{18}}", 0), (r"\boxed{2 \cdot 18}", 0), ("To answer: add. So 18.", 1),
        (r"\boxed{}", 0), (r"\boxed{eighteen} 18", 0), (r"\boxed{\frac{36}{2}}", 1), ("A: 18", 1), ("**Answer: 18**",
        1),
        ("#### Step 1: 3\n#### Step 2: 15\nThe total is 18", 1), ("18", 1), ("It is 81.", 0),
    ],
)  # fmt: skip
def test_final_number_looks_where_the_answer_stands(text, right):
    assert final_number(text, question("18")) == right


@pytest.mark.parametrize(
    "answer",
    [
        r"\max \text{ at } x=2, \min \text{ at } x=4", r"3x+", r"5 4.6", r"\frac{1}{", r"x \nosuch 3",
        r"2 \text{ if } x>0",
        r"1.2.3", r"3 \text{ for all real numbers } t > 5",
    ],
)  # fmt: skip
def test_an_answer_that_is_not_understood_is_left_out_and_counted(answer, tmp_path, caplog):
    rows = [
        {"problem": f"Question {k}?", "answer": one} for k, one in enumerate(["18", answer, r"1-\frac1{\mathrm e}"])
    ]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    task = load_task(f"math({path})", 0, 0)
    assert task.dropped == {"answer cannot be parsed": 1}
    assert {one.answer for one in task.train} == {"18", r"1-\frac1{\mathrm e}"}
    assert f"{path} row 2 left out: answer cannot be parsed" in caplog.messages
