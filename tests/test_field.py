"""Dense fields: interpolation, inversion, folds and warps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megbench.core.clip import pixel_grid
from megbench.faces.field import MeshField, invert, jacobian_determinant, sample, similarity, warp
from megbench.faces.mesh import canonical


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    return canonical() * 62 + [128, 115]


@pytest.fixture(scope="module")
def field(face) -> MeshField:
    return MeshField(face)


def test_a_face_that_shifts_shifts_inside_and_leaves_the_corners(field, face):
    flow = field.dense(np.tile([2.0, -1.0], (478, 1)))
    assert np.allclose(sample(flow, face[[4, 0, 105, 334]]), [2, -1], atol=0.01)
    assert np.abs(flow[[0, 0, -1, -1], [0, -1, 0, -1]]).max() < 0.01


@given(a=st.floats(-3, 3), seed=st.integers(0, 99))
@settings(max_examples=10)
def test_fields_are_linear_in_the_displacements(field, a, seed):
    one, two = np.random.default_rng(seed).normal(size=(2, 478, 2))
    together = field.dense(a * one + two)
    assert np.allclose(together, a * field.dense(one) + field.dense(two), atol=1e-4)


@given(seed=st.integers(0, 99))
@settings(max_examples=10)
def test_the_inverse_leads_back(field, face, seed):
    shift, turn = np.random.default_rng(seed).normal(size=2), 0.02
    move = (face - face.mean(0)) @ np.array([[0, turn], [-turn, 0]]) + shift
    flow = field.dense(move)
    assert jacobian_determinant(flow).min() > 0.5
    back = invert(flow)
    assert np.abs(back + sample(flow, pixel_grid() + back)).max() < 0.01


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_fields_are_read_between_pixels_without_steps(channels):
    """For two-channel images, OpenCV 5 samples at only 32 positions per pixel (findings/remap_two_channels.sh)."""
    slope = np.repeat(pixel_grid()[..., :1], channels, axis=-1)
    at = np.column_stack([np.linspace(20, 21, 101), np.full(101, 30.0)])
    assert np.allclose(sample(slope, at), at[:, :1] if channels > 1 else at[:, 0], atol=1e-5)


def test_the_determinant_is_the_growth_of_area_and_shows_folds():
    grid = pixel_grid()
    assert np.allclose(jacobian_determinant(0.1 * grid), 1.21, atol=1e-3)
    assert np.allclose(jacobian_determinant(np.zeros_like(grid)), 1)
    turned = grid[..., ::-1] * [-0.1, 0.1]
    assert np.allclose(jacobian_determinant(turned.astype(np.float32)), 1.01, atol=1e-3)
    fold = np.zeros_like(grid)
    fold[..., 0] = -1.5 * grid[..., 0]
    assert jacobian_determinant(fold).max() < 0


def test_warps_by_whole_pixels_are_exact():
    picture = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    still = np.zeros((256, 256, 2), np.float32)
    assert np.array_equal(warp(picture, still), picture)
    assert np.array_equal(warp(picture, still + np.float32([5, -3]))[10:-10, 10:-10], picture[7:-13, 15:-5])


def test_a_similarity_turns_about_its_centre():
    matrix = similarity(1.1, 0.2, (3, -2), np.array([100.0, 80.0]))
    assert np.allclose(matrix @ [100, 80, 1], [103, 78], atol=1e-4)
    assert np.linalg.det(matrix[:, :2]) == pytest.approx(1.21, abs=1e-5)
