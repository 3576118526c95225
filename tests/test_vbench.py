"""VBench's temporal flickering and the rule for its dynamic degree."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megbench.core.frames import grey
from megbench.metrics.vbench import Vbench, enough, fastest, is_dynamic, looked_at, steadiness


@given(st.integers(2, 12), st.integers(0, 255))
def test_a_still_clip_flickers_least(count, level):
    assert steadiness(np.full((count, 4, 4, 3), level, np.uint8)) == 1


def test_flickering_counts_every_channel_and_step():
    frames = np.zeros((3, 2, 2, 3), np.uint8)
    frames[1, ..., 0] = 255
    assert steadiness(frames) == pytest.approx(1 - 1 / 3)
    assert steadiness(frames[:, ::-1]) == steadiness(frames[::-1])


@pytest.mark.parametrize(("fps", "kept"), [(200.0, [0, 25]), (100.0, [0, 12, 24, 36]), (30.0, range(0, 44, 4))])
def test_frames_are_thinned_to_about_eight_a_second(fps, kept):
    assert list(looked_at(np.arange(44), fps)) == list(kept)


@pytest.mark.parametrize("fps", [1.0, 5.0, 8.0, 25.0])
def test_below_eight_frames_a_second_the_threshold_grows(fps):
    threshold = 6 * max(1, 8 / fps)
    assert not enough([threshold] * 7, 8, fps)
    assert enough([threshold + 0.01] * 2 + [0.0] * 5, 8, fps)
    assert not enough([threshold + 0.01] + [0.0] * 6, 8, fps)


def test_of_two_frames_nothing_is_asked():
    """A quarter of a second at 200 frames per second leaves two frames. VBench requires round(2 / 4) = 0 fast pairs."""
    assert enough([0.0], 2, 200.0)
    assert not enough([0.0, 0.0], 3, 200.0)


def test_the_fastest_are_a_twentieth():
    flow = np.zeros((10, 10, 2), np.float32)
    flow[0, :5] = 3, 4
    assert fastest(flow) == 5
    flow[0, 5:] = 6, 8
    assert fastest(flow) == 10


def test_a_shift_of_ten_pixels_is_dynamic_and_one_of_two_is_not():
    texture = np.random.default_rng(0).integers(0, 256, (40, 40)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    for step, dynamic in ((10, True), (2, False)):
        frames = np.stack([texture[:256, step * k : 256 + step * k] for k in range(4)])
        assert is_dynamic(frames, 8.0) is dynamic


def measured(frames, fps):
    """Return the metric's result for an output whose driver has this many frames per second."""
    cell = SimpleNamespace(driver=SimpleNamespace(fps=fps))
    return Vbench().measure(cell, SimpleNamespace(output=SimpleNamespace(frames=frames, grey=grey(frames))))


def test_what_cannot_be_told_is_absent_with_a_reason():
    frames = np.random.default_rng(0).integers(0, 256, (2, 256, 256, 3)).astype(np.uint8)
    partial = measured(frames[:1], 200.0)
    assert (partial.status, dict(partial.values)) == ("skipped", {})
    assert "it has 1 of the 2 frames needed" in partial.why_absent("vbench_temporal_flickering")
    for fps, reason in ((None, "frame rate is unknown"), (200.0, "it has 1 at 8 frames per second")):
        partial = measured(frames, fps)
        assert partial.values["vbench_temporal_flickering"] == steadiness(frames)
        assert partial.values["vbench_dynamic_degree_flow"] is None
        assert reason in partial.why_absent("vbench_dynamic_degree_flow")


def test_a_micro_expression_is_static_and_flickers():
    texture = np.random.default_rng(0).integers(0, 256, (34, 34)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    frames = np.stack([np.repeat(texture[:256, k : 256 + k, None], 3, -1) for k in (0, 1, 2, 1)])
    values = measured(frames, 8.0).values
    assert values["vbench_dynamic_degree_flow"] == 0
    assert values["vbench_temporal_flickering"] < 1
