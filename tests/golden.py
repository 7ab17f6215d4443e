"""Golden allocations: ``python -m tests.golden`` writes tests/golden/<name>.json for every allocator.

The tests compare and never write. Say in the commit why an allocation changed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cerolab import AllocationProblem, available, make
from tests.strategies import Luck, options_for, play

FOLDER = Path(__file__).with_suffix("")
PROBLEM = AllocationProblem(
    num_prompts=12, num_rounds=15, budget=70, capacity=7, max_units=2, responses_per_unit=4, saturation=1.0
)
RATES = (0.5, 0.0, 1.0, 0.1, 0.85, 0.25, 0.6, 0.7, 0.03, 0.45, 0.98, 0.35)  # distinct p(1-p): no ties for the oracle
SEED = 7
LUCK_SEED = 2606


def path(name: str) -> Path:
    """Where the golden of an allocator lies."""
    return FOLDER / f"{name}.json"


def computed(name: str) -> dict[str, Any]:
    """What the allocator does today, as JSON-ready values."""
    allocator = make(name, PROBLEM, seed=SEED, **options_for(name, PROBLEM, RATES, schedule_of="cero"))
    result = play(allocator, PROBLEM, Luck(PROBLEM, RATES, LUCK_SEED))
    return {
        "method": name,
        "seed": SEED,
        "problem": PROBLEM.to_dict(),
        "rates": list(RATES),
        "waves": [
            {"prompts": allocation.prompts.tolist(), "units": allocation.units.tolist()}
            for allocation in result.allocations
        ],
        "remaining": result.ledger.remaining,
    }


def stored(name: str) -> dict[str, Any]:
    """The golden on disk."""
    golden: dict[str, Any] = json.loads(path(name).read_text())
    return golden


def _text(golden: dict[str, Any]) -> str:
    waves = ",\n    ".join(json.dumps(wave) for wave in golden["waves"])
    rest = ",\n  ".join(
        f"{json.dumps(key)}: {json.dumps(value) if key != 'waves' else f'[{chr(10)}    {waves}{chr(10)}  ]'}"
        for key, value in golden.items()
    )
    return f"{{\n  {rest}\n}}\n"


def main() -> None:
    """Rewrite every golden."""
    FOLDER.mkdir(exist_ok=True)
    for name in available():
        text = _text(computed(name))
        changed = not path(name).exists() or path(name).read_text() != text
        path(name).write_text(text)
        print(f"{path(name).relative_to(FOLDER.parent.parent)}: {'changed' if changed else 'as before'}")


if __name__ == "__main__":
    main()
