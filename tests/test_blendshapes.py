"""Time courses of blendshapes: MediaPipe's coefficients from a separate process, compared over time, never in size."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from megbench.core.errors import BenchError, Unavailable
from megbench.core.frames import content_hash
from megbench.core.weights import external_weights
from megbench.core.weights.external_weights import FILES
from megbench.engine.scoring import lacking, measure, unready
from megbench.faces import blendshapes
from megbench.faces.blendshapes import BLENDSHAPES, INSTALL, UNITS, Landmarker
from megbench.faces.features import SeenClip
from megbench.metrics.au_blendshape import MOST, AuBlendshape
from tests.fake_mediapipe import CRASH, frames_of, write_package

T, APEX = 40, 23
BUMP = np.interp(np.arange(T), (0, 4, APEX, T - 1), (0, 0, 1, 0.4))
LATE = np.interp(np.arange(T), (0, 12, 33, T - 1), (0, 0, 1, 0.8))


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory):
    """Install the stand-in for MediaPipe and a stand-in for its model file."""
    folder = write_package(tmp_path_factory.mktemp("site"))
    weights = tmp_path_factory.mktemp("weights")
    (weights / FILES["landmarker"].file).write_bytes(b"\x80a model")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", str(folder))
        patch.setenv("MEGBENCH_WEIGHTS", str(weights))
        patch.setitem(FILES, "landmarker", replace(FILES["landmarker"], sha256=""))
        blendshapes.landmarker.cache_clear()
        yield
        blendshapes.landmarker(external_weights.require("landmarker")).stop()
        blendshapes.landmarker.cache_clear()


def clip(role, frames):
    return SeenClip(role, lambda: frames, content_hash(frames), None)


def scored(output, driver, truth=None, coded=None):
    """Return the metric's result on frames of an output, a driver and a truth."""
    cell = SimpleNamespace(driver=SimpleNamespace(apex_frame=APEX, action_units=coded))
    clips = {"output": output, "driver": driver, "truth": truth}
    seen = SimpleNamespace(**{role: None if f is None else clip(role, f) for role, f in clips.items()})
    return measure(AuBlendshape(), cell, seen)


def smile(strength, course=BUMP, **others):
    return frames_of({"AU12": strength * course, **others}, T)


def test_both_sides_are_averaged_and_every_frame_is_looked_at_by_itself():
    units = {unit: 0.1 + 0.05 * k + 0.3 * BUMP for k, unit in enumerate(UNITS)}
    frames = frames_of(units, T, sides=0.06)
    running = blendshapes.landmarker(external_weights.require("landmarker"))
    found = running.units(frames)
    np.testing.assert_allclose(found, np.stack(list(units.values()), 1), atol=0.5 / 255 + 1e-9)
    order = np.random.default_rng(0).permutation(T)
    assert np.array_equal(running.units(frames[order]), found[order])


def test_a_frame_without_a_face_is_missing_not_zero():
    frames = smile(0.5)
    frames[3] = 0
    found = blendshapes.landmarker(external_weights.require("landmarker")).units(frames)
    assert np.isnan(found[3]).all()
    assert np.isfinite(np.delete(found, 3, axis=0)).all()


def test_a_crash_costs_one_answer():
    frames = smile(0.5)
    frames[5, -1, -1] = CRASH
    with pytest.raises(BenchError, match="MediaPipe's process ended with exit code 3"):
        scored(frames[[5] * T], smile(0.5))
    assert scored(smile(0.5), smile(0.5)).values["au_blendshape_track"] == pytest.approx(1)


def test_a_model_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(BenchError, match="process ended"):
        Landmarker(tmp_path / "nowhere.task").units(smile(0.5)[:1])


