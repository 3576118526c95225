"""A cell's curves: at their true frames, for every detector of action units, interrupted where values are missing."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megbench.core.contracts import Partial
from megbench.engine.scoring import measure
from megbench.reports.cell_curves import MOST_PANELS, cell_curves
from megbench.reports.curves import Line, Scale, draw_plots, on_one_scale, panel_names, path_of, ticks_between
from megbench.reports.run_facts import CellFacts
from megbench.reports.run_files import Series

FLOW = {"au_flow": "flow"}
SCALE = Scale(0.0, 1.0)


def cell(n_frames=3, **facts):
    return CellFacts(name="a__b", driver="a", template="b", database="", emotion="", n_frames=n_frames, **facts)


def paths(picture, name):
    """Return the paths of one line's curves, without those of its dots."""
    return re.findall(rf'<path class="curve-{name}"[^>]* d="([^"]*)"', picture)


def across(path):
    return [float(x) for x in re.findall(r"[ML]([\d.]+) ", path)]


def test_series_of_a_detector_become_curves_beside_what_is_known():
    known = cell(known_aus={"AU14": (0.0, 0.5, 1.0), "AU99": (0.0, 0.0, 1.0)})
    curves = {"AU14+20_driver": [0, 0.4, 1], "AU14+20_output": [0, float("nan"), 0.2], "AU01_driver": [0, 0, 0.1]}
    (picture,) = cell_curves(known, {"one": {"au_flow": Series(curves)}, "two": {}}, FLOW)
    assert set(picture.roles) == {"driver", "known"}
    assert picture.methods == (("one", 0),)
    assert all(f'class="curve-{name}"' in picture.svg for name in ("driver", "known", "0"))
    assert "AU14+20, flow" in picture.svg
    assert "AU99" not in picture.svg
    (alone,) = cell_curves(known, {"one": {}}, FLOW)
    assert alone.roles == ("known",)
    assert "AU99" in alone.svg
    assert list(cell_curves(cell(), {}, {})) == []


def test_a_curve_of_some_frames_is_drawn_at_those_frames():
    """Eight values from a clip of thirty frames must be drawn at their own frames, not at the first eight."""
    frames = (0, 4, 9, 15, 20, 24, 27, 29)
    values = [k / 8 for k in range(8)]
    series = Series({"AU12_driver": values, "AU12_output": values}, frames)
    (picture,) = cell_curves(cell(30), {"one": {"mine": series}}, {"mine": "sampled"})
    whole = across(path_of([0.0] * 30, 173 / 29, SCALE))
    for name in ("driver", "0"):
        (path,) = paths(picture.svg, name)
        assert across(path) == [whole[frame] for frame in frames]
        (dots,) = re.findall(rf'<path class="curve-{name} dots"[^>]* d="([^"]*)"', picture.svg)
        assert across(dots) == across(path), "where somebody looked is seen"


@given(st.lists(st.one_of(st.floats(-1, 1), st.just(float("nan"))), min_size=1, max_size=12), st.data())
def test_frames_that_are_all_frames_change_nothing(curve, data):
    everywhere = tuple(range(len(curve)))
    assert path_of(curve, 2.0, SCALE, everywhere) == path_of(curve, 2.0, SCALE)
    frames = sorted(data.draw(st.sets(st.integers(0, 40), min_size=len(curve), max_size=len(curve))))
    found = across(path_of(curve, 2.0, SCALE, frames))
    assert found == [2.0 * frame for frame, value in zip(frames, curve, strict=True) if value == value]


def both(**curves):
    return Series({f"{unit}_{role}": curve for unit, curve in curves.items() for role in ("driver", "output")})


def test_every_detector_that_ran_has_a_panel_of_every_unit():
    detectors = {"openface_intensity": "OpenFace", "au_flow": "flow", "au_blendshape": "blendshapes"}
    kept = {
        "openface_intensity": both(AU12=[0, 2, 4], AU14=[0, 0.5, 0.5], AU20=[0, 0.1, 0]),
        "au_flow": both(**{"AU12": [0, 0.2, 0.4], "AU14+20": [0, 0.1, 0]}),
        "au_blendshape": Series({"AU12_driver": [0, 0.1], "AU12_output": [0, 0.2]}, (0, 2)),
    }
    (picture,) = cell_curves(cell(), {"one": kept}, detectors)
    assert "read by OpenFace, flow and blendshapes," in picture.text
    titles = re.findall(r'class="title"[^>]*>([^<]*)<', "".join((picture.svg, *picture.more)))
    assert titles == [
        *("AU12, OpenFace", "AU12, flow", "AU12, blendshapes"),
        *("AU14, OpenFace", "AU20, OpenFace", "AU14+20, flow"),
    ]


