"""Features of a clip: flow, head motion and sampled frames; features are computed once and then stored."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from megbench.core.clip import pixel_grid
from megbench.core.errors import CellFailed
from megbench.core.frames import content_hash, grey
from megbench.faces import features as seen_module
from megbench.faces.embedding import embedding_at
from megbench.faces.features import Seen, SeenClip, sampled_frames
from megbench.faces.field import jacobian_determinant
from megbench.faces.flow import FAR, MARGIN, WHOLE, FlowFrom, box_around
from megbench.faces.head import fit_head, head_flow
from megbench.faces.mesh import fit_mesh
from megbench.faces.motion import facial_motion, mean_over, slopes_over
from megbench.faces.regions import GROUPS, REGIONS, face_regions
from megbench.faces.transfer import LEAST_AREA, _to_face_units, _to_pixels, unfolded
from tests.moving_face import MOUTH, face, make_cell, push_field, render

LANDMARKS = seen_module.detect(grey(face()[None])[0])


STILL = grey(face()[None])[0]
REGIONS_OF_FACE = face_regions(LANDMARKS)


def shifted(x: float, y: float, turn: float = 0, noise: float = 0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the face moved exactly (by a B-spline through its pixels) and rounded, and its true flow."""
    cos, sin = np.cos(turn), np.sin(turn)
    moved = np.array([[cos, -sin, x + 128 * (1 - cos + sin)], [sin, cos, y + 128 * (1 - cos - sin)]], np.float32)
    back = np.linalg.inv(moved[:, :2].astype(float))
    at = (pixel_grid() - moved[:, 2]) @ back.T
    picture = map_coordinates(STILL.astype(float), [at[..., 1], at[..., 0]], order=3, mode="mirror")
    picture += noise * np.random.default_rng(seed).standard_normal(picture.shape)
    return np.clip(np.round(picture), 0, 255).astype(np.uint8), head_flow(moved)


def regions_of(flow: np.ndarray) -> np.ndarray:
    return mean_over(REGIONS_OF_FACE.masks) @ flow.reshape(-1, 2)


def miss(flow: np.ndarray, exact: np.ndarray) -> float:
    """Return the mean distance between the twelve region means of two flows."""
    return float(np.linalg.norm(regions_of(flow) - regions_of(exact), axis=1).mean())


FOLLOW = FlowFrom(STILL, box_around(REGIONS_OF_FACE.face))


def test_flow_of_equal_pictures_is_exactly_zero():
    assert not FOLLOW(STILL.copy()).any()


@pytest.mark.parametrize("size", [0.05, 0.1, 0.25, 1.0, 3.0])
def test_flow_finds_an_exact_shift_of_any_size(size):
    later, exact = shifted(0.6 * size, -0.8 * size)
    assert miss(FOLLOW(later), exact) < 0.02 + 0.015 * size


@pytest.mark.parametrize(("size", "turn"), [(10, 0.05), (18, -0.04)])
def test_flow_follows_a_head_that_moves_far(size, turn):
    later, exact = shifted(0.8 * size, 0.6 * size, turn)
    assert size > FAR
    assert miss(FOLLOW(later), exact) < 0.15


def test_flow_of_noise_alone_stays_under_the_floor():
    first, later = (shifted(0, 0, noise=1.34, seed=seed)[0] for seed in (1, 2))
    assert miss(FlowFrom(first, FOLLOW.box)(later), np.zeros((256, 256, 2))) < 0.03


def test_flow_finds_a_known_push_whatever_the_threads():
    frames, _ = render(MOUTH)
    first, peak = grey(frames[[0, MOUTH[2]]])
    found = FlowFrom(first, FOLLOW.box)(peak)
    inside = np.linalg.norm(push_field(MOUTH), axis=2) > 1
    assert np.linalg.norm(found - push_field(MOUTH), axis=2)[inside].mean() < 0.15
    before = cv2.getNumThreads()
    try:
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            np.testing.assert_array_equal(FlowFrom(first, FOLLOW.box)(peak), found)
    finally:
        cv2.setNumThreads(before)


