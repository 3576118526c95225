"""Steadied drivers: what is removed and what is kept, and which methods use them."""

import functools

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import megbench.methods.cards
from megbench.baselines.fomm import model as fomm
from megbench.core.clip import Clip, Template, pixel_grid, save_clip
from megbench.core.config import as_dict
from megbench.core.errors import BenchError, CellFailed
from megbench.core.frames import grey
from megbench.core.provenance import recipe
from megbench.core.spline import Spline, as_type
from megbench.core.weights.network_weights import save_weights
from megbench.faces.features import seen_clip
from megbench.faces.field import similarity
from megbench.faces.flow import FlowFrom
from megbench.faces.head import fit_head, head_flow
from megbench.faces.landmarks import landmarks
from megbench.faces.regions import face_regions
from megbench.faces.steady import steadied
from megbench.methods import make_method
from megbench.nets.inference import Animator
from tests.moving_face import MOUTH, T, face, render
from tests.test_nets_models import FOMM

Fomm = make_method("fomm")
CENTRE = np.array([128.0, 128.0])


@functools.cache
def stable():
    return face_regions(landmarks(grey(face()), "face")).stable


def clip_of(folder, frames, name="driver", fps=25.0):
    """Save frames as a clip. At 25 frames per second, the average over time includes little of the next frame."""
    return save_clip(folder / name, Clip(folder, name, "tests", "astronaut", "none", 0, "", fps=fps), frames)


def nodding(frames, turned):
    """Return frames whose head moves from rest to a similarity (2, 3) in equal steps."""
    steps = np.linspace(0, 1, len(frames))[:, None, None] * (turned - np.eye(2, 3)) + np.eye(2, 3)
    before = [cv2.transform(pixel_grid(), cv2.invertAffineTransform(step)) for step in steps]
    return np.stack([as_type(Spline(frame).at(at), np.uint8) for frame, at in zip(frames, before, strict=True)])


def head_left(frames):
    """Return the largest displacement in pixels by the head in the last frame."""
    luma = grey(frames)
    return np.abs(head_flow(fit_head(FlowFrom(luma[0])(luma[-1]), stable())))[stable()].max()


@settings(max_examples=12)
@given(
    scale=st.floats(0.98, 1.02),
    angle=st.floats(-0.03, 0.03),
    shift=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
)
def test_the_heads_motion_is_removed(tmp_path_factory, scale, angle, shift):
    turned = similarity(scale, angle, shift, CENTRE)
    driver = clip_of(tmp_path_factory.mktemp("nod"), nodding(np.repeat(face()[None], 3, axis=0), turned))
    assert head_left(steadied(driver)) < 0.15


def test_the_faces_motion_is_kept(tmp_path):
    frames = render(MOUTH)[0]
    turned = similarity(1.01, 0.02, (2.0, -1.5), CENTRE)
    made = steadied(clip_of(tmp_path, nodding(frames, turned)))
    alone = seen_clip("alone", clip_of(tmp_path, frames, "alone")).motion.trajectory
    kept = seen_clip("steadied", clip_of(tmp_path, made, "steadied")).motion
    assert np.sqrt(np.nanmean((kept.trajectory - alone) ** 2)) < 0.1 * np.sqrt(np.nanmean(alone**2))
    assert (kept.rigid * kept.eye_distance).max() < 0.1


@pytest.mark.parametrize("n_frames", [1, 2, 30])
@pytest.mark.parametrize("fps", [25.0, 200.0, None])
def test_still_frames_stay_as_they_are(tmp_path, n_frames, fps):
    frames = np.repeat(face()[None], n_frames, axis=0)
    assert np.array_equal(steadied(clip_of(tmp_path, frames, fps=fps)), frames)


@pytest.mark.parametrize("fps", [200.0, None])
def test_onset_and_apex_are_not_mixed(tmp_path, fps):
    frames = render(MOUTH)[0][[0, MOUTH[2]]]
    made = steadied(clip_of(tmp_path, frames, fps=fps))
    assert np.abs(made[1].astype(int) - made[0]).mean() > 0.95 * np.abs(frames[1].astype(int) - frames[0]).mean()


