"""MediaPipe itself, if it is installed. In all other tests, tests/fake_mediapipe.py stands in for it."""

from importlib.util import find_spec

import numpy as np
import pytest

from megbench.core.weights import external_weights
from megbench.faces.blendshapes import INSTALL, UNITS, Landmarker
from tests.moving_face import MOUTH, render, strengths

INSTALLED = find_spec("mediapipe") is not None


@pytest.mark.skipif(not INSTALLED, reason=f"MediaPipe is not installed: {INSTALL}")
def test_the_landmarker_follows_a_mouth_corner_frame_by_frame():
    model = external_weights.find("landmarker")
    if model is None:
        pytest.skip(external_weights.absence("landmarker"))
    running = Landmarker(model)
    frames, _ = render(MOUTH)
    found = running.units(np.concatenate([frames, np.zeros_like(frames[:1])]))
    assert np.isnan(found[-1]).all()
    assert ((found[:-1] >= 0) & (found[:-1] <= 1)).all()
    order = np.random.default_rng(0).permutation(len(frames))
    assert np.array_equal(running.units(frames[order]), found[order])
    corner = found[:-1, UNITS.index("AU12")]
    assert abs(np.corrcoef(corner, strengths(MOUTH))[0, 1]) > 0.9
    running.stop()
