"""What is asked for inside a round waits for its end: only there do weights, allocator and ledger fit together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers.trainer_callback import CallbackHandler

_ASKED = ("should_evaluate", "should_save", "should_epoch_stop", "should_training_stop")


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


class HoldingHandler(CallbackHandler):  # type: ignore[misc]  # transformers is untyped
    """TRL's callbacks, all of them, whenever they were added; a stop that one asks for inside an optimizer step waits.

    TRL's loop would break there, between two micro-batches. After a whole optimizer step the trainer holds it itself.

    Args:
        handler: TRL's, whose place this one takes.
        hold: takes requests from ``control`` where they have to wait.
    """

    def __init__(self, handler: CallbackHandler, hold: Callable[[Any], None]):
        super().__init__(
            handler.callbacks, handler.model, handler.processing_class, handler.optimizer, handler.lr_scheduler
        )
        self._hold = hold

    def on_substep_end(self, args: Any, state: Any, control: Any, **given: Any) -> Any:
        """After a micro-batch that is not the optimizer step's last."""
        control = super().on_substep_end(args, state, control, **given)
        self._hold(control)
        return control