@pytest.mark.parametrize(("fps", "left"), [(200.0, (0.2, 0.45)), (None, (0.2, 0.45)), (25.0, (0.7, 0.95))])
def test_noise_is_averaged_over_time(tmp_path, fps, left):
    rng = np.random.default_rng(0)
    frames = np.clip(np.rint(face() + rng.normal(0, 3, (24, 256, 256, 3))), 0, 255).astype(np.uint8)
    made = steadied(clip_of(tmp_path, frames, fps=fps))
    noise = [np.std(clip.astype(float), axis=0).mean() for clip in (made[4:-4], frames[4:-4])]
    assert left[0] < noise[0] / noise[1] < left[1]


def test_a_driver_without_a_face_fails_by_name(tmp_path):
    with pytest.raises(CellFailed, match="no frontal face found in driver blank"):
        steadied(clip_of(tmp_path, np.full((3, 256, 256, 3), 128, np.uint8), "blank"))


@pytest.fixture
def demo(tmp_path, monkeypatch):
    """Return a function that saves tiny random FOMM weights as the demo weights, with the setting `steadied`."""
    monkeypatch.setattr(megbench.methods.cards, "ROOT", tmp_path)

    def save(setting):
        config = as_dict(FOMM) | {"steadied": setting}
        save_weights(tmp_path / "weights" / "demo" / "fomm.safetensors", fomm.networks(FOMM), {"config": config})

    return save


@pytest.mark.parametrize(("setting", "option", "wanted"), [
    (True, {}, True),
    (False, {}, False),
    (True, {"steady": "no"}, False),
    (False, {"steady": "yes"}, True),
])  # fmt: skip
def test_the_option_decides_and_otherwise_the_weights(demo, setting, option, wanted):
    demo(setting)
    method = Fomm("", option)
    assert method.steadies is wanted
    assert ("steadied" in method.marks) is wanted
    assert method.identity()["steadied"] == (recipe("megbench.faces.steady") if wanted else None)


@pytest.fixture
def read(monkeypatch):
    """Return the list of the drivers' frames that networks have read so far."""
    seen = []
    original = Animator.read
    monkeypatch.setattr(
        Animator, "read", lambda self, frames, find: seen.append(frames) or original(self, frames, find)
    )
    return seen


def test_networks_see_the_steadied_driver(demo, read, tmp_path):
    demo(False)
    frames = render(MOUTH)[0]
    nods = clip_of(tmp_path, nodding(frames, similarity(1.0, 0.0, (3.0, -2.0), CENTRE)), "nods")
    rests = clip_of(tmp_path, steadied(nods), "rests")
    template = Template.of("face", "astronaut", face())
    outputs = []
    for driver, option in ((nods, "yes"), (rests, "no"), (nods, "no")):
        method = Fomm("", {"steady": option})
        method.prepare("cpu")
        outputs.append(method.animate(template, driver))
    assert np.array_equal(outputs[0], outputs[1])
    assert len(outputs[0]) == T
    assert np.array_equal(read[0], read[1])
    assert np.array_equal(read[2], nods.frames())
    assert not np.array_equal(read[0], read[2])


def test_equal_pictures_at_another_frame_rate_are_another_driver(demo, read, tmp_path):
    demo(True)
    frames = nodding(render(MOUTH)[0], similarity(1.0, 0.0, (3.0, -2.0), CENTRE))
    slow, fast = (clip_of(tmp_path, frames, f"at{fps:g}", fps) for fps in (10.0, 200.0))
    template = Template.of("face", "astronaut", face())
    method, alone = Fomm("", {}), Fomm("", {})
    method.prepare("cpu")
    alone.prepare("cpu")
    method.animate(template, slow)
    assert np.array_equal(method.animate(template, fast), alone.animate(template, fast))
    assert np.array_equal(read[1], read[2])
    assert not np.array_equal(read[0], read[1])


def test_a_wrong_choice_names_the_choices():
    with pytest.raises(BenchError, match=r"Unknown steady of fomm: 'maybe'.*no, yes"):
        Fomm("", {"steady": "maybe"})
