"""Dense optical flow from one picture to others, designed for motions from a tenth of a pixel to a few pixels.

DIS on quarter-size pictures provides an initial estimate. It is followed by steps of Lucas and Kanade (1981) at half
size and at full size, and by a variational refinement. Everything that depends on the first picture alone (gradients
after Farid and Simoncelli 2004, inverse structure tensors) is computed once.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from megbench.core.clip import Float32s, pixel_grid
from megbench.core.frames import SIZE
from megbench.faces.dis import coarse_flow, finest_flow
from megbench.faces.landmarks import Grey, Points
from megbench.faces.regions import Mask

Box = tuple[slice, slice]
Planes = Sequence[Float32s]
WHOLE: Box = (slice(0, SIZE), slice(0, SIZE))
# The margin around a face, in pixels, in which flow is also computed.
MARGIN = 12
# The blur of both pictures. More blur raises the noise floor; less blur raises the error for exact shifts without
# noise.
BLUR = 0.6
# Averaging twice over squares of this size approximates a Gaussian of 4.5 pixels.
WINDOW = (11, 11)
# A term added to the diagonal of the structure tensors, (grey levels per pixel)^2, to keep areas without texture still.
STIFFNESS = 0.1
STEPS_HALF, STEPS = 2, 3
# If the median motion exceeds this, the face is lost in quarter-size pictures. The initial estimate is then DIS at full
# size, and one step suffices.
FAR = 3.0
# The 5-tap derivative of Farid and Simoncelli and its matching smoother.
DERIVATIVE: Float32s = np.array([-0.109604, -0.276691, 0, 0.276691, 0.109604], np.float32)
SMOOTHER: Float32s = np.array([0.037659, 0.249153, 0.426375, 0.249153, 0.037659], np.float32)


def box_around(area: Mask | Points) -> Box:
    """Return the rows and columns of a mask (256, 256) or of points (N, 2) with a margin of 12 pixels, as even numbers.

    For an empty mask this is the whole frame.
    """
    points = np.argwhere(area)[:, ::-1] if area.dtype == np.bool_ else area
    if not len(points):
        return WHOLE
    low = np.clip(np.floor(points.min(0)).astype(int) - MARGIN, 0, SIZE - 2) // 2 * 2
    high = np.clip(np.ceil(points.max(0)).astype(int) + MARGIN + 2, 2, SIZE) // 2 * 2
    columns, rows = (slice(int(first), int(last)) for first, last in zip(low, high, strict=True))
    return rows, columns


class FlowFrom:
    """Flow from the picture `first`, grey (256, 256) uint8, inside `box` (even numbers; by default the whole frame)."""

    def __init__(self, first: Grey, box: Box = WHOLE) -> None:
        self.box = box
        self._first = first
        smooth = _smooth(first)
        self._level = _Level(smooth, box)
        self._half = _Level(_halved(smooth), (_half(box[0]), _half(box[1])))

    def __call__(self, later: Grey) -> Float32s:
        """Return the flow to `later`, grey (256, 256) uint8: (256, 256, 2) float32, pixels, x then y, zero outside the
        box.

        The point x of `first` is found at x + flow(x) in `later`. Equal pictures give exactly zero.
        """
        flow = np.zeros((SIZE, SIZE, 2), np.float32)
        if not np.array_equal(self._first, later):
            flow[self.box] = self._inside(later)
        return flow

    def _inside(self, later: Grey) -> Float32s:
        smooth = _smooth(later)
        start = coarse_flow(self._first, later)[self.box]
        if np.hypot(*_typical(start)) > FAR:
            planes = _apart(finest_flow(self._first, later)[self.box])
            return self._refined(self._level.follow(smooth, planes, 1), smooth)
        size = start.shape[1::-1]
        small = _apart(_halved(start) / 2)
        half = _joined(self._half.follow(_halved(smooth), small, STEPS_HALF))
        planes = _apart(2 * cv2.resize(half, size, interpolation=cv2.INTER_LINEAR))
        return self._refined(self._level.follow(smooth, planes, STEPS), smooth)

    def _refined(self, planes: Planes, later: Float32s) -> Float32s:
        """Return the refined flow; the box is first shifted by the typical motion in whole pixels, and only the
        remaining motion is refined."""
        flow = _joined(planes)
        shift = np.round(_typical(flow))
        if not shift.any():
            return np.asarray(_variational().calc(self._level.first, later[self.box], flow), np.float32)
        columns, rows = (
            np.clip(np.arange(side.start, side.stop) + int(step), 0, SIZE - 1)
            for side, step in zip(self.box[::-1], shift, strict=True)
        )
        return np.asarray(
            _variational().calc(self._level.first, later[np.ix_(rows, columns)], flow - shift) + shift, np.float32
        )


class _Level:
    """The first picture at one size inside a box, prepared for steps of Lucas and Kanade."""

    def __init__(self, first: Float32s, box: Box) -> None:
        self.first = np.ascontiguousarray(first[box])
        self._grid = _apart(pixel_grid()[box])
        self._gradient = x, y = tuple(
            cv2.sepFilter2D(self.first, -1, *kernels, borderType=cv2.BORDER_REPLICATE)
            for kernels in ((DERIVATIVE, SMOOTHER), (SMOOTHER, DERIVATIVE))
        )
        xx, xy, yy = _averaged(x * x) + STIFFNESS, _averaged(x * y), _averaged(y * y) + STIFFNESS
        share = 1 / (xx * yy - xy * xy)
        self._inverse = share * yy, -share * xy, share * xx

    def follow(self, later: Float32s, flow: Planes, steps: int) -> Planes:
        """Return the flow (x and y, each (h, w)) after `steps` steps; `later` (H, W) is the whole later picture."""
        (x, y), (to_x, to_y) = flow, self._gradient
        a, b, c = self._inverse
        for _ in range(steps):
            # Sample linearly, since OpenCV's cubic kernel moves smooth skin by .136 px instead of .1.
            there = cv2.remap(
                later, self._grid[0] + x, self._grid[1] + y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            miss = self.first - there
            miss_x, miss_y = _averaged(to_x * miss), _averaged(to_y * miss)
            x, y = x + a * miss_x + b * miss_y, y + b * miss_x + c * miss_y
        return x, y


def _typical(flow: Float32s) -> Float32s:
    """Return the medians (2,) of x and y over every fourth pixel."""
    return np.asarray(np.median(flow[::4, ::4], axis=(0, 1)), np.float32)


def _apart(flow: npt.ArrayLike) -> Planes:
    return [np.asarray(plane, np.float32) for plane in cv2.split(np.asarray(flow, np.float32))]


def _joined(planes: Planes) -> Float32s:
    return np.asarray(cv2.merge(planes), np.float32)


def _averaged(picture: Float32s) -> Float32s:
    return np.asarray(cv2.blur(cv2.blur(picture, WINDOW), WINDOW), np.float32)


def _smooth(picture: Grey) -> Float32s:
    return np.asarray(cv2.GaussianBlur(picture.astype(np.float32), (0, 0), BLUR), np.float32)


def _halved(picture: Float32s) -> Float32s:
    return np.asarray(cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.float32)


def _half(side: slice) -> slice:
    return slice(side.start // 2, side.stop // 2)


@functools.cache
def _variational() -> Any:
    """Return OpenCV's refinement of flow by the variational method of Brox et al. (2004).

    The method is that of DIS, but works on float32 pictures, with few updates of the weights and many relaxations per
    update.
    """
    refinement = cv2.VariationalRefinement.create()
    refinement.setFixedPointIterations(3)
    refinement.setSorIterations(12)
    refinement.setAlpha(18)
    refinement.setGamma(10)
    refinement.setDelta(0)
    return refinement
