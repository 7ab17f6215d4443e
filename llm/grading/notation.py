r"""One way of writing for what can be written in many: ``\dfrac 12``, ``½`` and ``\frac{1}{2}`` come out as one text.

Case, and spaces between digits or letters, mean something and stay. Nothing is guessed here: what a text means is for
``llm.grading.answers`` to say.
"""

from __future__ import annotations

import re

_RAISED = "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
_CHARACTERS = {
    "\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "\N{MULTIPLICATION SIGN}": r"\times ", "\N{DOT OPERATOR}": r"\cdot ",
    "\N{MIDDLE DOT}": r"\cdot ", "\N{DIVISION SIGN}": r"\div ", "\N{GREEK SMALL LETTER PI}": r"\pi ",
    "\N{INFINITY}": r"\infty ", "\N{DEGREE SIGN}": r"^{\circ}", "\N{LESS-THAN OR EQUAL TO}": r"\le ",
    "\N{GREATER-THAN OR EQUAL TO}": r"\ge ", "\N{NOT EQUAL TO}": r"\ne ", "\N{UNION}": r"\cup ",
    "\N{INTERSECTION}": r"\cap ", "\N{EMPTY SET}": r"\emptyset ", "\N{ELEMENT OF}": r"\in ",
    "\N{PLUS-MINUS SIGN}": r"\pm ", "\N{GREEK SMALL LETTER THETA}": r"\theta ", "\N{ALMOST EQUAL TO}": r"\approx ",
    "\N{DOUBLE-STRUCK CAPITAL R}": r"\mathbb{R}", "\N{HORIZONTAL ELLIPSIS}": r"\ldots ", "\N{RATIO}": ":",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'", "\N{NO-BREAK SPACE}": " ", "\N{THIN SPACE}": " ",
    "\N{NARROW NO-BREAK SPACE}": " ", "\N{FRACTION SLASH}": "/",
    "\N{LATIN CAPITAL LETTER O WITH STROKE}": r"\emptyset ",
    "\N{VULGAR FRACTION ONE HALF}": r"\frac{1}{2}", "\N{VULGAR FRACTION ONE QUARTER}": r"\frac{1}{4}",
    "\N{VULGAR FRACTION THREE QUARTERS}": r"\frac{3}{4}", "\N{VULGAR FRACTION ONE THIRD}": r"\frac{1}{3}",
    "\N{VULGAR FRACTION TWO THIRDS}": r"\frac{2}{3}",
    **{c: f"^{{{d}}}" for c, d in zip(_RAISED, "0123456789", strict=True)},
    **{chr(0x2080 + d): f"_{{{d}}}" for d in range(10)},
}  # fmt: skip
_TABLE = str.maketrans(_CHARACTERS)

# Commands that only change how something looks, and other names of the same thing.
_DRESS = re.compile(
    r"\\(?:left|right|mleft|mright)\s*\.|"
    r"\\(?:left|right|mleft|mright|[bB]igg?[lrm]?|displaystyle|textstyle|limits|nolimits|boldsymbol|bm|centering"
    r"|color\s*\{[^{}]*\})(?![a-zA-Z])|\\hspace\*?\s*\{[^{}]*\}|\\(?:phantom|hphantom|vphantom)\s*\{[^{}]*\}"
)
_DELIMITER = re.compile(r"(?<!\\)\\[()\[\]]|(?<!\\)\$+")
_SPACE = re.compile(r"(?<!\\)\\(?:quad|qquad|enspace|thinspace|space|,|;|:|>| )|~")
_NAMES = {
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "dbinom": "binom", "tbinom": "binom", "leq": "le", "geq": "ge",
    "leqslant": "le", "geqslant": "ge", "neq": "ne", "varnothing": "emptyset", "infin": "infty", "dots": "ldots",
    "cdots": "ldots", "dotsc": "ldots", "lbrace": "{", "rbrace": "}", "lbrack": "[", "rbrack": "]", "lvert": "|",
    "rvert": "|", "vert": "|", "colon": ":", "mid": "|", "backslash": "setminus", "smallsetminus": "setminus",
    "degree": "degree", "lparen": "(", "rparen": ")", "ast": "*", "land": "and", "lor": "or", "wedge": "wedge",
    "simeq": "approx", "doteq": "approx", "R": "mathbb{R}", "gt": ">", "lt": "<", "euro": "$", "pounds": "$",
    "textdollar": "$", "textbackslash": "setminus", "arctg": "arctan", "tg": "tan", "ctg": "cot",
}  # fmt: skip
_COMMAND = re.compile(r"\\([a-zA-Z]+)")
_TEXT = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt|normal|up)?|math(?:rm|bf|it|sf|tt|normal)|mbox|hbox|fbox|emph|operatorname\*?)"
    r"\s*\{([^{}]*)\}"
)
_LETTER = re.compile(r"\\(?:text(?:bf|it|rm|sf)?|math(?:rm|bf|it|sf)|rm|bf)\s*([A-Za-z0-9])(?![A-Za-z0-9])")
_OLD_FONT = re.compile(r"\{\s*\\(?:rm|bf|it|sf)\s+([^{}]*)\}")
FUNCTIONS = frozenset(
    [
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "arcsin",
        "arccos",
        "arctan",
        "sinh",
        "cosh",
        "tanh",
        "log",
        "ln",
        "lg",
        "exp",
        "max",
        "min",
        "gcd",
        "lcm",
        "det",
    ]
)
_ALSO_UNITS = ("min", "max", "sec")
_LETTER_UNITS = tuple("mgshLNJWVKF")
_BARE = re.compile(r"(?<![a-zA-Z\\{])(sqrt|pi|infinity|inf|oo|sin|cos|tan|arctan|log|ln|exp|theta)(?![a-zA-Z}])")
_BARE_PI = re.compile(r"(?<=[0-9)])(pi|sqrt)(?![a-zA-Z])")
_ARGUMENTS = {"frac": 2, "binom": 2, "sqrt": 1, "pmod": 1}
_POWER_OF_TEN = re.compile(r"(?<![\w.])([0-9]+(?:\.[0-9]+)?)[eE]([-+]?[0-9]{1,4})(?![\w.])")
_JOIN = "\N{INVISIBLE SEPARATOR}"  # between the digits of what may be one number
_THOUSANDS = re.compile(f"(?<![\\d.{_JOIN}])[0-9]{{1,3}}(?:{_JOIN}[0-9]{{3}})+(?![\\d{_JOIN}])")
_LONGEST = 1500  # characters of an answer
_DEEPEST = 40  # levels of braces


