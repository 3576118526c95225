"""Magnify, animate, de-magnify: what the operator does to motion, and how a row requests it."""

import dataclasses
import functools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megbench.core.clip import Template
from megbench.core.errors import BenchError, CellFailed
from megbench.core.files.own_store import work_for
from megbench.core.frames import grey
from megbench.engine.estimate import MAGNIFYING_S, STEADYING_S, _usual
from megbench.engine.runner import Row, Settings
from megbench.faces.features import Seen
from megbench.faces.field import invert, sample, similarity, warp
from megbench.faces.flow import FlowFrom
from megbench.faces.head import fit_head, head_flow
from megbench.faces.landmarks import landmarks
from megbench.faces.magnify import magnified, spreading
from megbench.faces.regions import face_regions
from megbench.methods import LEAST_FACTOR, MOST_FACTOR, Label, parse_label, row_maker
from megbench.methods.au_sources import ActionUnits, clipped_frames, stronger
from megbench.metrics.motion_agreement import MotionAgreement
from tests.fakes import Shift
from tests.moving_face import MOUTH, face, make_cell, render

PLACE = np.array([MOUTH[0]])


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    return make_cell(tmp_path_factory.mktemp("magnified"))


@functools.cache
def frames():
    return render(MOUTH)[0]


def moved_by(pictures, at=PLACE):
    """Return the displacement (2,) of the point `at` in the apex frame, x and y in pixels."""
    luma = grey(pictures)
    return sample(FlowFrom(luma[0])(luma[MOUTH[2]]), at)[0]


def figures(cell, output):
    values = MotionAgreement().measure(cell, Seen(cell, output, None)).values
    return values["agreement"], values["gain"]


def test_by_one_nothing_changes():
    assert magnified(frames(), 1, "clip") is frames()


@pytest.mark.parametrize("factor", [3, 0.25])
def test_motion_becomes_as_large_as_it_is_told(factor):
    seen, wanted = moved_by(magnified(frames(), factor, "clip")), factor * moved_by(frames())
    assert np.linalg.norm(seen - wanted) < 0.06 * np.linalg.norm(wanted) + 0.02


def test_there_and_back_is_the_same_motion():
    there = magnified(frames(), 4, "clip")
    assert np.linalg.norm(moved_by(magnified(there, 1 / 4, "clip")) - moved_by(frames())) < 0.1


def test_the_first_frame_and_what_does_not_move_stay_as_they_are():
    made = magnified(frames(), 4, "clip")
    assert np.array_equal(made[0], frames()[0])
    assert np.array_equal(made[:, :20, :20], frames()[:, :20, :20])
    still = np.repeat(frames()[:1], 3, axis=0)
    assert np.array_equal(magnified(still, 8, "clip"), still)


def test_a_head_that_moves_is_left_alone():
    turned = similarity(1.01, 0.01, (1.5, -1.0), np.array([128.0, 128.0]))
    clip = np.stack([face(), warp(face(), invert(head_flow(turned)))])
    made = magnified(clip, 8, "clip")
    stable = face_regions(landmarks(grey(face()), "face")).stable
    luma = grey(made)
    again = fit_head(FlowFrom(luma[0])(luma[1]), stable)
    assert np.abs(head_flow(again) - head_flow(turned))[stable].max() < 0.4
    assert np.abs(made[1].astype(float) - clip[1]).mean() < 1


def test_beyond_the_outline_a_motion_fades_out():
    regions = face_regions(landmarks(grey(face()), "face"))
    spread = spreading(regions)(np.ones((256, 256, 2), np.float32))
    inside = np.argwhere(regions.stable)
    assert spread[tuple(inside.mean(0).round().astype(int))] == pytest.approx(1, abs=1e-3)
    assert not spread[0].any()
    assert spread.max() <= 1 + 1e-5
    assert np.abs(np.diff(spread, axis=0)).max() < 0.15


def test_a_clip_without_a_face_fails_by_name():
    with pytest.raises(CellFailed, match="no frontal face found in the driver"):
        magnified(np.full((3, 256, 256, 3), 128, np.uint8), 2, "the driver")


def test_around_flow_warp_scores_stay(cell):
    plain = row_maker(parse_label("flow_warp"))("", {}).animate(cell.template, cell.driver)
    around = row_maker(parse_label("flow_warp:magnify=4"))("", {})
    around.prepare("cpu")
    before, after = figures(cell, plain), figures(cell, around.animate(cell.template, cell.driver))
    assert abs(after[0] - before[0]) < 0.02
    assert abs(after[1] - before[1]) < 0.05
    assert before[0] > 0.8


def test_by_one_a_row_is_the_method_itself():
    once, plain = row_of("flow_warp:magnify=1"), row_of("flow_warp")
    assert once.label == "flow_warp:magnify=1"
    assert dataclasses.replace(once, label=plain.label, check=plain.check) == plain


def test_the_factor_is_in_the_identity_and_what_is_around_keeps_its_own():
    two, eight, plain = (row_of(f"ulmegan{tail}") for tail in (":magnify=2", ":magnify=8.0", ""))
    assert two.identity["magnify"]["factor"] == 2
    assert {**two.identity["magnify"], "factor": 8} == eight.identity["magnify"]
    assert two.identity["magnify"]["operator"]
    own = plain.identity.keys() - {"source", "packages"}
    assert {name: two.identity[name] for name in own} == {name: plain.identity[name] for name in own}
    assert two.identity["magnify"]["around"] == {name: plain.identity[of] for name, of in CODE.items()}
    assert row_of("ulmegan:magnify=8").identity == eight.identity
    assert two.options == {}
    assert any(word == "magnified 2x" for word in two.marks)
    assert set(plain.marks) < set(two.marks)


