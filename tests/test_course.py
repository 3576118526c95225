"""The time course of facial motion and the figures computed from it: timing relative to the driver, and spotting."""

import doctest
import importlib
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megbench.core.combine import combined
from megbench.core.contracts import Partial
from megbench.core.detections import overlap
from megbench.core.frames import content_hash
from megbench.faces.course import QUIET, course, interval, motion_curve
from megbench.faces.features import SeenClip
from megbench.faces.regions import GROUPS
from megbench.metrics.spotting import AROUND, Spotting
from megbench.metrics.timing import MOMENTS, Timing
from tests.moving_face import face

REST, PEAK, END = 30, 12, 40


def expression(rest: int = REST, fall: float = 0.3) -> np.ndarray:
    """Return a trajectory (T, 12, 2): rest, a rise over 12 frames, a fall to a share of the peak, then constant."""
    rise = np.linspace(0, 1, PEAK, endpoint=False)
    strength = np.concatenate([np.zeros(rest), rise, np.linspace(1, fall, END - PEAK), np.full(REST, fall)])
    ways = np.random.default_rng(3).normal(0, 0.01, (12, 2))
    return strength[:, None, None] * ways


def seen_of(output: np.ndarray, driver: np.ndarray) -> SimpleNamespace:
    """Return a stand-in for a seen cell, whose output and driver moved along the given trajectories."""

    def clip(track):
        return SimpleNamespace(frames=track, motion=SimpleNamespace(trajectory=track))

    return SimpleNamespace(output=clip(output), driver=clip(driver))


def test_examples_in_docstrings_hold():
    for name in ("faces.course", "core.detections", "metrics.spotting"):
        found = doctest.testmod(importlib.import_module(name))
        assert found.attempted
        assert not found.failed


@given(st.floats(0.2, 5), st.integers(0, 40))
def test_times_are_blind_to_strength_and_follow_a_delay_exactly(factor, delay):
    one = course(motion_curve(expression()))
    other = course(motion_curve(factor * expression(REST + delay)))
    for moment in MOMENTS:
        assert getattr(other, moment) - getattr(one, moment) == pytest.approx(delay, abs=1e-6)
    assert (other.rise, other.fall) == (pytest.approx(one.rise), pytest.approx(one.fall))
    first, second = interval(motion_curve(expression())), interval(motion_curve(factor * expression(REST + delay)))
    assert second == (first[0] + delay, first[1] + delay)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_moments_come_in_their_order_within_the_clip(values):
    found = course(np.array(values))
    assert (found is None) == (max(values) <= QUIET) == (interval(np.array(values)) is None)
    if found:
        assert 0 <= found.onset <= found.apex <= found.offset <= len(values) - 1
        assert 0 <= found.asymmetry <= 1


def test_a_blink_and_a_region_outside_the_picture_do_not_count():
    track = expression()
    blinking, cut = track.copy(), track.copy()
    blinking[:, GROUPS["eyes"]] += 5
    cut[:, 11] = np.nan
    np.testing.assert_array_equal(motion_curve(blinking), motion_curve(track))
    assert np.isfinite(motion_curve(cut)).all()
    assert course(motion_curve(cut)).onset == pytest.approx(course(motion_curve(track)).onset, abs=1e-6)
    assert not motion_curve(np.full((5, 12, 2), np.nan)).any()


def test_camera_noise_on_a_still_face_has_no_course():
    frames = face() + np.random.default_rng(4).normal(0, 2, (9, 256, 256, 3))
    noisy = np.clip(np.round(frames), 0, 255).astype(np.uint8)
    curve = motion_curve(SeenClip("output", lambda: noisy, content_hash(noisy), None).motion.trajectory)
    assert 0 < curve.max() < QUIET
    assert course(curve) is interval(curve) is None


