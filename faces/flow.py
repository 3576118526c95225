"""Dense optical flow between two frames: OpenCV's DIS (Kroeger et al. 2016), as fine as it goes."""

import functools
from typing import Any

import cv2
import numpy as np

from core.clip import Floats
from core.frames import SIZE
from faces.landmarks import Grey

BLUR = 1.0


@functools.cache
def _dis() -> Any:
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(0)
    dis.setVariationalRefinementIterations(10)
    return dis


def dense_flow(first: Grey, later: Grey) -> Floats:
    """Flow from `first` to `later`, both grey (256, 256) uint8: (256, 256, 2) float32, pixels, x then y.

    The point x of `first` is found at x + flow(x) in `later`. Equal pictures give exactly zero. Both are blurred
    (Gaussian, sigma 1) first. One thread whatever the caller's setting: DIS splits its work into stripes, so its
    result depends on their number.
    """
    if np.array_equal(first, later):
        return np.zeros((SIZE, SIZE, 2), np.float32)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        smooth = [cv2.GaussianBlur(image, (0, 0), BLUR) for image in (first, later)]
        return np.asarray(_dis().calc(smooth[0], smooth[1], None), np.float32)
    finally:
        cv2.setNumThreads(threads)
