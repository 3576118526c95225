"""Rendered clips: the recorded motion is the motion of the pixels."""

import dataclasses

import cv2
import numpy as np
import pytest

from megbench.clips.synthetic.camera import Camera
from megbench.clips.synthetic.distinct_people import audition
from megbench.clips.synthetic.exact_frames import film, least_jacobian
from megbench.clips.synthetic.people import Role
from megbench.clips.synthetic.performance import Performance, Track
from megbench.clips.synthetic.render import AT_REST, Actor, hull
from megbench.core.clip import KnownMotion, pixel_grid
from megbench.core.frames import Frames, grey
from megbench.faces.field import sample, similarity
from megbench.faces.flow import FlowFrom
from megbench.faces.mesh import LEFT_EYE, OVAL, RIGHT_EYE

# A person in neither the demo nor a training set, who was not used to tune the renderer.
HELD_OUT = Role("astronaut", "test", 4)
SMILE_AND_FROWN = Performance(
    tracks=(Track("AU12", ((1, 0), (6, 0.9), (9, 0.4))), Track("AU04", ((3, 0), (9, 0.7)))),
    n_frames=10,
    manner=7,
    head_px=1.0,
)


@pytest.fixture(scope="module")
def actor() -> Actor:
    return Actor(HELD_OUT.person())


@pytest.fixture(scope="module")
def filmed(actor) -> tuple[Frames, KnownMotion]:
    return film(actor, SMILE_AND_FROWN, Camera())


@pytest.fixture(scope="module")
def inside(actor) -> np.ndarray:
    return hull(actor.person.face.vertices[OVAL]) > 0


def test_frame_0_is_neutral_with_the_head_at_rest(actor, filmed):
    pictures, known = filmed
    assert not known.flow(0).any()
    assert not known.au_intensity[0].any()
    assert np.array_equal(known.head[0], AT_REST)
    assert np.array_equal(pictures[0], actor.shoot(np.zeros((256, 256, 2), np.float32)).frame)
    assert np.allclose(known.landmarks[0], actor.person.face.landmarks, atol=1e-3)


def test_the_exact_flow_explains_the_frames(filmed, inside):
    pictures, known = filmed
    for frame in (5, 9):
        seen = sample(pictures[frame].astype(np.float32), pixel_grid() + known.flow(frame))
        explained = np.abs(seen - pictures[0])[inside].mean()
        unexplained = np.abs(pictures[frame].astype(float) - pictures[0])[inside].mean()
        assert explained < 1.5
        assert explained < 0.6 * unexplained


def test_independent_optical_flow_sees_the_exact_flow_through_noise(filmed, inside):
    pictures, known = filmed
    noisy = Camera(noise=2.0).record(pictures[[0, 9]], np.random.default_rng(5))
    first, later = grey(noisy)
    found = FlowFrom(first)(later)
    error = np.linalg.norm(found - known.flow(9), axis=-1)[inside].mean()
    assert error < 0.12
    assert np.linalg.norm(known.flow(9), axis=-1)[inside].mean() > 4 * error


def test_landmarks_move_with_the_flow(filmed):
    _, known = filmed
    moved = known.landmarks[0] + sample(known.flow(9), known.landmarks[0])
    assert np.abs(moved - known.landmarks[9]).max() < 0.02


def test_no_frame_folds(filmed):
    assert least_jacobian(filmed[1]) > 0.3


def test_forward_and_backward_are_inverse(actor):
    head = similarity(1.01, 0.02, (1.5, -1), np.array([128.0, 115.0]))
    shot = actor.shoot(actor.move(np.random.default_rng(0).normal(0, 0.002, (478, 2))), head)
    there = pixel_grid() + shot.backward
    middle = (slice(20, -20), slice(20, -20))
    assert np.abs(shot.backward + sample(shot.forward, there))[middle].max() < 0.02


def test_squeezed_skin_darkens_and_only_on_the_face(actor, inside):
    squeeze = (actor.person.face.vertices.mean(0) - actor.person.face.vertices) / actor.person.face.eye_distance * 0.05
    shading = actor._shading(actor.move(squeeze))
    beyond = cv2.dilate(inside.astype(np.uint8), np.ones((25, 25), np.uint8)) == 0
    assert 0.95 < shading.min() < 0.999
    assert np.allclose(shading[beyond], 1, atol=1e-4)


def test_a_long_exposure_blurs_what_moves_and_nothing_else(actor, filmed):
    pictures, known = filmed
    blurred, same = film(actor, SMILE_AND_FROWN, Camera(exposures=(-0.4, 0.0, 0.4)))
    assert np.array_equal(blurred[0], pictures[0])
    assert np.array_equal(same.flow(9), known.flow(9))
    change = np.abs(blurred[4].astype(float) - pictures[4]).mean()
    assert 0 < change < 0.25 * np.abs(pictures[4].astype(float) - pictures[0]).mean()


def test_the_camera_adds_its_noise_and_repeats_it_by_seed():
    even = np.full((2, 256, 256, 3), 120, np.uint8)
    one, again, other = (Camera(noise=2.0).record(even, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert one.astype(float).std() == pytest.approx(2.0, abs=0.1)
    assert one.astype(float).mean() == pytest.approx(120, abs=0.05)
    grey_one = Camera(colour="grey").record(even, np.random.default_rng(1))
    assert np.ptp(grey_one, axis=-1).max() == 0
    assert np.array_equal(Camera(noise=0).record(even, np.random.default_rng(1)), even)


def test_tracks_hit_their_keys_without_overshoot():
    track = Track("AU12", ((3, 0.0), (13, 0.9), (19, 0.9), (32, 0.2)))
    times = np.linspace(0, 40, 401)
    values = track.at(times)
    assert np.allclose(track.at(np.array([0, 3, 13, 16, 19, 32, 40.0])), [0, 0, 0.9, 0.9, 0.9, 0.2, 0.2])
    assert values.min() == 0
    assert values.max() <= 0.9 + 1e-12


def test_phases_name_onset_apex_and_offset():
    performance = dataclasses.replace(SMILE_AND_FROWN, tracks=(Track("AU01", ((2, 0), (5, 1), (8, 0))),))
    onset, apex, offset = performance.phases()
    assert (onset, apex) == (3, 5)
    assert offset == 7
    assert performance.coded == "1"


def test_people_are_what_their_number_says_and_differ(actor):
    again, other = HELD_OUT.person(), dataclasses.replace(HELD_OUT, number=5).person()
    assert np.array_equal(again.texture, actor.person.texture)
    assert np.abs(other.texture.astype(float) - again.texture).mean() > 5
    for number in range(4, 8):  # some of them mirrored
        vertices = dataclasses.replace(HELD_OUT, number=number).person().face.vertices
        assert vertices[RIGHT_EYE].mean(0)[0] < vertices[LEFT_EYE].mean(0)[0]


def test_an_audition_finds_the_face_where_it_is():
    found = [audition(Role("astronaut", "test", number)) for number in (4, 7)]
    passed = [features for features in found if features is not None]
    assert passed
    assert all(features.shape == (128,) for features in passed)
