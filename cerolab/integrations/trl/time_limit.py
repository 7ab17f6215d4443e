"""A limit on the seconds of a call that may never return, in the thread that makes it.

A timer thread sends the main thread a signal, whose handler raises: that ends Python code, ``sleep`` and waiting for a
network, though not a computation in C that never looks up. The signal is not SIGALRM, which math-verify uses for
limits of its own.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cerolab.errors import InvalidValueError

_SIGNAL = getattr(signal, "SIGRTMIN", signal.SIGUSR2)
_limits: list[_Limit] = []  # those that run


class TooSlowError(Exception):
    """A call took longer than its limit."""


class _Expired(BaseException):
    """Raised inside the call; no ``except Exception`` in there swallows it."""


class _Limit:
    expired = False
    running = True


def check_thread(seconds: float) -> None:
    """Refuse a limit where it cannot be kept.

    Raises:
        InvalidValueError: this is not the main thread, the only one that signals reach.
    """
    if seconds and threading.current_thread() is not threading.main_thread():
        raise InvalidValueError(
            "reward_seconds", seconds, "needs the main thread", "train in the main thread, or set no limit"
        )


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Let what stands inside take at most so many seconds; 0 for no limit.

    Raises:
        TooSlowError: it took longer, even if it ended in the end.
    """
    if not seconds:
        yield
        return
    check_thread(seconds)
    if signal.getsignal(_SIGNAL) is not _ring:
        signal.signal(_SIGNAL, _ring)  # and it stays: a signal that comes late must not end the process
    limit, main = _Limit(), threading.main_thread().ident

    def expire() -> None:
        limit.expired = True
        if main is not None:
            signal.pthread_kill(main, _SIGNAL)

    timer = threading.Timer(seconds, expire)
    timer.daemon = True
    _limits.append(limit)
    try:
        try:
            timer.start()
            yield
        finally:
            limit.running = False
    except _Expired:
        if not limit.expired:  # of a limit around this one
            raise
    finally:
        limit.running = False  # the signal may have come in the finally above
        timer.cancel()
        timer.join()
        _limits.remove(limit)
    if limit.expired:
        raise TooSlowError(f"no answer after {seconds:g} s")


def _ring(*_: Any) -> None:
    if any(limit.running and limit.expired for limit in _limits):
        raise _Expired
