"""What goes wrong in an allocator's own code, said with file and line."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from traceback import FrameSummary, extract_tb
from typing import Any

from cerolab.errors import AllocatorError

_NOT_USERS = (Path(__file__).parents[1], Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("purelib")))


def raised(allocator: Any, step: str, error: Exception) -> AllocatorError:
    """The error for a step of an allocator that raised: what, where, and in which round and run."""
    return AllocatorError(
        f"{allocator.name}: {step} raised {type(error).__name__}: {error} ({raised_at(error)}; "
        f"round {allocator.round_index}, seed={allocator.seed}, {allocator.options})"
    )


def raised_at(error: BaseException) -> str:
    """``file.py, line 12, in f``: the innermost place that is neither cerolab's nor a library's, else the innermost."""
    frames = extract_tb(error.__traceback__)
    if not frames:
        return "no traceback"
    users = [frame for frame in frames if _is_users(frame)]
    frame = (users or frames)[-1]
    return f"{frame.filename}, line {frame.lineno}, in {frame.name}"


def defined_at(function: Any) -> str:
    """``file.py, line 12``, or the function's name where that is not known."""
    code = getattr(function, "__code__", None)
    return str(function) if code is None else f"{code.co_filename}, line {code.co_firstlineno}"


def _is_users(frame: FrameSummary) -> bool:
    path = Path(frame.filename)
    return not any(path.is_relative_to(folder) for folder in _NOT_USERS) and "<frozen" not in frame.filename


def described(value: object) -> str:
    """A value that a step returned, in a few words: None, a tuple of 2, ..."""
    if value is None:
        return "None"
    name = type(value).__name__
    article = "an" if name[0].lower() in "aeiou" else "a"
    return f"{article} {name} of {len(value)}" if isinstance(value, (tuple, list, dict, set)) else f"{article} {name}"
