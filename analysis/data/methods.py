"""Allocators as figures and tables name them, and in which order."""

from __future__ import annotations

from collections.abc import Iterable

_NAMES = {
    "cero": "CERO",
    "uniform": "Uniform",
    "cero_fixed": "CERO-fixed",
    "cero_preset": "CERO-preset",
    "cero_greedy": "CERO-greedy",
    "cero(catch_up=true)": "CERO, catch-up",
    "resolve": "Resolve",
    "renew": "Renew",
    "dual_mirror_descent": "Dual mirror descent",
    "mopps": "MoPPS",
    "knapsack": "KnapsackRL",
    "coba": "CoBA-RL",
    "vip": "VIP",
    "dapo": "DAPO",
    "speed": "SPEED",
    "greso": "GRESO",
    "hora": "HORA",
    "reinforce_ada": "Reinforce-Ada",
    "reinforce_ada_est": "Reinforce-Ada-Est",
    "random_matched": "Random-matched",
    "oracle": "Oracle",
    "oracle(recovery=8)": "Oracle, recovery",
}


def method_name(method: str) -> str:
    """What readers call an allocator: ``CERO (price=0.3)`` for ``cero(price=0.3)``."""
    if method in _NAMES:
        return _NAMES[method]
    plain, bracket, options = method.partition("(")
    shown = _NAMES.get(plain) or plain.replace("_", " ").capitalize()
    return f"{shown} {bracket}{options}".strip()


def in_order(methods: Iterable[str]) -> list[str]:
    """Allocators in the order of legends and tables: the listed ones first, others by name."""
    listed = list(_NAMES)
    return sorted(set(methods), key=lambda name: (listed.index(name) if name in listed else len(listed), name))
