"""Measures besides motion agreement: perfect output scores best, bad output worse, and missing values are not zero."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from megbench.core.clip import Cell
from megbench.core.combine import combined, mean_score
from megbench.core.contracts import Metric, Partial
from megbench.core.errors import CellFailed
from megbench.core.frames import Frames, grey
from megbench.core.registry import load
from megbench.faces.features import Seen
from megbench.metrics import METRICS, ON_REQUEST
from megbench.metrics.fidelity import l1, psnr, ssim
from tests.moving_face import MOUTH, T, face, make_cell, strengths

# Metrics that need the user's files have their own tests, with stand-ins. face_distance compares sets, not cells.
LOADED: dict[str, Metric] = {
    name: load("metric", name, METRICS)() for name in METRICS if name not in (*ON_REQUEST, "face_distance")
}
ALL = {name: metric for name, metric in LOADED.items() if not getattr(metric, "weights", ())}
STILL_FACE = {
    "agreement": 0,
    "gain": 0,
    "error": 1,
    "agreement_truth": 0,
    "error_truth": 1,
    "head_correlation": None,
    "identity_distance": 0,
    "frame0_psnr_template": 100,
    "frame0_ssim_template": 1,
    "frame0_l1_template": 0,
    "frame0_akd_template": 0,
    "sharpness_template": 1,
    "flicker": 0,
    "repeated_frames": 1,
    "faces_found": 1,
    "frames": T,
    "frames_of_driver": 1,
}
PERFECT = {
    "agreement_truth": 1,
    "gain_truth": 1,
    "error_truth": 0,
    "akd": 0,
    "ssim_truth": 1,
    "psnr_truth": 100,
    "l1_truth": 0,
    "sharpness_truth": 1,
}


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Cell:
    return make_cell(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("features")


def measure(cell: Cell, frames: Frames, cache: Path, *names: str) -> dict[str, float | None]:
    """Return all values of the named metrics, or of all metrics. A value is None where the metric gives a reason."""
    seen, found = Seen(cell, frames, cache), {}
    for metric in (ALL[name] for name in names or ALL):
        partial = metric.measure(cell, seen)
        assert partial.status == "ok"
        assert partial.values or partial.reason, metric.name
        absent = partial.reasons if partial.values else [figure.name for figure in metric.figures]
        found |= dict.fromkeys(absent) | partial.values
    return found


@pytest.fixture(scope="module")
def still(cell: Cell, cache: Path) -> dict[str, float | None]:
    return measure(cell, np.repeat(cell.template.image[None], T, axis=0), cache)


@pytest.fixture(scope="module")
def perfect(cell: Cell, cache: Path) -> dict[str, float | None]:
    return measure(cell, cell.truth.frames(), cache)


@pytest.mark.parametrize("figure", STILL_FACE)
def test_a_still_face_gets_exactly_what_it_deserves(still, figure):
    wanted = STILL_FACE[figure]
    assert still[figure] == (wanted if wanted is None else pytest.approx(wanted, abs=1e-9))


def test_a_still_face_errs_by_the_whole_flow(still):
    assert still["true_flow_error_relative"] == pytest.approx(1)
    assert still["landmark_error"] > 0


@pytest.mark.parametrize("figure", PERFECT)
def test_the_truth_is_perfect_against_itself(perfect, figure):
    assert perfect[figure] == pytest.approx(PERFECT[figure], abs=1e-9)


def test_the_truth_moves_as_the_exact_flow_says(perfect, still):
    assert perfect["true_flow_error"] < 0.12
    assert perfect["true_flow_error"] < 0.5 * still["true_flow_error"]
    assert perfect["landmark_error"] < 0.5 * still["landmark_error"]
    assert perfect["agreement"] > 0.8


def test_values_and_figures_are_the_same_names(perfect, still):
    names = [figure.name for metric in ALL.values() for figure in metric.figures]
    assert len(names) == len(set(names))
    assert set(perfect) == set(still) == set(names)


def test_every_value_lies_within_its_bounds(perfect, still):
    for figure in (figure for metric in ALL.values() for figure in metric.figures):
        low, high = figure.bounds
        for value in (perfect[figure.name], still[figure.name]):
            assert value is None or low is None or value >= low - 1e-9, figure
            assert value is None or high is None or value <= high + 1e-9, figure


def test_softness_and_noise_show(cell, cache, perfect):
    truth = cell.truth.frames()
    soft = np.stack([cv2.GaussianBlur(frame, (0, 0), 1.0) for frame in truth])
    assert measure(cell, soft, cache, "sharpness")["sharpness_truth"] < 0.6
    noisy = cell.reference.frames()  # the truth's motion with noise of sigma 2
    found = measure(cell, noisy, cache, "sharpness", "flicker", "fidelity")
    assert found["sharpness_truth"] > 1.05
    # Half the second difference of noise has standard deviation sigma sqrt(3/2). Its mean absolute value is sqrt(2/pi)
    # times that.
    expected = np.hypot(2, 0.29) * np.sqrt(1.5) * np.sqrt(2 / np.pi) * np.sqrt(0.299**2 + 0.587**2 + 0.114**2)
    assert found["flicker"] == pytest.approx(expected + perfect["flicker"], rel=0.15)
    assert 38 < found["psnr_truth"] < 50
    assert found["ssim_truth"] < 1
    assert found["l1_truth"] == pytest.approx(2 * np.sqrt(2 / np.pi) * 0.669, rel=0.15)


def test_another_face_is_further_away(cell, cache, perfect):
    stretched = np.stack([cv2.resize(frame[40:216], (256, 256)) for frame in cell.truth.frames()])
    found = measure(cell, stretched, cache, "identity_distance", "akd")
    assert found["identity_distance"] > perfect["identity_distance"] + 0.1
    assert found["identity_distance_worst"] >= found["identity_distance"]
    assert found["akd"] > 3


def test_amplitude_is_seen_by_gain_not_by_agreement(cell, cache, perfect):
    """Each frame of the truth is replaced by an earlier one of half its strength, which changes only the amplitude."""
    strength = strengths(MOUTH)
    half = [int(np.abs(strength[: MOUTH[2] + 1] - value / 2).argmin()) for value in strength]
    found = measure(cell, cell.truth.frames()[half], cache, "motion_agreement")
    assert found["agreement_truth"] > 0.9
    assert 0.3 < found["gain_truth"] < 0.7


def test_without_a_truth_there_is_no_figure_and_a_reason(cell, cache):
    recording = dataclasses.replace(cell, truth=None)
    seen = Seen(recording, cell.driver.frames(), cache)
    for name, metric in ALL.items():
        partial = metric.measure(recording, seen)
        for score in combined(metric, [partial]):
            if score.figure.split("_pooled")[0].endswith("_truth") or score.figure == "akd" or name == "true_flow":
                assert score.value is None, score
                assert score.reason.startswith(("no truth in this cell", "no exact motion")), score
                assert score.n_scored == 0
            elif score.figure.startswith("frame0_"):
                assert score.value is not None, score


def test_a_truth_that_does_not_move_is_not_said_to_be_absent(cell, cache):
    seen = Seen(cell, cell.driver.frames(), cache)
    still = np.repeat(cell.template.image[None], T, axis=0)
    seen.truth = Seen(cell, still, cache).output
    partial = ALL["au_flow"].measure(cell, seen)
    assert partial.why_absent("au_flow_leakage") == ""
    assert partial.why_absent("au_flow_leakage_truth").endswith("the truth moves no unit, or all of them")


def test_a_head_that_does_not_move_is_not_said_to_lack_a_truth(cell, cache):
    recording = dataclasses.replace(cell, truth=None)
    still = np.repeat(cell.template.image[None], T, axis=0)
    partial = ALL["motion_agreement"].measure(recording, Seen(recording, still, cache))
    assert partial.why_absent("head_correlation") == "the head of the output or of the driver does not move"
    assert partial.why_absent("agreement_truth") == "no truth in this cell"
    assert partial.why_absent("agreement") == ""


def test_a_recorded_truth_has_no_exact_flow(cell, cache, tmp_path):
    recorded = dataclasses.replace(cell, truth=dataclasses.replace(cell.truth, folder=tmp_path))
    partial = ALL["true_flow"].measure(recorded, Seen(cell, cell.truth.frames(), cache))
    assert (partial.status, dict(partial.values)) == ("unavailable", {})
    assert "recordings" in partial.reason


@pytest.mark.parametrize("n_frames", [1, 2])
def test_a_clip_too_short_is_skipped_with_the_reason(cell, cache, n_frames):
    seen = Seen(cell, cell.truth.frames()[:n_frames], cache)
    for name in ("motion_agreement", "timing", "spotting", "strain_agreement"):
        partial = ALL[name].measure(cell, seen)
        assert (partial.status, partial.values, partial.sums) == ("skipped", {}, {}), name
        assert partial.reason == f"clip too short: it has {n_frames} of the 3 frames needed"
    assert ALL["counts"].measure(cell, seen).values["frames"] == n_frames


@pytest.mark.parametrize("name", ["motion_agreement", "true_flow", "akd", "fidelity"])
def test_another_number_of_frames_fails_by_name(cell, cache, name):
    with pytest.raises(CellFailed, match=f"output and (driver|truth) differ in length: {T - 1} and {T} frames"):
        ALL[name].measure(cell, Seen(cell, cell.truth.frames()[:-1], cache))


@pytest.mark.parametrize("name", ["motion_agreement", "identity_distance", "akd", "flicker"])
def test_an_output_without_a_face_fails_and_is_counted(cell, cache, name):
    seen = Seen(cell, np.full((T, 256, 256, 3), 128, np.uint8), cache)
    with pytest.raises(CellFailed, match="no frontal face found in output"):
        ALL[name].measure(cell, seen)
    assert ALL["counts"].measure(cell, seen).values["faces_found"] == 0


cells = st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), max_size=20)


@given(values=cells)
def test_combine_is_the_mean_of_what_is_there(values):
    partials = [
        Partial("failed", "no face in output") if value is None else Partial("ok", values={"one": value})
        for value in values
    ]
    score = mean_score("one", partials)
    present = [value for value in values if value is not None]
    assert (score.n_scored, score.n_cells) == (len(present), len(values))
    if present:
        assert score.status == "ok"
        assert score.value == pytest.approx(sum(present) / len(present), abs=1e-6)
        assert min(present) - 1e-6 <= score.value <= max(present) + 1e-6
        backwards = mean_score("one", partials[::-1])
        assert backwards.value == pytest.approx(score.value, abs=1e-6)
    else:
        assert score.value is None
        assert score.reason
        assert score.status != "ok"


def test_an_output_that_failed_is_not_the_reason_why_the_others_lack_a_figure():
    """A figure that needs a truth is absent from recordings because they have none, even if one output also failed."""
    missing, failed = Partial("missing", "no output"), Partial("failed", "no frontal face found in output")
    scored = Partial("ok", values={"agreement": 0.5}, reasons={"agreement_truth": "no truth in this cell"})
    cells = [missing, failed, scored]
    for count, status, reason in ((3, "unavailable", "no truth in this cell"), (2, "failed", failed.reason)):
        score = mean_score("agreement_truth", cells[:count])
        assert (score.value, score.status, score.reason) == (None, status, reason)
    assert mean_score("agreement_truth", [missing]).status == "missing"


def test_ssim_is_scikit_images_and_equal_pictures_have_one():
    picture = grey(face()[None])[0]
    other = np.clip(picture + np.random.default_rng(0).normal(0, 4, picture.shape), 0, 255).astype(np.uint8)
    settings = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    assert ssim(picture, other) == pytest.approx(structural_similarity(picture, other, **settings), abs=2e-6)
    assert ssim(picture, picture) == 1
    assert psnr(picture, other) == pytest.approx(peak_signal_noise_ratio(picture, other), abs=1e-9)
    assert l1(picture, other) == np.abs(picture.astype(int) - other).mean()