CODE = {"code": "source", "packages": "packages"}


def row_of(text):
    label = parse_label(text)
    return Row.of(label.text, label.name, label.variant, label.options, row_maker(label))


def test_an_estimate_counts_what_is_done_to_a_driver():
    here = Settings(Path("store"), "cpu", 0, 1)
    for name in ("flow_warp", "fomm"):
        plain, around = (_usual(SimpleNamespace(row=row_of(f"{name}{tail}")), here) for tail in ("", ":magnify=4"))
        assert around == pytest.approx(plain + MAGNIFYING_S)
    plain, steadied = (_usual(SimpleNamespace(row=row_of(f"fomm:steady={choice}")), here) for choice in ("no", "yes"))
    assert steadied == pytest.approx(plain + STEADYING_S)


@given(st.floats(LEAST_FACTOR, MOST_FACTOR).map(lambda factor: f"{factor:.4f}"))
def test_factors_within_the_limits_are_read(text):
    assert parse_label(f"fomm:mode=absolute;magnify={text}") == Label(
        f"fomm:mode=absolute;magnify={text}", "fomm", "", {"mode": "absolute"}, float(text)
    )


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "-4", "0", "0.0", "0.06", "16.1", "1e9", "1_6", "9" * 200])
def test_other_factors_are_refused_with_the_limits(text):
    with pytest.raises(BenchError, match=r"fomm: magnify=.* must be a number from 0\.0625 to 16") as told:
        parse_label(f"fomm:magnify={text}")
    assert len(str(told.value)) < 400


@pytest.mark.parametrize("label", ["still:magnify=4", "truth:magnify=1", "apex_ramp:magnify=2", "outputs@x:magnify=4"])
def test_what_is_handed_no_driver_cannot_be_magnified(label):
    with pytest.raises(BenchError, match=r"is impossible, because .* takes no driver"):
        row_maker(parse_label(label))


def test_an_outputs_folder_cannot_be_magnified(tmp_path):
    with pytest.raises(BenchError, match="outputs made elsewhere cannot be magnified"):
        parse_label(f"outputs:{tmp_path};magnify=4")


def test_wrong_options_are_told_as_without_it():
    with pytest.raises(BenchError, match=r"Unknown option of fomm:"):
        row_of("fomm:size=2;magnify=4")


def test_a_magnified_driver_is_made_once_and_is_a_clip(cell, tmp_path):
    seen = []

    class Watcher(Shift):
        def animate(self, template, driver):
            seen.append(driver)
            return driver.frames()

    around = around_of(Watcher, 4)
    work_for(tmp_path)
    try:
        first = around.animate(cell.template, cell.driver)
        again = around_of(Watcher, 4).animate(cell.template, cell.driver)
    finally:
        work_for(None)
    assert np.array_equal(first, again)
    assert len(list((tmp_path / "clips").iterdir())) == 1
    driver = seen[0]
    assert driver == seen[1]
    assert driver.known() is None
    assert (driver.name, driver.n_frames, driver.apex_frame) == ("driver", cell.driver.n_frames, MOUTH[2])
    assert np.array_equal(driver.frames()[0], cell.driver.frames()[0])
    assert np.linalg.norm(moved_by(driver.frames())) > 3 * np.linalg.norm(moved_by(cell.driver.frames()))


def test_outside_of_a_run_it_needs_no_store(cell):
    around = around_of(Shift, 2)
    with pytest.raises(CellFailed, match="the output, whose motion"):
        around.animate(Template.of("t", "s", np.zeros((256, 256, 3), np.uint8)), cell.driver)


def around_of(kind, factor):
    from megbench.methods.magnified import magnifying

    return magnifying("shift", kind, factor)("", {})


UNITS = st.lists(st.lists(st.floats(0, 5), min_size=17, max_size=17), min_size=1, max_size=4).map(np.array)


@given(UNITS, st.floats(LEAST_FACTOR, MOST_FACTOR))
def test_units_are_multiplied_before_they_are_clipped_and_clipped_frames_counted(intensity, factor):
    units = ActionUnits(intensity, (intensity > 0).astype(float))
    made = stronger(units, factor)
    assert made.intensity.max() <= 5
    whole = (factor * intensity <= 5).all(1)
    np.testing.assert_allclose(made.intensity[whole], factor * intensity[whole])
    assert clipped_frames(units, factor) == (~whole).sum()
    assert np.array_equal(made.presence, units.presence)


def test_a_method_of_units_sees_stronger_units_and_tells_what_is_clipped(cell):
    around = row_maker(parse_label("tps_rau:magnify=4"))("", {})
    plain = row_maker(parse_label("tps_rau"))("", {})
    units = plain.units(cell.driver)
    np.testing.assert_allclose(around.method.units(cell.driver).intensity, stronger(units, 4).intensity)
    clipped = clipped_frames(units, 4)
    assert clipped > 0
    words = set(around.marks_on([cell])) - set(plain.marks_on([cell]))
    assert words == {f"units clipped in {clipped} of {cell.driver.n_frames} frames"}
    unread = dataclasses.replace(cell, driver=dataclasses.replace(cell.driver, folder=Path("nowhere"), rendered=False))
    assert not any("clipped" in word for word in around.marks_on([unread]))