class UnreadableError(ValueError):
    """A text that is no formula."""


def plain(text: str) -> str:
    """The text in one way of writing.

    Raises:
        UnreadableError: braces that do not match, a command without its arguments, or too long.
    """
    if len(text) > _LONGEST:
        raise UnreadableError
    text = re.sub(r"√\s*(\(?)", lambda m: "\\sqrt" + (m.group(1) or " "), text)
    text = text.translate(_TABLE)
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"(^|=)\s*\+-|\+/-", r"\1\\pm ", text)
    text = re.sub(r"\{\s*,\s*\}", ",\\!", text)
    text = re.sub(r"\{\s*([:.])\s*\}", r"\1", text)
    text = re.sub(r"(?<=[0-9]),?\\!\s*(?=[0-9])", _JOIN, text)
    text = re.sub(r"(?<=[0-9])\s*(?:(?<!\\)\\[,; ]|~)\s*(?=[0-9]{3}(?![0-9]))", _JOIN, text)
    text = _THOUSANDS.sub(lambda match: match.group().replace(_JOIN, ""), text).replace(_JOIN, " ")
    text = text.replace("\\!", "").replace("\\$", "$ ").replace("\\%", "%").replace("\\&", "&")
    text = text.replace("\\{", "\\lbrace ").replace("\\}", "\\rbrace ").replace("\\|", "\\Vert ")
    text = _DRESS.sub(" ", text)
    text = _DELIMITER.sub(" ", text)
    text = _SPACE.sub(" ", text)
    text = _OLD_FONT.sub(r"\\text{\1}", text)
    text = _LETTER.sub(r" \1 ", text)
    for _ in range(3):
        text = _TEXT.sub(_untext, text)
    text = text.replace("\\lbrace", "\\{").replace("\\rbrace", "\\}")
    text = _COMMAND.sub(_renamed, text)
    text = re.sub(r"[(\[]\s*\\begin\{array\}\s*\{[^{}]*\}(.*?)\\end\{array\}\s*[)\]]", _matrix, text)
    text = text.replace("\\mathbb R", "\\mathbb{R}").replace("\\degree", "^{\\circ}").replace("^\\circ", "^{\\circ}")
    text = re.sub(r"\\\$", " ", text)
    text = _POWER_OF_TEN.sub(r"\1\\times 10^{\2}", text)
    text = _BARE.sub(_bare, text)
    text = _BARE_PI.sub(_bare, text)
    text = re.sub(r"(?<=[\w)}\]])\s*\*\*\s*(?=[-\w({\\])", "^", text)
    text = re.sub(r"\s+", " ", text).strip(" *`_\t").strip()
    text = re.sub(r"[\s.,;:]+$", "", text) if not text.endswith("\\") else text.rstrip("\\ ")
    return _with_arguments(text, 0).strip()