def test_panels_that_do_not_fit_are_folded_and_units_are_kept_whole():
    curves = {f"AU{k:02d}": [0, 0.1 * k, 0] for k in range(1, 11)}
    (picture,) = cell_curves(cell(), {"one": {"au_flow": both(**curves), "x": both(**curves)}}, FLOW | {"x": "X"})
    rows = [re.findall(r'class="title"[^>]*>([^<]*)<', svg) for svg in (picture.svg, *picture.more)]
    assert [len(row) for row in rows] == [6, 6, 6, 2]
    assert rows[0][:2] == ["AU10, flow", "AU10, X"], "the strongest unit comes first"
    assert all(len(row) <= MOST_PANELS for row in rows)
    assert picture.summary == "14 more panels of weaker units"


@pytest.mark.parametrize(
    ("curve", "frames", "told"),
    [
        ([0.0, 1.0], [], "'x_output' of 2 values for 4 frames: list its frames in Partial.frames"),
        ([0.0, 1.0], [0, 4], "names frame 4 in Partial.frames, but the output has only 4 frames"),
        ([0.0, 1.0, 2.0], [0, 3], "of 3 values for 2 frames in Partial.frames"),
        ([0.0, 1.0], [2, 2], "names frame 2 after frame 2 in Partial.frames: they must ascend"),
        ([0.0, 1.0], [3, 0], "names frame 0 after frame 3 in Partial.frames: they must ascend"),
        ([0.0, 1.0], [0, 1.5], "names frame 1.5 in Partial.frames, which is not a whole number"),
        ([0.0, 1.0], [0, 1.0], "names frame 1.0 in Partial.frames, which is not a whole number"),
        ([0.0, 1.0], np.array([0, 3]), ""),
        ([0.0, 1.0], [0, 3], ""),
        ([0.0, 1.0, 2.0, 3.0], [], ""),
    ],
)
def test_a_metric_says_at_which_frames_its_curves_have_their_values(curve, frames, told):
    class Mine:
        name, version, figures = "mine", "1", ()

        def measure(self, cell, seen):
            return Partial("ok", series={"x_output": curve}, frames=frames)

    found = measure(Mine(), None, SimpleNamespace(output=SimpleNamespace(frames=np.zeros(4))))
    assert (found.status == "failed") == bool(told)
    assert told in found.reason
    assert told or (found.series, found.frames) == ({"x_output": curve}, list(frames))


def test_other_metrics_curves_are_no_action_units():
    (picture,) = cell_curves(cell(), {"one": {"mine": both(speed=[0, 1, 2])}}, FLOW)
    assert (picture.metric, picture.text) == ("mine", "mine over time")
    assert "speed" in picture.svg


def drawn(lines, panels, unit, facts):
    return draw_plots(facts, on_one_scale(lines, panels), unit)


def test_an_axis_shows_its_numbers_whole():
    picture = drawn([Line({"brows": [0.0, 0.05, 0.1]}, "driver")], {"brows": "brows"}, "unit", cell())
    labels = {float(text) for text in re.findall(r">\s*([\d.]+)\s*</text>", picture)}
    assert {0.0, 0.05, 0.1} <= labels


@given(st.floats(-1e4, 0), st.floats(1e-3, 1e4), st.integers(2, 8), st.sampled_from([0.0, 1.0]))
def test_ticks_are_round_and_as_many_as_fit(low, high, steps, least):
    ticks = list(ticks_between(low, high, steps, least))
    values = [value for value, _ in ticks]
    assert all(low - 1e-6 * high <= value <= high * (1 + 1e-6) for value in values)
    assert len(ticks) <= steps + 2
    assert values[0] <= 0 <= values[-1]
    assert [float(label) for _, label in ticks] == pytest.approx(values, rel=1e-6)
    assert len({label for _, label in ticks}) == len(ticks)


def test_curves_are_escaped_and_break_where_a_value_is_missing():
    line = Line({"<b>": [0.5, float("nan"), -0.5]}, "output", 3)
    picture = drawn([line], {"<b>": "<script>"}, "a & b", cell(apex_frame=1))
    assert "<script>" not in picture
    assert "&lt;script&gt;" in picture
    assert "a &amp; b" in picture
    assert picture.count('class="curve-3"') == 1
    path = re.search(r'style="stroke: var\(--m3\)" d="([^"]*)"', picture)[1]
    assert path.count("M") == 2
    assert "L" not in path
    low, high = (float(part.split()[1]) for part in path.split("M")[1:])
    assert low < high, "what is higher lies above"


def test_of_many_curves_the_farthest_reaching_are_shown_in_their_order():
    lines = [Line({"a": [0.1], "b": [3.0], "c": [-2.0]}, "driver"), Line({"d": [float("nan")]}, "output", 0)]
    assert panel_names(lines, 2) == ["b", "c"]
    assert panel_names(lines, 4) == ["a", "b", "c", "d"]
