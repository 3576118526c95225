"""Scale the facial motion of a clip by a factor; the head's motion remains unchanged.

The facial motion is the flow from frame 0 that head motion does not explain. It is measured, extended smoothly beyond
the face's outline and multiplied, and the frame is resampled once. The motion in the result is then measured in the
same way. With the missing motion added, the frame is resampled again, from its original pixels. Without this
correction, a flow estimate that is 5 % too small would leave a seventh too much motion if three quarters are to be
removed. Nothing is smoothed over time: jitter is scaled like all other motion.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from megbench.core.clip import Float32s, pixel_grid
from megbench.core.frames import Frames, grey
from megbench.core.spline import Spline, as_type
from megbench.faces.field import invert, sample
from megbench.faces.flow import FlowFrom, box_around
from megbench.faces.head import fit_head, head_flow
from megbench.faces.landmarks import Grey, landmarks
from megbench.faces.regions import FaceRegions, face_regions
from megbench.faces.transfer import unfolded

# Increase this if outputs may change for reasons that are not visible in this module's code.
VERSION = "1"
# The blur of the motion, in pixels.
BLUR = 2.0
# The distance inside the outline, in pixels, within which flow mixes the face with the background.
OUTLINE = 4
# Flow measures at least nine tenths of a motion, so a correction larger than this share of a move must be an error.
LARGEST_CORRECTION = 0.25
# Beyond the outline, the motion is that of nearby skin, fading out over this many eye distances.
FADE = 0.4


def magnified(frames: Frames, factor: float, what: str) -> Frames:
    """Return frames uint8 (T, 256, 256, 3) RGB whose facial motion since frame 0 is `factor` times as large.

    Raise CellFailed, naming `what`, if frame 0 shows no face. With a factor of 1, the frames are returned unchanged.
    """
    if factor == 1:
        return frames
    first = grey(frames[:1])[0]
    motion = FacialFlow(first, face_regions(landmarks(first, what)))
    return np.stack([_frame(frame, factor, motion) for frame in frames])


def _frame(frame: Frames, factor: float, motion: FacialFlow) -> Frames:
    head, seen = motion(grey(frame[None])[0])
    if not seen.any():
        return frame
    spline = Spline(frame)
    move = (factor - 1) * seen
    made = _moved(spline, head, seen, move)
    _, came = motion(grey(made[None])[0])
    return _moved(spline, head, seen, move + _limited(factor * seen - came, move))


def _limited(correction: Float32s, move: Float32s) -> Float32s:
    """Return a correction limited to a share of the move that it corrects, because flow loses large motion."""
    length, most = (np.linalg.norm(field, axis=2, keepdims=True) for field in (correction, move))
    return np.asarray(correction * np.minimum(1, LARGEST_CORRECTION * most / np.maximum(length, 1e-6)), np.float32)


class FacialFlow:
    """Flow from a face at rest to other pictures, separated into head motion and facial motion."""

    def __init__(self, first: Grey, face: FaceRegions) -> None:
        self._stable = face.stable
        self._follow = FlowFrom(first, box_around(face.face))
        self._spread = spreading(face)

    def __call__(self, picture: Grey) -> tuple[Float32s, Float32s]:
        """Return the head's flow and the facial motion, (256, 256, 2) float32 each, to a picture (256, 256) uint8."""
        flow = self._follow(picture)
        head = head_flow(fit_head(flow, self._stable))
        return head, self._spread(flow - head)


def spreading(face: FaceRegions) -> Callable[[Float32s], Float32s]:
    """Return a function that keeps a field (256, 256, 2) inside a face's outline and fades it out beyond."""
    side = 2 * OUTLINE + 1
    inside = cv2.erode(face.face.astype(np.uint8), np.ones((side, side), np.uint8), borderValue=1)
    away = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    near = FADE * face.eye_distance
    fade = np.clip(1 - away / near, 0, 1)
    fade = (fade * fade * (3 - 2 * fade)).astype(np.float32)[..., None]
    share = inside.astype(np.float32)[..., None]
    reach = cv2.GaussianBlur(share, (0, 0), near / 3)[..., None].clip(1e-3)

    def spread(field: Float32s) -> Float32s:
        beyond = cv2.GaussianBlur(field * share, (0, 0), near / 3) / reach
        joined = field * share + (1 - share) * fade * beyond
        return np.asarray(cv2.GaussianBlur(joined, (0, 0), BLUR), np.float32)

    return spread


def _moved(frame: Spline, head: Float32s, seen: Float32s, move: Float32s) -> Frames:
    """Return a frame (256, 256, 3) uint8 in which a face that moved by `head` and `seen` has moved by `move` more.

    All fields start at frame 0. For every new position of a point of frame 0, the frame is sampled at the point's
    present position.
    """
    there = unfolded(head + seen + move)
    more = there - head - seen
    came_from = pixel_grid() + invert(there)
    return as_type(frame.at(pixel_grid() - sample(more, came_from)), np.uint8)