def _untext(match: re.Match[str]) -> str:
    """Words stay words; a letter, a number or the name of a function in a font is just that."""
    inside = match.group(1).strip()
    if inside in FUNCTIONS and (inside not in _ALSO_UNITS or "operatorname" in match.group()):
        return f"\\{inside} "
    if inside in ("and", "or"):
        return f" {inside} "
    if inside in _LETTER_UNITS and match.string[: match.start()].rstrip()[-1:] in tuple("0123456789)}/"):
        return "\\text{" + inside + "}"
    if len(inside) == 1 or re.fullmatch(r"[-+0-9.,/:%$() ]*", inside):
        return f" {inside} " if inside else " "
    if re.fullmatch(r"\(?[A-Z][).]|[A-J](?:,? ?[A-J])*", inside):
        return inside
    return "\\text{" + " ".join(inside.split()) + "}"


def _renamed(match: re.Match[str]) -> str:
    name = _NAMES.get(match.group(1), match.group(1))
    if name in ("and", "or"):
        return f" {name} "
    return name + " " if name in "[]|:()*><$" else f"\\{name}"


def _matrix(match: re.Match[str]) -> str:
    return "\\begin{pmatrix}" + match.group(1) + "\\end{pmatrix}"


def _bare(match: re.Match[str]) -> str:
    name = match.group(1)
    return "\\infty " if name in ("infinity", "inf", "oo") else f"\\{name} " if name != "sqrt" else "\\sqrt"


def closing(text: str, start: int) -> int:
    """Where the brace, bracket or parenthesis at ``start`` closes.

    Raises:
        UnreadableError: nowhere.
    """
    depth = 0
    pairs = {"{": "}", "(": ")", "[": "]"}
    opening = text[start : start + 1]
    if opening not in pairs:
        raise UnreadableError
    close = pairs[opening]
    position = start
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 2
            continue
        depth += (character == opening) - (character == close)
        if depth == 0:
            return position
        position += 1
    raise UnreadableError


def _with_arguments(text: str, depth: int) -> str:
    r"""Every argument in braces: ``\frac1{\mathrm e}``, ``\sqrt2``, ``x^10``, ``\sqrt(2)``."""
    if depth > _DEEPEST:
        raise UnreadableError
    out: list[str] = []
    position = 0
    while position < len(text):
        command = _COMMAND.match(text, position)
        if command and command.group(1) == "text":
            end = closing(text, command.end())
            out.append(text[position : end + 1])
            position = end + 1
        elif command:
            name, position = command.group(1), command.end()
            out.append(f"\\{name}")
            if name == "sqrt" and text[position:].lstrip().startswith("["):
                start = text.index("[", position)
                end = closing(text, start)
                out.append(f"[{_with_arguments(text[start + 1 : end], depth + 1)}]")
                position = end + 1
            for _ in range(_ARGUMENTS.get(name, 0)):
                argument, position = _argument(text, position, depth, many=False)
                out.append("{" + argument + "}")
            if name not in _ARGUMENTS and position < len(text) and text[position].isalpha():
                out.append(" ")
            if name == "frac" and text[position:].lstrip()[:1] in tuple("0123456789("):
                out.append("\\cdot ")
        elif text[position] in "^_":
            out.append(text[position])
            argument, position = _argument(text, position + 1, depth, many=True)
            out.append("{" + argument + "}")
        elif text[position] == "{":
            end = closing(text, position)
            out.append("{" + _with_arguments(text[position + 1 : end], depth + 1) + "}")
            position = end + 1
        elif text[position] == "}":
            raise UnreadableError
        elif text[position] == "\\":
            out.append(text[position : position + 2])
            position += 2
        else:
            out.append(text[position])
            position += 1
    return "".join(out)


def _argument(text: str, position: int, depth: int, many: bool) -> tuple[str, int]:
    """The next argument without its braces, and where it ends; of a power, a whole number or a parenthesis too."""
    while position < len(text) and text[position] == " ":
        position += 1
    if position >= len(text):
        raise UnreadableError
    if text[position] == "{":
        end = closing(text, position)
        return _with_arguments(text[position + 1 : end], depth + 1).strip(), end + 1
    command = _COMMAND.match(text, position)
    if command:
        end = command.end()
        for _ in range(_ARGUMENTS.get(command.group(1), 0)):
            end = _argument(text, end, depth + 1, many=False)[1]
        return _with_arguments(text[position:end], depth + 1).strip(), end
    number = re.compile(r"[-+]?[0-9]+").match(text, position) if many else None
    if number:
        return number.group(), number.end()
    if text[position] == "(" and (many or text[:position].endswith("\\sqrt")):
        end = closing(text, position)
        inside = _with_arguments(text[position + 1 : end], depth + 1)
        return inside.strip(), end + 1
    if text[position] in ")]}^_=+*/,;\\" or (text[position] == "-" and not many):
        raise UnreadableError
    return text[position], position + 1
