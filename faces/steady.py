"""Steady a driver: keep the head where frame 0 shows it and average frames over time, against camera noise.

A micro-expression moves skin by half a pixel. Networks that look for key points in pictures lose such motion in that of
the head, which is as large, and in noise.
"""

from __future__ import annotations

import cv2
import numpy as np
import scipy

from megbench.core.clip import Clip, Float32s, pixel_grid
from megbench.core.frames import Frames
from megbench.core.spline import Spline, as_type
from megbench.faces.features import one_at_a_time, seen_clip

# The standard deviation of the average over time. It is in frames, because the number of frames decides how much noise
# is left (three eighths), but limited in seconds, because an expression must not be blurred: an onset lasts some five
# times as long.
BLUR, MOST_S = 2.0, 0.02
# The frame rate assumed for clips that state none.
USUAL_FPS = 100.0


def steadied(driver: Clip) -> Frames:
    """Return frames uint8 (T, 256, 256, 3) RGB of a driver without head motion and with less noise.

    The head's motion is the similarity that scores also remove (megbench.faces.head); turns in depth remain. Frames are
    resampled once by a spline and then averaged over time by a Gaussian with a standard deviation of two frames, or of
    20 ms if that is shorter; the clip is mirrored at its ends. A clip of equal frames is returned unchanged. Raise
    CellFailed if frame 0 shows no face.
    """
    clip = seen_clip(f"driver {driver.name}", driver)
    with one_at_a_time(clip):
        heads = clip.motion.head
    still = np.stack([_put_back(frame, head) for frame, head in zip(clip.frames, heads, strict=True)])
    blur = min(BLUR, MOST_S * (driver.fps or USUAL_FPS))
    return as_type(scipy.ndimage.gaussian_filter1d(still, blur, axis=0, mode="mirror"), np.uint8)


def _put_back(frame: Frames, head: Float32s) -> Float32s:
    """Return a frame (256, 256, 3) without the head's motion (2, 3), which leads from frame 0 to this frame."""
    if np.array_equal(head, np.eye(2, 3)):
        return frame.astype(np.float32)
    return Spline(frame).at(cv2.transform(pixel_grid(), head))
