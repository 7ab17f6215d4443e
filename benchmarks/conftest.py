"""Which benchmarks are run: ``--most-prompts`` leaves out larger pools, ``-m 'not slow'`` those that take minutes."""

import pytest


def pytest_addoption(parser):
    parser.addoption("--most-prompts", type=int, help="leave out pools with more prompts")


def pytest_collection_modifyitems(config, items):
    most = config.getoption("--most-prompts")
    if most is None:
        return
    sizes = [getattr(item, "callspec", None) and item.callspec.params.get("num_prompts", 0) for item in items]
    config.hook.pytest_deselected(items=[item for item, size in zip(items, sizes, strict=True) if (size or 0) > most])
    items[:] = [item for item, size in zip(items, sizes, strict=True) if (size or 0) <= most]


@pytest.fixture(autouse=True)
def _note_slow(benchmark, request):
    """What is marked slow is not measured again by ``benchmarks.check``; the record says so."""
    benchmark.extra_info["slow"] = request.node.get_closest_marker("slow") is not None