def test_the_course_counts_and_the_strength_does_not():
    driver = smile(0.5)
    for strength in (0.1, 0.5, 0.9):
        values = scored(smile(strength), driver, driver).values
        assert values["au_blendshape_track"] == pytest.approx(1, abs=0.01)
        assert values["au_blendshape_track_truth"] == pytest.approx(1, abs=0.01)
    late = scored(smile(0.5, LATE), driver).values["au_blendshape_track"]
    assert late < 0.8
    assert scored(smile(0.5, 1 - BUMP), driver).values["au_blendshape_track"] == pytest.approx(-1, abs=0.01)


def test_no_figure_tells_a_size_and_dead_units_have_none():
    names = {figure.name.removeprefix("au_blendshape_") for figure in AuBlendshape.figures}
    tracks = {f"track_{unit}" for unit in UNITS}
    assert names - tracks == {"track", "coverage", "track_truth", "coverage_truth", "moving"}
    assert not {"AU06", "AU09", "AU14"} & set(BLENDSHAPES)
    assert all("intensity" not in figure.title.lower() for figure in AuBlendshape.figures)
    shown = [figure.label for figure in AuBlendshape.figures if figure.group]
    assert shown == ["AU over time (blendshapes)", "coverage (blendshapes)"] * (len(shown) // 2)


def test_what_does_not_move_is_absent_with_a_reason():
    still = frames_of({}, T)
    of_still = scored(still, smile(0.5))
    assert of_still.values["au_blendshape_track"] is None
    assert of_still.values["au_blendshape_coverage"] == 0
    assert "holds it constant" in of_still.why_absent("au_blendshape_track_AU12")
    nothing = scored(smile(0.5), still)
    assert nothing.values["au_blendshape_track"] is nothing.values["au_blendshape_coverage"] is None
    assert nothing.values["au_blendshape_moving"] == 0
    trembling = scored(smile(0.5), smile(0.02))
    assert trembling.values["au_blendshape_moving"] == 0, "noise is no motion"


@pytest.mark.parametrize("role", ["output", "driver", "truth"])
def test_a_clip_without_faces_fails_with_a_reason(role):
    clips = dict.fromkeys(("output", "driver", "truth"), smile(0.5)) | {role: np.zeros_like(smile(0.5))}
    found = scored(clips["output"], clips["driver"], clips["truth"])
    assert (found.status, found.values) == ("failed", {})
    assert "needs at least 3 frames with a face, but found 0" in found.reason
    other = scored(smile(0.5)[:-1], smile(0.5))
    assert (other.status, "frames" in other.reason) == ("failed", True)


def test_at_most_16_frames_are_looked_at_and_named():
    found = scored(smile(0.4, AU15=0.3 * LATE), smile(0.5), smile(0.2), coded="4")
    assert len(found.frames) == MOST
    assert {0, APEX, T - 1} <= set(found.frames)
    roles = ("output", "driver", "truth")
    assert set(found.series) == {f"{unit}_{role}" for unit in ("AU04", "AU12", "AU15") for role in roles}
    np.testing.assert_allclose(found.series["AU12_driver"], 0.5 * BUMP[list(found.frames)], atol=0.003)
    assert not np.any(found.series["AU04_output"]), "coded and quiet: shown as such"
    short = scored(smile(0.5)[:5], smile(0.5)[:5])
    assert list(short.frames) == [0, 1, 2, 3, 4]


def test_without_mediapipe_it_is_unavailable_with_the_line_that_installs_it(monkeypatch):
    assert unready(AuBlendshape) == ""
    monkeypatch.setattr(blendshapes, "find_spec", lambda name: None)
    assert INSTALL in unready(AuBlendshape)
    assert "--no-deps mediapipe==" in INSTALL
    with pytest.raises(Unavailable, match="--no-deps mediapipe"):
        scored(smile(0.5), smile(0.5))


def test_without_its_model_it_is_lacking_with_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv("MEGBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(external_weights, "weights_folders", lambda: [tmp_path])
    assert "weights fetch landmarker" in lacking(AuBlendshape)
