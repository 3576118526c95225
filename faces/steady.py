"""Steady a driver: keep the head where frame 0 shows it and average frames over time, against camera noise.

A micro-expression may move skin by only half a pixel. Networks that find key points in pictures lose such motion in
camera noise and in head motion, which can be as large.
"""

from __future__ import annotations

import numpy as np
import scipy

from megbench.core.clip import Clip
from megbench.core.frames import Frames
from megbench.core.head_at_rest import head_at_rest
from megbench.core.spline import as_type
from megbench.faces.features import one_at_a_time, seen_clip

# The standard deviation of the average over time is the smallest of these. In frames: three eighths of the noise are
# left. In seconds: a slowly filmed expression must not be blurred. As a share of the clip: onset and apex, as a clip of
# two frames, must not be mixed.
BLUR, MOST_S, MOST_SHARE = 2.0, 0.02, 0.1


def steadied(driver: Clip) -> Frames:
    """Return frames uint8 (T, 256, 256, 3) RGB of a driver without head motion and with less noise.

    The head's motion is the similarity that scores also remove (megbench.faces.head); turns in depth remain. Frames are
    resampled once by a spline and then averaged over time by a Gaussian with a standard deviation of two frames, or
    less in clips that are short or have fewer than 100 frames per second; a clip is mirrored at its ends. Equal frames
    are returned unchanged. Raise CellFailed if frame 0 shows no face.
    """
    clip = seen_clip(f"driver {driver.name}", driver)
    with one_at_a_time(clip):
        heads = clip.motion.head
    still = np.empty(clip.frames.shape, np.float32)
    for k, (frame, head) in enumerate(zip(clip.frames, heads, strict=True)):
        still[k] = head_at_rest(frame, head)
    # The blur is never 0, for which SciPy raises an error (findings/scipy_no_blur_along_time_is_nan.sh).
    blur = min(BLUR, MOST_SHARE * len(still), MOST_S * driver.fps if driver.fps else BLUR)
    scipy.ndimage.gaussian_filter1d(still, blur, axis=0, output=still, mode="mirror")
    return np.stack([as_type(frame, np.uint8) for frame in still])