def test_a_box_holds_its_area_with_a_margin_and_the_flow_is_zero_outside():
    rows, columns = box_around(REGIONS_OF_FACE.face)
    y, x = np.nonzero(REGIONS_OF_FACE.face)
    for side, places in ((rows, y), (columns, x)):
        assert 0 <= side.start <= max(places.min() - MARGIN, 0)
        assert min(places.max() + 1 + MARGIN, 256) <= side.stop <= 256
        assert side.start % 2 == side.stop % 2 == 0
    assert box_around(np.zeros((256, 256), bool)) == WHOLE
    later, exact = shifted(0.5, 0.25)
    flow = FOLLOW(later)
    outside = np.ones((256, 256), bool)
    outside[FOLLOW.box] = False
    assert not flow[outside].any()
    assert miss(FlowFrom(STILL)(later), exact) == pytest.approx(miss(flow, exact), abs=0.005)


@settings(max_examples=20)
@given(
    turn=st.floats(-0.03, 0.03),
    scale=st.floats(0.98, 1.02),
    shift=st.tuples(st.floats(-4, 4), st.floats(-4, 4)),
)
def test_head_motion_is_found_under_a_moving_cheek(turn, scale, shift):
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    true = np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]], np.float32)
    flow = head_flow(true)
    flow[130:150, 90:120] += (3, -3)  # an expression on a small part of the stable face
    stable = face_regions(LANDMARKS).stable
    error = head_flow(fit_head(flow, stable)) - head_flow(true)
    assert np.linalg.norm(error, axis=2)[stable].max() < 0.05


def test_head_motion_without_pixels_is_none():
    flow = np.ones((256, 256, 2), np.float32)
    np.testing.assert_array_equal(fit_head(flow, np.zeros((256, 256), bool)), np.eye(2, 3))


@given(turn=st.floats(-0.1, 0.1), shift=st.tuples(st.floats(-9, 9), st.floats(-9, 9)))
def test_a_head_motion_survives_face_units(turn, shift):
    mesh = fit_mesh(LANDMARKS)
    matrix = np.array([[np.cos(turn), -np.sin(turn), shift[0]], [np.sin(turn), np.cos(turn), shift[1]]], np.float32)
    np.testing.assert_allclose(_to_pixels(_to_face_units(matrix, mesh), mesh), matrix, atol=1e-3)


def test_gentle_fields_stay_and_folds_are_smoothed_out():
    gentle = push_field(MOUTH)
    np.testing.assert_array_equal(unfolded(gentle), gentle)
    folded = 15 * gentle
    assert jacobian_determinant(folded).min() < 0
    assert jacobian_determinant(unfolded(folded)).min() >= LEAST_AREA


def test_regions_cover_the_groups_and_leave_the_mouth_in_parts():
    regions = face_regions(LANDMARKS)
    assert regions.masks.shape == (len(REGIONS), 256, 256)
    assert sorted(index for members in GROUPS.values() for index in members) == list(range(len(REGIONS)))
    assert regions.masks.any((1, 2)).all()
    corners, lips = regions.masks[7:9].any(0), regions.masks[9:11]
    assert not (corners & lips.any(0)).any()
    assert not (lips[0] & lips[1]).any()
    assert not (regions.stable & regions.masks[[0, 1, 2, 3, 9, 10]].any(0)).any()


def test_regions_of_a_face_at_the_edge_are_empty_not_an_error():
    regions = face_regions(LANDMARKS + np.array([0, 120]))
    assert not regions.masks[REGIONS.index("chin")].any()
    assert pixel_grid()[regions.masks[0]].size


@given(n_frames=st.integers(1, 400), apex=st.none() | st.integers(0, 500))
def test_sampled_frames_hold_first_apex_and_last(n_frames, apex):
    chosen = sampled_frames(n_frames, apex)
    assert list(chosen) == sorted(set(chosen))
    assert len(chosen) <= min(8, n_frames)
    assert {0, n_frames - 1} <= set(chosen)
    if apex is not None:
        assert min(apex, n_frames - 1) in chosen
        if n_frames >= 20 and 0 < apex < n_frames - 1:
            assert len(chosen) == 8


