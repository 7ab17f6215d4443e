"""The allocator's state and the ledger's beside TRL's checkpoint: one file of plain arrays, written last."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from cerolab import Allocator, BudgetLedger
from cerolab.errors import StateError
from cerolab.records.files import write_atomically

FILE = "allocator.npz"


def save(folder: Path, allocator: Allocator, ledger: BudgetLedger) -> None:
    """Write both states into ``folder``; a checkpoint without this file was cut short."""
    states = {"allocator": allocator.state_dict(), "ledger": ledger.state_dict()}
    flat = {f"{owner}/{key}": np.asarray(value) for owner, state in states.items() for key, value in state.items()}
    write_atomically(folder / FILE, lambda stream: np.savez(stream, **flat))  # type: ignore[arg-type]


def load(folder: Path, allocator: Allocator, ledger: BudgetLedger) -> None:
    """Continue both from ``folder``.

    Raises:
        StateError: no such file, or a state of another run; nothing is changed.
    """
    file = folder / FILE
    if not file.exists():
        raise StateError(f"{folder} has no {FILE}: no checkpoint of an allocated training, or one cut short")
    states: dict[str, dict[str, Any]] = {"allocator": {}, "ledger": {}}
    with np.load(file, allow_pickle=False) as saved:
        for name in saved.files:
            owner, key = name.split("/", 1)
            states[owner][key] = saved[name]
    before = ledger.state_dict()
    ledger.load_state_dict(states["ledger"])
    try:
        allocator.load_state_dict(states["allocator"])
    except StateError:
        ledger.load_state_dict(before)
        raise


def latest(output_dir: Path) -> Path | None:
    """The last whole checkpoint below ``output_dir``; None where there is none."""
    found = [
        (int(match.group(1)), path)
        for path in output_dir.glob("checkpoint-*")
        if (match := re.fullmatch(r"checkpoint-(\d+)", path.name)) and (path / FILE).exists()
    ]
    return max(found)[1] if found else None
