"""The controls and the untrained method flow_warp: each does what its name states, and the scores show it."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megbench.commands.request import impossible
from megbench.core.clip import Cell, Clip, save_clip
from megbench.core.errors import BenchError, CellFailed
from megbench.core.files.own_store import work_for
from megbench.core.frames import Frames, check_frames, content_hash
from megbench.core.registry import load
from megbench.engine.benchmark import row_facts
from megbench.engine.runner import Row
from megbench.faces.features import SeenClip
from megbench.faces.transfer import lift_motion
from megbench.methods import COMPANIONS, METHODS
from megbench.methods.controls import Ceiling, Rigid, Still, StillNoise, Truth
from megbench.methods.flow_warp import ApexRamp, FlowWarp, Reversed, WrongDriver, ramp
from megbench.metrics.motion_agreement import compare
from tests.moving_face import MOUTH, T, make_cell, push_field


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Cell:
    return make_cell(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def warped(cell: Cell) -> Frames:
    return FlowWarp("", {}).animate(cell.template, cell.driver)


def driver_of(frames: Frames, folder: Path) -> Clip:
    return save_clip(folder / "clip", Clip(folder, "clip", "tests", "nobody", "positive", 0, ""), frames)


def seen(frames: Frames) -> SeenClip:
    return SeenClip("output", lambda: frames, content_hash(frames), None)


def agreement(frames: Frames, cell: Cell) -> float:
    return compare(seen(frames).motion.trajectory, seen(cell.truth.frames()).motion.trajectory).agreement


@pytest.mark.parametrize("name", COMPANIONS)
def test_every_companion_gives_the_drivers_frames_and_no_options(cell, name):
    maker = load("method", name, METHODS)
    row = maker("", {})
    frames = row.animate_cell(cell) if row.is_control else row.animate(cell.template, cell.driver)
    assert len(check_frames(frames, name)) == cell.driver.n_frames
    assert row.name == name
    assert row.is_control == (name != "flow_warp")
    assert row.identity() == {"name": name}
    for variant, options in (("big", {}), ("", {"mode": "absolute"})):
        with pytest.raises(BenchError, match=f"{name} has no variants and no options"):
            maker(variant, options)


def test_in_a_worker_a_drivers_motion_is_read_once_for_all_rows(cell, tmp_path, monkeypatch):
    lift_motion.cache_clear()
    work_for(tmp_path)
    try:
        first = lift_motion(cell.driver)
        lift_motion.cache_clear()  # as in another process
        monkeypatch.setattr("megbench.faces.transfer._lifted", None)
        again = lift_motion(cell.driver)
    finally:
        work_for(None)
        lift_motion.cache_clear()
    for name, value in vars(first).items():
        np.testing.assert_array_equal(getattr(again, name), value)


def test_still_repeats_the_template(cell):
    frames = Still("", {}).animate_cell(cell)
    assert (frames == cell.template.image).all()


def test_still_noise_is_noise_and_the_same_each_time(cell):
    frames = StillNoise("", {}).animate_cell(cell)
    np.testing.assert_array_equal(frames, StillNoise("", {}).animate_cell(cell))
    mid = (cell.template.image > 20) & (cell.template.image < 235)
    noise = (frames - cell.template.image.astype(int))[:, mid]
    assert noise.mean() == pytest.approx(0, abs=0.02)
    assert noise.std() == pytest.approx(2, abs=0.05)
    other = dataclasses.replace(cell, driver=dataclasses.replace(cell.driver, name="other"))
    assert (frames != StillNoise("", {}).animate_cell(other)).any()


def test_truth_and_ceiling_are_what_they_say(cell):
    np.testing.assert_array_equal(Truth("", {}).animate_cell(cell), cell.truth.frames())
    np.testing.assert_array_equal(Ceiling("", {}).animate_cell(cell), cell.driver.frames())
    recording = dataclasses.replace(cell, reference=cell.driver, truth=None)
    again = Ceiling("", {}).animate_cell(recording).astype(int)
    difference = np.abs(again - cell.driver.frames())
    assert 0 < difference.mean() < 4
    with pytest.raises(CellFailed, match="no truth"):
        Truth("", {}).animate_cell(recording)


def test_flow_warp_repeats_the_motion_with_its_strength(cell, warped):
    np.testing.assert_array_equal(warped[0], cell.template.image)
    assert agreement(warped, cell) > 0.9
    found = seen(warped).flow(MOUTH[2])
    inside = np.linalg.norm(push_field(MOUTH), axis=2) > 1.5
    ratio = np.linalg.norm(found[inside].mean(0)) / np.linalg.norm(push_field(MOUTH)[inside].mean(0))
    assert 0.7 < ratio < 1.3


def test_flow_warp_of_a_still_driver_is_still(cell, tmp_path):
    still = driver_of(np.repeat(cell.template.image[None], 4, axis=0), tmp_path)
    frames = FlowWarp("", {}).animate(cell.template, still)
    assert (frames == cell.template.image).all()


def test_controls_with_the_wrong_time_or_place_agree_less(cell, warped):
    right = agreement(warped, cell)
    assert agreement(Reversed("", {}).animate_cell(cell), cell) < right - 0.1
    assert agreement(WrongDriver("", {}).animate_cell(cell), cell) < 0.3
    ramped = agreement(ApexRamp("", {}).animate_cell(cell), cell)
    assert 0.5 < ramped < right


def test_rigid_moves_the_head_and_nothing_else(cell, tmp_path):
    shifts = np.round(np.linspace(0, 6, 10)).astype(int)
    frames = np.stack([np.roll(cell.template.image, shift, axis=1) for shift in shifts])
    shifted = driver_of(frames, tmp_path)
    moved = seen(Rigid("", {}).animate_cell(dataclasses.replace(cell, driver=shifted)))
    assert moved.flow(len(shifts) - 1)[120:180, 100:160, 0].mean() == pytest.approx(6, abs=0.7)
    assert np.abs(moved.motion.trajectory).max() < 0.01


def test_an_apex_beyond_the_last_frame_is_the_last_frame(cell):
    late, last = (
        ApexRamp("", {}).animate_cell(
            dataclasses.replace(cell, driver=dataclasses.replace(cell.driver, apex_frame=apex))
        )
        for apex in (T + 40, T - 1)
    )
    assert np.array_equal(late, last)


def test_wrong_driver_needs_a_foil(cell):
    with pytest.raises(CellFailed, match="no foil"):
        WrongDriver("", {}).animate_cell(dataclasses.replace(cell, foil=None))


def test_a_driver_without_a_face_fails(cell, tmp_path):
    blank = driver_of(np.zeros((T, 256, 256, 3), np.uint8), tmp_path)
    with pytest.raises(CellFailed, match="no frontal face found in driver"):
        FlowWarp("", {}).animate(cell.template, blank)


@given(n_frames=st.integers(3, 200), apex=st.integers(0, 250))
def test_ramp_rises_to_one_apex_and_falls_to_nothing(n_frames, apex):
    strength = ramp(n_frames, apex)
    assert len(strength) == n_frames
    assert strength[0] == 0
    assert strength.max() == pytest.approx(1)
    assert strength.argmax() == min(max(apex, 1), n_frames - 1)
    peak = strength.argmax()
    assert (np.diff(strength[: peak + 1]) >= 0).all()
    assert (np.diff(strength[peak:]) <= 0).all()
    assert peak == n_frames - 1 or strength[-1] == 0


def test_every_companion_says_what_it_is_for_and_what_its_cells_must_have(cell):
    rows = {name: Row.of(name, name, "", {}, load("method", name, METHODS)) for name in COMPANIONS}
    assert all(row_facts(row, [])["purpose"] for row in rows.values())
    known, unknown = [cell], [dataclasses.replace(cell, truth=None, foil=None)]
    assert not any(impossible(row, known) for row in rows.values())
    assert {name for name, row in rows.items() if impossible(row, unknown)} == {"truth", "wrong_driver"}