def test_features_are_kept_by_content_and_a_damaged_file_counts_as_absent(tmp_path, monkeypatch):
    frames, _ = render(MOUTH, n_frames=5)
    content = content_hash(frames)
    fresh = SeenClip("output", lambda: frames, content, tmp_path).motion
    with monkeypatch.context() as patch:
        patch.setattr(seen_module, "FlowFrom", None)  # stored features are not computed again
        kept = SeenClip("output", lambda: frames, content, tmp_path).motion
    for name, value in vars(fresh).items():
        np.testing.assert_array_equal(getattr(kept, name), value)
    for path in tmp_path.rglob("*.npz"):
        path.write_bytes(path.read_bytes()[:100])
    again = SeenClip("output", lambda: frames, content, tmp_path).motion
    np.testing.assert_array_equal(again.trajectory, fresh.trajectory)


def test_a_clip_without_a_face_fails_by_name():
    blank = np.full((4, 256, 256, 3), 90, np.uint8)
    clip = SeenClip("output", lambda: blank, content_hash(blank), None)
    with pytest.raises(CellFailed, match="no frontal face found in output"):
        _ = clip.motion
    assert clip.landmarks_at([0, 3]) == [None, None]
    assert embedding_at(clip, [1]) == [None]


def test_a_cell_is_seen_by_its_roles(tmp_path):
    cell = make_cell(tmp_path)
    seen = Seen(cell, cell.driver.frames(), None)
    assert seen.driver.content == cell.reference.content
    assert len(seen.template.frames) == 1
    assert seen.truth is not None
    np.testing.assert_array_equal(seen.truth.frames, cell.truth.frames())


@settings(max_examples=20)
@given(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1), st.floats(1, 9))
def test_mean_slopes_of_a_plane_are_its_own(across, down, soft):
    plane = 3 + pixel_grid() @ np.array([across, down])
    x, y = slopes_over(REGIONS_OF_FACE.masks, soft)
    np.testing.assert_allclose(x @ plane.ravel(), across, atol=1e-4)
    np.testing.assert_allclose(y @ plane.ravel(), down, atol=1e-4)


def test_mean_slopes_are_means_of_central_differences():
    """With an almost hard edge of the mask, mean slopes equal the means of central differences of any picture."""
    picture = np.random.default_rng(5).normal(size=(256, 256))
    slopes = [np.gradient(picture, axis=axis) for axis in (1, 0)]
    mask = REGIONS_OF_FACE.masks[:1]
    for matrix, slope in zip(slopes_over(mask, 0.1), slopes, strict=True):
        np.testing.assert_allclose(matrix @ picture.ravel(), slope[mask[0]].mean(), atol=1e-6)
    for matrix in slopes_over(np.zeros((1, 256, 256), bool), 3):
        assert not matrix.nnz


def strain_of(flow: np.ndarray) -> np.ndarray:
    """Return the strain (12, 3) of a clip of two frames with this flow between them."""
    return facial_motion(lambda k: k * flow, 2, LANDMARKS).strain[1]


@settings(max_examples=10)
@given(st.floats(-0.03, 0.03), st.floats(0.98, 1.02), st.floats(-4, 4), st.floats(-4, 4))
def test_a_head_that_moves_turns_or_comes_nearer_strains_nothing(turn, scale, x, y):
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    flow = head_flow(np.array([[cos, -sin, x], [sin, cos, y]], np.float32))
    np.testing.assert_allclose(strain_of(flow), 0, atol=1e-4)


def test_strain_has_the_length_of_optical_strain():
    """The length is correct for a face that is sheared and for one that is squeezed as much as it is stretched."""
    bend = 0.03
    sheared = strain_of((bend * pixel_grid()[..., ::-1]).astype(np.float32))
    published = np.sqrt((bend + bend) ** 2 / 2)
    np.testing.assert_allclose(np.linalg.norm(sheared, axis=1), published, atol=5e-4)
    squeezed = strain_of((bend * pixel_grid() * (1, -1)).astype(np.float32))
    # Removing head motion subtracts the same amount from both, as far as that motion fits the part of the face where it
    # is measured.
    np.testing.assert_allclose(squeezed[:, 0] - squeezed[:, 1], 2 * bend, atol=5e-4)
    np.testing.assert_allclose(squeezed[:, 2], 0, atol=5e-4)
