"""Facial motion as version 1 measured it (finest DIS over the whole frame), for comparison with older figures."""

import functools

import numpy as np

from megbench.core.clip import Float32s
from megbench.faces.dis import finest_flow
from megbench.faces.features import Arrays, SeenClip
from megbench.faces.landmarks import Grey
from megbench.faces.motion import FacialMotion, facial_motion


def motion_v1(clip: SeenClip) -> FacialMotion:
    """Return the facial motion in every frame as version 1 measured it. Raise CellFailed if frame 0 shows no face."""
    return FacialMotion.of(clip.kept("motion_v1", functools.partial(_measure, clip)))


def _measure(clip: SeenClip) -> Arrays:
    flow = functools.partial(_flow, clip.grey)
    return facial_motion(flow, len(clip.frames), clip.landmarks).arrays()


def _flow(grey: Grey, index: int) -> Float32s:
    """Return the flow from frame 0, rounded to float16 as version 1 stored it."""
    first, later = grey[0], grey[index]
    if np.array_equal(first, later):
        return np.zeros((*first.shape, 2), np.float32)
    return finest_flow(first, later).astype(np.float16).astype(np.float32)
