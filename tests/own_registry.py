"""Allocators that a test registers and nobody sees after it."""

from __future__ import annotations

import pytest

from cerolab import registry


def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is registered from here to the end of the test is forgotten then.

    All that is built in is imported first: imported within the test it would be forgotten too, and no second import
    registers it again.
    """
    for name in registry._BUILT_IN:
        registry.allocator_class(name)
    monkeypatch.setattr(registry, "_REGISTERED", dict(registry._REGISTERED))
