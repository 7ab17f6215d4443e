"""Figures of odd records: many and long names, one seed, one horizon, no regret at all, numbers that are none."""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from analysis.data.describe import plain
from analysis.data.load import Runs, load_runs
from analysis.figures import OF_SETTING, OF_STUDY
from analysis.plotting import legend, style
from analysis.plotting.draw import draw
from analysis.report.gallery import draw_sweep
from analysis.report.page import render
from cerolab.errors import RecordError
from tests.test_analysis_data import Info, make_info, write_detailed_run, write_infos
from tests.test_analysis_training import write_run

OPTIONS = ({}, {"catch_up": True, "prior": "pool"}, {"forgetting": 0.9, "price": 0.25, "prior": "pool"})
LONG = "an_allocator_whose_author_was_fond_of_words_and_wrote_all_of_them_down_until_there_were_a_hundred_xx"
KNOWN = ("cero", "uniform", "cero_fixed", "resolve", "knapsack", "reinforce_ada_est", "dual_mirror_descent")


def methods(number: int) -> list[tuple[str, dict[str, Any]]]:
    """So many allocators; the third has a name of a hundred characters, and many have options."""
    some = [("cero", {}), ("uniform", {}), (LONG, {}), ("x$y_$\\frac", {})]
    more = ((name, dict(options)) for options in OPTIONS[1:] for name in KNOWN)
    return list(itertools.islice(itertools.chain(some, more), number))


def infos_of(number: int, seeds: int = 2, horizons: Sequence[int] = (100, 400), **results: Any) -> Iterator[Info]:
    """Every study of a sweep, and a leaderboard."""
    worlds: list[tuple[str, dict[str, Any]]] = [
        *(("horizon", {"num_rounds": horizon}) for horizon in horizons),
        ("horizon", {"population": "0.6*point(0) + 0.4*beta(1, 1)"}),
        *(("pool", {"num_prompts": size}) for size in (10, 100)),
        *(("drift", {"dynamics": f"drift({v})", "variation": v}) for v in (0.0, 0.3, 1.0)),
        ("dynamics", {"dynamics": "learning(0.2)", "heldout_start": 0.25, "heldout_end": 0.5}),
        ("leaderboard", {}),
        ("leaderboard", {"dynamics": "learning(0.2)", "heldout_start": 0.25, "heldout_end": 0.5}),
    ]
    for (study, world), (method, options), seed in itertools.product(worlds, methods(number), range(seeds)):
        regret = 0.1 / (1 + seed) / len(method)
        info = make_info(
            "x" if "$" in method else method,
            seed,
            study=study,
            options=options | ({"text": "$x$ $\\frac"} if "$" in method else {}),
            **({"regret_per_prompt": regret, "regret": 10 * regret} | world | results),
        )
        if world.get("dynamics") == "learning(0.2)":
            info["results"] |= dict.fromkeys(("optimum", "optimum_kind", "regret", "regret_per_prompt"))
        yield info


def figures(runs: Runs) -> Iterator[tuple[str, Figure]]:
    """All that the runs have records for."""
    for stem, (figure, study) in OF_STUDY.items():
        of_study = runs.study(study)
        if of_study.infos and not figure.missing(of_study):
            yield stem, draw(figure, [of_study])
    for setting in runs.settings():
        if setting.kept("rounds"):
            for stem, figure in OF_SETTING.items():
                if not figure.missing(setting):
                    yield stem, draw(figure, [setting])


def boxes(figure: Figure) -> list[tuple[str, Bbox]]:
    """Where every text of a figure stands, in pixels, once it is laid out."""
    canvas = FigureCanvasAgg(figure)
    with style.applied():
        canvas.draw()
    found = []
    hidden = {id(label) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for label in _unseen(axis)}
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if text.get_visible() and text.get_text().strip() and id(text) not in hidden:
            found.append((text.get_text(), text.get_window_extent(canvas.get_renderer())))
    return found


def _unseen(axis: Any) -> Iterable[Text]:
    """Labels of ticks that are outside of the panel, which are never drawn."""
    shown = {id(tick) for tick in axis._update_ticks()}
    ticks = [*axis.majorTicks, *axis.minorTicks]
    return [label for tick in ticks if id(tick) not in shown for label in (tick.label1, tick.label2)]


def check_inside(stem: str, figure: Figure) -> None:
    """Nothing written leaves the picture, and no two legends touch."""
    page = figure.bbox
    for text, box in boxes(figure):
        inside = box.x0 > -1 and box.y0 > -1 and box.x1 < page.x1 + 1 and box.y1 < page.y1 + 1
        assert inside, f"{stem}: {text!r} at {box} leaves {page}"
    legends = [found.get_window_extent() for axes in figure.axes if (found := axes.get_legend())]
    for one, other in itertools.combinations(legends, 2):
        assert not one.shrunk(0.99, 0.99).overlaps(other), f"{stem}: legends at {one} and {other}"
    for axes in figure.axes:
        if axes.get_label() != "<colorbar>":
            assert axes.get_window_extent().height > 0.35 * figure.dpi, f"{stem}: a panel has no room left"
            assert axes.get_window_extent().width > 1.2 * figure.dpi, f"{stem}: a panel has no room left"