spans = st.tuples(st.integers(-30, 60), st.integers(0, 40)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(spans, spans)
def test_overlap_is_that_of_the_sets_of_frames(first, second):
    one, other = (set(range(start, end + 1)) for start, end in (first, second))
    assert overlap(first, second) == overlap(second, first) == pytest.approx(len(one & other) / len(one | other))


def test_timing_says_how_late_each_moment_is():
    driver = expression()
    late = np.concatenate([np.zeros((4, 12, 2)), driver[:-4]])
    values = Timing().measure(None, seen_of(late, driver)).values
    assert [values[f"{moment}_shift"] for moment in MOMENTS] == pytest.approx([4, 4, 4])
    assert values["timing_error"] == pytest.approx(4)
    assert (values["rise_ratio"], values["fall_ratio"]) == (pytest.approx(1), pytest.approx(1))
    assert values["asymmetry"] == pytest.approx(0)
    slow = np.repeat(driver, 2, axis=0)[REST : REST + len(driver)]  # from the same frame on, at half the speed
    values = Timing().measure(None, seen_of(slow, driver)).values
    assert values["rise_ratio"] == pytest.approx(2, abs=0.15)
    assert values["apex_shift"] > values["onset_shift"] > 0


def test_timing_is_absent_with_the_reason_where_a_face_is_still():
    driver, still = expression(), np.zeros_like(expression())
    for output, other, who in ((still, driver, "output"), (driver, still, "driver")):
        partial = Timing().measure(None, seen_of(output, other))
        assert partial.values == {}
        assert {score.reason for score in combined(Timing(), [partial])} == {
            f"the {who}'s face moves by no more than noise, or not at all"
        }
    jump = np.zeros_like(driver)
    jump[-1:] = driver[REST + PEAK]
    partial = Timing().measure(None, seen_of(driver, jump))
    assert partial.values["fall_ratio"] is None
    assert partial.reasons["fall_ratio"] == "the driver's fall takes less than a frame"


def spot(output: np.ndarray, driver: np.ndarray) -> Partial:
    return Spotting().measure(None, seen_of(output, driver))


def test_spotting_counts_over_cells_what_it_found_in_each():
    driver = expression()
    elsewhere = np.concatenate([driver[REST - 2 :], np.repeat(driver[:1], REST - 2, axis=0)])  # 28 frames too early
    cells = [spot(driver, driver), spot(0.3 * driver, driver), spot(elsewhere, driver), spot(0 * driver, driver)]
    assert [cell.sums["counts"] for cell in cells] == [[1, 0, 0], [1, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert [cell.values["spotting_recall"] for cell in cells] == [1, 1, 0, 0]
    assert cells[0].values["spotting_iou"] == 1
    scores = {score.figure: score for score in combined(Spotting(), cells)}
    assert scores["spotting_precision"].value == pytest.approx(2 / 3)
    assert scores["spotting_recall"].value == pytest.approx(2 / 4)
    assert scores["spotting_f1"].value == pytest.approx(2 * 2 / (2 * 2 + 1 + 2))
    assert (scores["spotting_f1"].n_scored, scores["spotting_f1"].n_cells) == (4, 4)
    assert [scores[f"spotting_{name}"].value for name in ("tp", "fp", "fn")] == [2, 1, 2]


def test_a_still_face_is_never_spotted_and_has_no_precision():
    driver = expression()
    scores = {score.figure: score for score in combined(Spotting(), [spot(0 * driver, driver)] * 3)}
    assert (scores["spotting_f1"].value, scores["spotting_recall"].value, scores["spotting_fn"].value) == (0, 0, 3)
    assert scores["spotting_precision"].value is None
    assert scores["spotting_precision"].reason == "nothing was spotted in any output"


def test_a_driver_that_does_not_move_has_nothing_to_spot():
    driver = expression()
    partial = spot(driver, 0 * driver)
    assert (partial.values, partial.sums) == ({}, {})
    scores = combined(Spotting(), [partial, spot(driver, driver)])
    assert {score.n_scored for score in scores} == {1}
    assert all("nothing to spot" in score.reason for score in combined(Spotting(), [partial]))


@given(st.floats(0.05, 1), st.integers(0, 12))
def test_the_answer_of_the_whole_clip_is_kept_beside_any_output(strength, delay):
    """This answer ignores the output. With still frames around the clip, it misses even what fills most of the clip."""
    driver = expression(rest=5)[:50]
    late = np.concatenate([np.zeros((delay, 12, 2)), driver])[: len(driver)]
    *counts, first, last = spot(strength * late, driver).sums["whole_clip"]
    onset, offset = interval(motion_curve(driver))
    assert (first, last) == (-AROUND, len(driver) - 1 + AROUND)
    assert (offset - onset + 1) / len(driver) >= 0.5  # without the frames around it, the clip would be correct
    assert counts == [0, 1, 1]
