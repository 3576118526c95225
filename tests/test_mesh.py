"""The face mesh is symmetrical and uses face units, and one bad landmark hardly changes its fit elsewhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megbench.core.errors import BenchError
from megbench.faces.mesh import LEFT_EYE, OF_68, RIGHT_EYE, FittedMesh, canonical, fit_mesh, mirror_order

turns = st.floats(-0.5, 0.5)
scales = st.floats(30, 120)
shifts = st.floats(-50, 50)


def moved(points: np.ndarray, scale: float, turn: float, x: float, y: float) -> np.ndarray:
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return scale * points @ rotation.T + [128 + x, 128 + y]


def test_the_mean_face_is_symmetrical_and_in_eye_distances():
    face = canonical()
    assert np.allclose(face[mirror_order()] * [-1, 1], face)
    assert np.array_equal(mirror_order()[mirror_order()], np.arange(478))
    right, left = face[RIGHT_EYE].mean(0), face[LEFT_EYE].mean(0)
    assert np.allclose(left - right, [1, 0])
    assert np.allclose(left + right, 0)


@given(scale=scales, turn=turns, x=shifts, y=shifts)
@settings(max_examples=20)
def test_the_fit_of_a_mean_face_is_that_face_wherever_it_lies(scale, turn, x, y):
    face = moved(canonical(), scale, turn, x, y)
    fitted = fit_mesh(face[OF_68])
    assert np.abs(fitted.vertices - face).max() < 1e-6
    assert fitted.eye_distance == pytest.approx(scale)
    assert np.allclose(fitted.roll @ [1, 0], [np.cos(turn), np.sin(turn)])


@given(scale=scales, turn=turns)
@settings(max_examples=20)
def test_face_units_and_pixels_are_inverse(scale, turn):
    face = FittedMesh(moved(canonical(), scale, turn, 3, 5))
    move = np.random.default_rng(0).normal(size=(478, 2))
    assert np.allclose(face.to_face_units(face.to_pixels(move)), move)
    assert np.linalg.norm(face.to_pixels(move), axis=1) == pytest.approx(scale * np.linalg.norm(move, axis=1))


def test_one_bad_landmark_bends_the_mesh_only_around_it():
    points = moved(canonical(), 62, 0, 0, 0)[OF_68]
    bad = points.copy()
    bad[48] += [-12, 9]  # the right mouth corner, where dlib errs most
    change = np.linalg.norm(fit_mesh(bad).vertices - fit_mesh(points).vertices, axis=1)
    assert 5 < change[OF_68[48]] < 15
    assert change[LEFT_EYE].max() < 0.6
    assert change[OF_68[54]] < 2


def test_other_shapes_than_68_points_are_refused():
    with pytest.raises(BenchError, match=r"\(68, 2\), got \(5, 2\)"):
        fit_mesh(np.zeros((5, 2)))
