"""Facial motion by the first recipe, DIS over the whole frame as fine as it goes: for comparison with older figures."""

import functools

import numpy as np

from megbench.core.clip import Float32s
from megbench.faces.dis import finest_flow
from megbench.faces.features import Arrays, SeenClip
from megbench.faces.landmarks import Grey
from megbench.faces.motion import FacialMotion, facial_motion


def motion_v1(clip: SeenClip) -> FacialMotion:
    """Facial motion of every frame by version 1. CellFailed without a face in frame 0."""
    return FacialMotion.of(clip.kept("motion_v1", functools.partial(_measure, clip)))


def _measure(clip: SeenClip) -> Arrays:
    flow = functools.partial(_flow, clip.grey)
    return facial_motion(flow, len(clip.frames), clip.landmarks).arrays()


def _flow(grey: Grey, index: int) -> Float32s:
    """Flow from frame 0, rounded as version 1 kept it."""
    first, later = grey[0], grey[index]
    if np.array_equal(first, later):
        return np.zeros((*first.shape, 2), np.float32)
    return finest_flow(first, later).astype(np.float16).astype(np.float32)
