"""Optical flow by OpenCV's DIS (Kroeger et al. 2016), either coarse (as an initial estimate) or at the finest scale."""

import functools
from typing import Any

import cv2
import numpy as np

from megbench.core.clip import Float32s
from megbench.faces.landmarks import Grey

BLUR = 1.0


@functools.cache
def _dis(finest: int, refinements: int) -> Any:
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(finest)
    dis.setVariationalRefinementIterations(refinements)
    return dis


def coarse_flow(first: Grey, later: Grey) -> Float32s:
    """Return the flow from `first` to `later`, computed at quarter size: uint8 (H, W) to (H, W, 2) float32, pixels."""
    return np.asarray(_dis(2, 3).calc(first, later, None), np.float32)


def finest_flow(first: Grey, later: Grey) -> Float32s:
    """Return the flow from `first` to `later`, computed at full size after a Gaussian blur of 1 pixel.

    It takes and returns the same types as `coarse_flow`, which is eight times as fast.
    """
    smooth = [cv2.GaussianBlur(image, (0, 0), BLUR) for image in (first, later)]
    return np.asarray(_dis(0, 10).calc(smooth[0], smooth[1], None), np.float32)
