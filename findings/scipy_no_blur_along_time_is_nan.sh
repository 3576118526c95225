#!/usr/bin/env bash
# SciPy's two Gaussian filters disagree about "no blur". gaussian_filter returns a clip unchanged along every axis whose
# sigma is 0, which is how one blurs pictures but not time: sigma=(0, 2, 2). gaussian_filter1d, the function for a single
# axis, which gaussian_filter itself calls, does not: with the number 0 it raises "float division by zero", and with a
# zero computed by NumPy it returns NaN everywhere, with nothing but RuntimeWarnings. A sigma along time is usually
# computed (seconds times frame rate, or a share of the clip's length), so that it is a NumPy zero as soon as a clip has
# one frame or the share is zero. The NaNs appear only then, although any smaller blur, such as .01 frames, works.
# The documentation of both functions describes sigma only as the standard deviation of the kernel.
# Seen with SciPy 1.17.1 (scipy/ndimage/_filters.py: gaussian_filter skips axes whose sigma is at most 1e-15;
# _gaussian_kernel1d divides by the square of sigma).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.4.6
venv/bin/python - <<'PY'
import sys
import warnings

import numpy as np
import scipy
from scipy.ndimage import gaussian_filter, gaussian_filter1d

print("SciPy", scipy.__version__)
clip = np.random.default_rng(0).uniform(0, 255, (8, 16, 16))  # frames, height, width
seconds, rates = 0.0, np.array([25.0, 200.0])
sigma = seconds * rates[1]  # frames

with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    along_time = gaussian_filter1d(clip, sigma, axis=0)
over_all = gaussian_filter(clip, (sigma, 0, 0))
little = gaussian_filter1d(clip, 0.01, axis=0)
try:
    gaussian_filter1d(clip, 0, axis=0)
    number = "returns"
except ZeroDivisionError as error:
    number = f"raises {type(error).__name__}: {error}"

print(f"gaussian_filter(clip, (0, 0, 0)): {'unchanged' if np.array_equal(over_all, clip) else 'changed'}")
print(f"gaussian_filter1d(clip, 0, axis=0): {number}")
print(f"gaussian_filter1d(clip, seconds * rates[1], axis=0): {np.isnan(along_time).mean():.0%} NaN,", end=" ")
print(f"warnings: {sorted({kind.category.__name__ for kind in seen})}")
print(f"gaussian_filter1d(clip, 0.01, axis=0): {'unchanged' if np.array_equal(little, clip) else 'changed'}")
same = np.array_equal(over_all, clip) and np.array_equal(little, clip)
only_warned = {kind.category for kind in seen} == {RuntimeWarning}
if not (same and number.startswith("raises") and np.isnan(along_time).all() and only_warned):
    sys.exit("the behaviour has changed")
print("as described: without blur, one filter returns the clip and the other NaN or an error")
PY
