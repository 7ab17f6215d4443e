"""What every command of ``analysis`` does with an error of ours: say it on one line, exit with 1."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from cerolab.errors import CerolabError

P = ParamSpec("P")


def says_errors(main: Callable[P, int]) -> Callable[P, int]:
    """A command whose ``CerolabError`` ends in ``error: ...`` on stderr and exit status 1."""

    @wraps(main)
    def run(*args: P.args, **given: P.kwargs) -> int:
        try:
            return main(*args, **given)
        except CerolabError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1

    return run
