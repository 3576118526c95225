"""Laws that every metric in the table obeys, whatever it measures."""

import doctest
import importlib
from dataclasses import replace

import numpy as np
import pytest

from megbench.core.combine import combined
from megbench.core.contracts import Metric, Partial
from megbench.core.errors import BenchError, CellFailed
from megbench.core.frames import content_hash
from megbench.core.registry import load
from megbench.engine.scoring import lacking, measure
from megbench.faces.features import Seen
from megbench.metrics import METRICS, ON_REQUEST
from tests.moving_face import BROW, T, make_cell, render

ALL: dict[str, Metric] = {name: load("metric", name, METRICS)() for name in METRICS}
# Metrics that this machine can measure without the user's files. The others have tests with stand-ins.
MEASURABLE = [name for name, metric in ALL.items() if name not in ON_REQUEST and not getattr(metric, "weights", ())]


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    return make_cell(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("features")


@pytest.fixture(scope="module")
def outputs(cell):
    rng = np.random.default_rng(2)
    truth = cell.truth.frames()
    return {
        "perfect": truth,
        "still": np.repeat(cell.template.image[None], T, axis=0),
        "wrong": render(BROW)[0],
        "noisy": np.clip(truth + rng.normal(0, 12, truth.shape), 0, 255).astype(np.uint8),
    }


@pytest.fixture(scope="module")
def found(cell, store, outputs) -> dict[str, dict[str, Partial]]:
    """Measure every metric on every output, and return the results by output and metric."""
    partials: dict[str, dict[str, Partial]] = {}
    for name, frames in outputs.items():
        seen = Seen(cell, frames, store)
        partials[name] = {metric: measure(ALL[metric], cell, seen) for metric in MEASURABLE}
    return partials


def test_the_table_says_what_each_metric_needs():
    for name, metric in ALL.items():
        assert metric.name == name
        assert metric.version
        assert isinstance(lacking(metric), str)
        assert all(figure.description and figure.title for figure in metric.figures)
    names = [figure.name for metric in ALL.values() for figure in metric.figures]
    assert len(names) == len(set(names))
    assert set(ON_REQUEST) < set(METRICS)


@pytest.mark.parametrize("name", MEASURABLE)
def test_a_perfect_output_scores_best_against_the_truth(found, name):
    for figure in ALL[name].figures:
        if figure.target != "truth" or figure.ideal is None:
            continue
        values = {output: partials[name].values.get(figure.name) for output, partials in found.items()}
        best = values.pop("perfect")
        assert best is not None, figure.name
        for output, value in values.items():
            if value is not None:
                better = figure.distance(best) - figure.distance(value)
                # Flow is smooth, so a ten-thousandth of a pixel of motion leaks from moving regions into still ones.
                assert better <= (1e-3 if figure.unit == "px" else 1e-9), (figure.name, output)


@pytest.mark.parametrize("name", MEASURABLE)
def test_a_still_face_and_a_perfect_output_have_what_the_figures_say(found, name):
    """The declared `still` and, for figures against the truth, `ideal` equal the measured values."""
    for figure in ALL[name].figures:
        still, perfect = (found[output][name].values.get(figure.name) for output in ("still", "perfect"))
        if figure.still is not None and still is not None:
            assert still == pytest.approx(figure.still, abs=1e-6), figure.name
        if figure.target == "truth" and figure.ideal is not None and perfect is not None:
            # True flow compares measured flow with exact flow, and measured flow is not exact.
            assert perfect == pytest.approx(figure.ideal, abs=0.2 if name == "true_flow" else 1e-6), figure.name


@pytest.mark.parametrize("name", MEASURABLE)
def test_every_value_is_a_number_within_bounds_or_absent_with_a_reason(found, name):
    for output, partials in found.items():
        partial = partials[name]
        assert partial.status == "ok", (output, partial.reason)
        assert set(partial.values) <= {figure.name for figure in ALL[name].figures}
        for figure in ALL[name].figures:
            value = partial.values.get(figure.name)
            if value is None:
                assert partial.why_absent(figure.name), figure.name
            else:
                low, high = figure.bounds
                assert np.isfinite(value)
                assert low is None or value >= low - 1e-9, figure.name
                assert high is None or value <= high + 1e-9, figure.name


@pytest.mark.parametrize("name", MEASURABLE)
def test_one_frame_is_measured_or_skipped_with_a_reason(cell, store, name):
    one = replace(cell, truth=None)
    try:
        partial = measure(ALL[name], one, Seen(one, cell.truth.frames()[:1], store))
    except CellFailed as error:  # pragma: no cover - `measure` turns these into partials
        pytest.fail(f"{name} raised {error}")
    assert partial.status in ("ok", "skipped", "failed", "unavailable")
    assert partial.status == "ok" or partial.reason
    assert all(value is None or np.isfinite(value) for value in partial.values.values())
    for score in combined(ALL[name], [partial]):
        assert score.value is not None or score.reason, score


@pytest.mark.parametrize("name", MEASURABLE)
def test_no_cells_give_no_figure(name):
    for score in combined(ALL[name], []):
        assert score.value is None
        assert (score.n_scored, score.n_cells) == (0, 0)


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((0, 256, 256, 3), np.uint8),
        np.zeros((3, 128, 128, 3), np.uint8),
        np.zeros((3, 256, 256), np.uint8),
        np.zeros((3, 256, 256, 3), np.float32),
        np.full((3, 256, 256, 3), np.nan),
    ],
    ids=["empty", "small", "grey", "floats", "NaN"],
)
def test_frames_that_are_none_are_refused_before_any_metric_sees_them(cell, frames):
    with pytest.raises(BenchError, match="Output: frames must be"):
        Seen(cell, frames, None)


@pytest.mark.parametrize("name", MEASURABLE)
def test_a_metric_is_the_same_alone_and_in_company_and_leaves_the_frames_as_they_were(
    cell, outputs, found, name, tmp_path
):
    """Features are recomputed in the order of this metric's needs. No batch, cache or other metric changes a value."""
    frames = outputs["noisy"].copy()
    before = content_hash(frames)
    alone = measure(ALL[name], cell, Seen(cell, frames, tmp_path)).values
    company = found["noisy"][name].values
    assert set(alone) == set(company)
    for figure, value in alone.items():
        assert value == (None if company[figure] is None else pytest.approx(company[figure], rel=1e-5, abs=1e-5)), (
            figure
        )
    assert content_hash(frames) == before


@pytest.mark.parametrize("name", MEASURABLE)
def test_eight_bits_are_all_that_is_read(cell, outputs, found, name, store):
    """Frames in another memory layout give the same values, because a metric reads uint8 values, not the raw buffer."""
    strided = np.asfortranarray(outputs["perfect"])
    values = measure(ALL[name], cell, Seen(cell, strided, store)).values
    assert values == found["perfect"][name].values


@pytest.mark.parametrize(
    "module", ["au_scores", "fidelity", "flicker", "motion_agreement", "set_distance", "sharpness", "vbench"]
)
def test_examples_in_docstrings_hold(module):
    found = doctest.testmod(importlib.import_module(f"metrics.{module}"))
    assert found.attempted >= 3
    assert not found.failed
