"""Move a head back to where it rests, for drivers and for pictures of a report."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from megbench.core.clip import Float32s, pixel_grid
from megbench.core.frames import Frames
from megbench.core.spline import Spline


def head_at_rest(frame: Frames, head: npt.NDArray[np.floating]) -> Float32s:
    """Return a frame uint8 (256, 256, 3) without the head's motion, as values (256, 256, 3) float32, not rounded.

    head: (2, 3), the similarity transform in pixels that leads from frame 0 to this frame. The frame is resampled once,
    or not at all if the head has not moved.
    """
    if np.array_equal(head, np.eye(2, 3)):
        return frame.astype(np.float32)
    return Spline(frame).at(cv2.transform(pixel_grid(), head))
