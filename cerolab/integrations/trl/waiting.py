"""What is asked for inside a round waits for its end: only there do weights, allocator and ledger fit together."""

from __future__ import annotations

from typing import Any

_ASKED = ("should_evaluate", "should_save", "should_training_stop")


class Waiting:
    """Requests to evaluate, to save and to stop, as TRL's loop and its callbacks make them, between two round ends."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def hold(self, control: Any) -> None:
        """Take the requests from ``control``."""
        for name in _ASKED:
            if getattr(control, name):
                self.asked.add(name)
                setattr(control, name, False)

    def release(self, control: Any) -> None:
        """Give them back."""
        for name in self.asked:
            setattr(control, name, True)
        self.asked.clear()
