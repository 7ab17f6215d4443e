r"""Where a response gives its answer: in a box, in tags, after ``####``, after "the answer is", or at its end.

What the writer marked comes before what merely stands last, and a response that breaks off before it has marked
anything gives none.
"""

from __future__ import annotations

import re
from itertools import pairwise

from llm.grading.notation import UnreadableError, closing

TAIL = 4000  # characters of a response without a mark that are searched

_LONG = 80  # characters of what "answer:" begins a derivation with

_BOX = re.compile(r"\\(?:boxed|fbox)\s*(?:\{|(\w+))")
_BETWEEN = re.compile(
    r"(?:[\s$,;]|\\[\[\]()]|\\(?:quad|qquad|,|;| )|and|or|\\text\{[\s,]*(?:and|or)?[\s,]*\}|&|[a-zA-Z]_?\{?\d?\}?\s*=)*"
)
_THOUGHT = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_TAG = re.compile(r"<answer>(.*?)</answer>", re.IGNORECASE | re.DOTALL)
_HASHES = re.compile(r"^[ \t]*####[ \t]*(\S[^\n]*)$", re.MULTILINE)
_HEADING = re.compile(
    r"(?:\**(?:Step|Part|Case|Solution|Explanation|Example|Conclusion|Verification)\b|\d+[.)]\s+\S|[^\n]*:\**$)"
)
_SAYS = re.compile(
    r"^[ \t]*(?:A|Ans)[ \t]*:[ \t]*|\b(?:correct|right|best)\s+(?:option|choice|letter)\s+is\s*:?\s*"
    r"|(?:final\s+|correct\s+)?answer\b"
    r"(?:\s+(?:to\s+(?:the|this)\s+(?:question|problem)|here|choice|option))?[*_\s]*"
    r"(?:(?:is|are|would\s+be|will\s+be|must\s+be)\b\s*:?|:|=)[*_\s]*",
    re.IGNORECASE | re.MULTILINE,
)
_NEXT = re.compile(r"\n\s*(?:Question|Problem|Q|Human|User)\s*:", re.IGNORECASE)
_MATH = re.compile(r"\$\$(.+?)\$\$|(?<!\\)\$([^$\n]+?)(?<!\\)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_JOINED = re.compile(r"\s*(?:,|;|and|or|,\s*and|,\s*or)?\s*")
_LISTING = re.compile(r"\s*(?:,\s*(?:and|or)?|and|or)\s*")
_ASIDE = re.compile(
    r"\s*\((?:see|or|he|she|it|they|not|this|from|step|note|cf|by|as|since|because|using|eq|equation|check|where|rounded|per|ref|which|i\.e\.|e\.g\.)\b[^()]*\)",
    re.IGNORECASE,
)
_BROKEN_OFF = re.compile(
    r"(?:[,;:=+*/(<>^_\\-]|\b(?:then|so|and|or|but|the|a|an|is|are|of|to|plus|times|minus|because|therefore|thus|hence|since|which"
    r"|with|for|we|he|she|they|it|that|this|in|by|at|on|from|if|when|next|now|also|each|per|gives|get|equals|have|has))\s*$",
    re.IGNORECASE,
)
_TERM = (
    r"(?:-?[$€£]?-?(?:[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?|\.[0-9]+)(?:\s+[0-9]+/[0-9]+)?[a-zA-Z]?|[b-zB-HJ-Z])"
    r"(?![a-zA-Z0-9{_])"
)
_PLAIN = re.compile(
    rf"(?<![\w.\\{{^_])(?:[(\[{{][^()\[\]{{}}]*[0-9][^()\[\]{{}}]*,[^()\[\]{{}}]*[)\]}}]"
    rf"|{_TERM}(?:\s*(?:\*\*|[-+*/^=\u00d7\u00b7])\s*{_TERM})*%?)"
)
_PROSE = re.compile(r"(?<![\\A-Za-z{])(?:[A-Za-z]{3,}|is|of|it|to|so|in|by|we|at|he)(?![A-Za-z])", re.IGNORECASE)


def last_box(text: str) -> str | None:
    r"""What stands in the last ``\boxed{...}`` that closes; None when there is none."""
    boxes = _boxes(text)
    return boxes[-1][2] if boxes else None


def _boxes(text: str) -> list[tuple[int, int, str]]:
    """Start, end and content of every box that closes and stands in no other."""
    found: list[tuple[int, int, str]] = []
    position = 0
    while match := _BOX.search(text, position):
        if match.group(1) is not None:  # "\boxed 5"
            found.append((match.start(), match.end(), match.group(1)))
            position = match.end()
            continue
        try:
            end = closing(text, match.end() - 1)
        except UnreadableError:
            position = match.end()
            continue
        content = text[match.end() : end].strip()
        found.append((match.start(), end + 1, last_box(content) or content))
        position = end + 1
    return found


def final_answers(text: str) -> list[str]:
    """The answer that a response gives, as it is written; none for none.

    Returns:
        The last box alone; without a box what the last mark says, and then what stands last: a mark may be none.
    """
    thought = list(_THOUGHT.finditer(text))
    if thought and text[thought[-1].end() :].strip():
        text = text[thought[-1].end() :]
    boxed = _boxed(text)
    if boxed is not None:
        return [boxed]
    said = marked(text)
    if said and len(said) <= _LONG and re.search(r"[0-9$\\]", said):
        return [said]
    return [found for found in (said, _last(text[-TAIL:])) if found]


def without_asides(text: str) -> str:
    """A response without "(see step 2)"; empty for one that breaks off after its last number."""
    text = _ASIDE.sub("", text)
    numbers = list(re.finditer(r"[0-9]", text))
    return "" if numbers and _breaks_off(text, numbers[-1].end()) else text


def _boxed(text: str) -> str | None:
    """The last box, with those right before it that it is listed with."""
    if text.count("\\boxed") + text.count("\\fbox") > 200:
        return None
    boxes = _boxes(text)
    if not boxes:
        return None
    joined = [boxes[-1]]
    for one in reversed(boxes[:-1]):
        between = text[one[1] : joined[0][0]]
        if len(between) > 60 or not _BETWEEN.fullmatch(between) or not between.strip():
            break
        joined.insert(0, one)
    return " , ".join(dict.fromkeys(one[2] for one in joined)) or " "


def marked(text: str) -> str | None:
    """What follows the last mark, before another question begins."""
    marks = [(m.start(), m.group(1)) for m in _TAG.finditer(text)]
    marks += [(m.start(1), m.group(1)) for m in _HASHES.finditer(text) if not _HEADING.match(m.group(1).strip())]
    marks += [(m.end(), text[m.end() :]) for m in _SAYS.finditer(text)]
    if not marks:
        return None
    cut = _NEXT.search(text, min(marks)[0])
    if cut:
        marks = [mark for mark in marks if mark[0] < cut.start()]
        text = text[: cut.start()]
        marks = [(at, said if "\n" not in said or said in text else text[at:]) for at, said in marks]
    said = max(marks)[1].strip()
    for again in _SAYS.finditer(said):
        said = said[again.end() :].strip() if again.start() == 0 else said
    return _statement(said)


def _statement(text: str) -> str | None:
    """The answer at the start of what follows a mark: a formula, or the rest of the sentence."""
    text = text.lstrip(" :*_\t\n")
    formulas = list(_MATH.finditer(text))
    line = text.split("\n", 1)[0]
    if formulas and formulas[0].start() <= len(line):
        before = text[: formulas[0].start()].strip(" *_:")
        if not before or not re.search(r"\d|[A-Z]\)|\\", before):
            return _listed(text, formulas)
    line = _ASIDE.sub("", line)
    sentence = re.split(r"(?<=[\w)}\]$%*!])[.!?]+\**(?=\s+[A-Z(\"\\]|\s*$)|(?<=\d)[.!?](?=\s)", line, maxsplit=1)[0]
    sentence = re.split(r"\s+(?:because|since|as|where|which|so|when|and (?:the|it|so|that))\s", sentence, maxsplit=1)[
        0
    ]
    sentence = re.sub(
        r"^(?:approximately|about|just|simply|therefore|equal to|option|choice)\s+",
        "",
        sentence.strip(),
        flags=re.IGNORECASE,
    )
    counted = re.match(
        r"(-?[$€£]?[0-9][0-9,./]*%?(?:\s+[A-Za-z]+){0,4}),\s+(?!(?:and|or)\b)(?=.*[A-Za-z]{3})", sentence
    )
    if counted:  # "18 apples, 3 more than before"
        sentence = counted.group(1)
    sentence = sentence.strip(' *_`"')
    return sentence or None


def _listed(text: str, formulas: list[re.Match[str]]) -> str:
    """The first formula and those that "and", "or" and commas list with it."""
    end = formulas[0].end()
    said = [_inside(formulas[0])]
    for before, after in pairwise(formulas):
        between = text[before.end() : after.start()]
        if not between.strip() or not _JOINED.fullmatch(between):
            break
        said.append(_inside(after))
        end = after.end()
    unit = re.match(r"\s*(%|percent|degrees|°)", text[end:])
    return " , ".join(said) + (unit.group(1) if unit and len(said) == 1 else "")


def _inside(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group is not None).strip()


def _last(text: str) -> str | None:
    """The whole of a short response, or else its last formula or number, whichever comes later."""
    whole = text.strip().strip("*_`").strip()
    if not whole:
        return None
    lines = [line for line in whole.splitlines() if line.strip()]
    if len(lines) == 1 and not _PROSE.search(lines[0]) and not _MATH.search(lines[0]):
        return None if _BROKEN_OFF.search(whole) else _ASIDE.sub("", whole)
    whole = _ASIDE.sub("", whole)
    formulas = list(_MATH.finditer(whole))
    masked = _MATH.sub(lambda m: " " * len(m.group()), whole)
    numbers = [match for match in _PLAIN.finditer(masked) if re.search("[0-9]", match.group())]
    if not formulas and not numbers:
        return whole if len(lines) == 1 and len(whole) <= 80 else None
    end = max([m.end() for m in formulas[-1:]] + [m.end() for m in numbers[-1:]])
    if _breaks_off(whole, end):
        return None
    if formulas and (not numbers or formulas[-1].end() > numbers[-1].end()):
        first = len(formulas) - 1
        while (
            first
            and whole[formulas[first - 1].end() : formulas[first].start()].strip()
            and _JOINED.fullmatch(whole[formulas[first - 1].end() : formulas[first].start()])
        ):
            first -= 1
        return _listed(whole, formulas[first:])
    line = whole[whole.rfind("\n", 0, numbers[-1].start()) + 1 :].split("\n", 1)[0].strip()
    if not _PROSE.search(line) and not _MATH.search(line):
        return line
    first = len(numbers) - 1
    while first and _LISTING.fullmatch(masked[numbers[first - 1].end() : numbers[first].start()]):
        first -= 1
    if not re.search(r"\b(?:and|or)\b", masked[numbers[first].end() : numbers[-1].start()]):
        first = len(numbers) - 1  # "in 2003, 5 came" is no list
    return whole[numbers[first].start() : numbers[-1].end()]


def _breaks_off(text: str, end: int) -> bool:
    """Whether a response stops in the middle of a sentence, after ``end`` where its last number stands."""
    rest = text[end:].strip(" $*_)")
    if re.search(r"[.!?]\W*$", text):
        return False
    return bool(_BROKEN_OFF.search(text)) or bool(re.match(r",\s*\w", rest))