@pytest.mark.parametrize("number", [1, 2, 6, 12, 18])
def test_names_fit_into_every_figure_of_a_sweep(tmp_path: Path, number: int) -> None:
    drawn = []
    for stem, figure in figures(load_runs(write_infos(tmp_path, list(infos_of(number))))):
        check_inside(stem, figure)
        drawn.append(stem)
    assert drawn == list(OF_STUDY)


@pytest.mark.parametrize("number", [1, 2, 6, 12, 18])
def test_names_fit_into_every_figure_of_a_setting(tmp_path: Path, number: int) -> None:
    names = [
        "cero",
        "uniform",
        LONG,
        *(f"{name}_of_a_longer_name" for name in [*KNOWN, *map("own{}".format, range(8))]),
    ]
    for name in names[:number]:
        write_detailed_run(tmp_path / "sim", name, (4, 4, 2, 2))
        for seed in range(2):
            write_run(tmp_path / "llm", name, seed)
    drawn = set()
    for stem, figure in figures(load_runs(tmp_path)):
        check_inside(stem, figure)
        drawn.add(stem)
    alone = {"against_uniform"} if number == 1 else set()
    assert drawn == set(OF_SETTING) - alone


ODD: dict[str, Callable[[], Iterable[Info]]] = {
    "one run": lambda: [make_info()],
    "one seed": lambda: infos_of(3, seeds=1),
    "one horizon": lambda: infos_of(3, horizons=(100,)),
    "no regret": lambda: infos_of(3, regret=0.0, regret_per_prompt=0.0, bound_total=0.0),
    "no regret up to rounding": lambda: infos_of(3, regret=-1e-13, regret_per_prompt=-1e-14),
    "the oracle alone": lambda: [
        make_info("oracle", seed, num_rounds=horizon, regret=0.0, regret_per_prompt=0.0)
        for seed in range(2)
        for horizon in (100, 400)
    ],
    "no group": lambda: infos_of(3, groups=0, effective_groups=0, effective_group_rate=None, regret_per_prompt=0.0),
    "large": lambda: infos_of(3, regret_per_prompt=1e30),
    "large and small": lambda: (
        info | {"results": info["results"] | {"regret_per_prompt": 1e90 if info["seed"] else 1e-8}}
        for info in infos_of(3)
    ),
    "below zero": lambda: infos_of(3, regret_per_prompt=-0.25),
    "no number": lambda: infos_of(3, estimation_error=None, bound_total=None, bound_optimisation=None),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_records_are_drawn_and_reported(tmp_path: Path, name: str) -> None:
    runs = load_runs(write_infos(tmp_path / "sweep", list(ODD[name]())))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_sweep(runs, tmp_path / "figures")
        for stem, figure in figures(runs):
            check_inside(stem, figure)
        assert render(runs).startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("units", [(0, 0, 0, 0), (4, 0, 0, 0), (12,)])
def test_odd_rounds_are_drawn_and_reported(tmp_path: Path, units: Sequence[int]) -> None:
    for method in ("cero", "uniform"):
        write_detailed_run(tmp_path, method, units if max(units) <= 4 else (4,), predicts=method == "cero")
    runs = load_runs(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for stem, figure in figures(runs):
            check_inside(stem, figure)
        render(runs)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1e308, r"regret_per_prompt=.* is no measurement"),
        (-1e200, r"regret_per_prompt=.* is no measurement"),
        (float("inf"), r"results\.regret_per_prompt=inf is no finite number"),
    ],
)
def test_a_number_that_is_no_measurement_is_named(tmp_path: Path, number: float, words: str) -> None:
    info = make_info()
    folder = write_infos(tmp_path, [info]) / info["run_id"]
    text = json.dumps(info | {"results": info["results"] | {"regret_per_prompt": number}})
    (folder / "run.json").write_text(text)
    with pytest.raises(RecordError, match=rf"{info['run_id']}/run\.json: {words}"):
        draw_sweep(load_runs(tmp_path), tmp_path / "figures")


def test_a_panel_without_anything_to_see_says_so(tmp_path: Path) -> None:
    runs = load_runs(write_infos(tmp_path, list(ODD["the oracle alone"]())))
    figure, study = OF_STUDY["regret_horizon"]
    (axes,) = draw(figure, [runs.study(study)]).axes
    assert [text.get_text() for text in axes.texts] == ["nothing above 0 to draw"]
    found = axes.get_legend()
    assert found is not None
    assert [text.get_text() for text in found.get_texts()] == ["Oracle: 0 up to rounding"]


def test_a_legend_takes_the_columns_that_make_it_lowest() -> None:
    with style.applied():
        short, long = ["CERO"] * 6, [*["CERO"] * 5, "a name of many words " * 3]
        assert legend.fitting(short, 5.0, 3) == (short, 3, 2)
        assert legend.fitting(short, 1.0, 3).columns == 1
        found = legend.fitting(long, 5.0, 2)
        assert (found.columns, found.num_lines) == (2, 3)  # the short column leaves the long one room enough
        narrow = legend.fitting(long, 3.0, 2)
        assert narrow.labels[-1].count("\n") == 1
        assert max(map(legend.text_width, "\n".join(narrow.labels).split("\n"))) < 3.0


def test_huge_numbers_are_written_short() -> None:
    assert plain(1e308) == "1e+308"
    assert (plain(64_000_000), plain(1e12)) == ("64,000,000", "1e+12")
    assert np.isfinite(float(plain(1e308)))
