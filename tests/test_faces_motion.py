"""What the suite sees: flow, head motion, sampled frames, and features that are computed once and kept."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.clip import pixel_grid
from core.errors import CellFailed
from core.frames import content_hash, grey
from faces import seen as seen_module
from faces.embedding import embedding_at
from faces.field import jacobian_determinant
from faces.flow import dense_flow
from faces.head import fit_head, head_flow
from faces.mesh import fit_mesh
from faces.regions import GROUPS, REGIONS, face_regions
from faces.seen import Seen, SeenClip, sampled_frames
from faces.transfer import LEAST_AREA, _to_face_units, _to_pixels, _unfolded
from tests.moving_face import MOUTH, face, make_cell, push_field, render

LANDMARKS = seen_module.detect(grey(face()[None])[0])


def test_flow_of_equal_pictures_is_exactly_zero():
    picture = grey(face()[None])[0]
    assert not dense_flow(picture, picture.copy()).any()


def test_flow_finds_a_known_push_whatever_the_threads():
    frames, _ = render(MOUTH)
    first, peak = grey(frames[[0, MOUTH[2]]])
    found = dense_flow(first, peak)
    inside = np.linalg.norm(push_field(MOUTH), axis=2) > 1
    assert np.linalg.norm(found - push_field(MOUTH), axis=2)[inside].mean() < 0.15
    before = cv2.getNumThreads()
    cv2.setNumThreads(4)
    try:
        np.testing.assert_array_equal(dense_flow(first, peak), found)
        assert cv2.getNumThreads() == 4
    finally:
        cv2.setNumThreads(before)


@settings(max_examples=20, deadline=None)
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
    np.testing.assert_array_equal(_unfolded(gentle), gentle)
    folded = 15 * gentle
    assert jacobian_determinant(folded).min() < 0
    assert jacobian_determinant(_unfolded(folded)).min() >= LEAST_AREA


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
        patch.setattr(seen_module, "dense_flow", None)  # what is kept is not computed again
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
