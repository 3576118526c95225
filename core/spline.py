"""Subpixel sampling of pictures with interpolating cubic B-splines.

A spline moves the picture by exactly the requested distance. The cubic kernels of OpenCV (a = -.75) and Pillow do not:
they move smooth skin by .136 and .172 pixels instead of .1 (findings/cubic_kernels_overshoot.sh).
"""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float32]

# The coefficients of a spline through the pixels are the picture filtered with the inverse of the B-spline (1/6, 4/6,
# 1/6). From pixel to pixel, the response of the inverse is multiplied by this factor (M. Unser, Splines: a perfect fit,
# IEEE Signal Processing Magazine, 1999).
_POLE = np.sqrt(3) - 2
# Beyond 12 pixels, less than 1e-7 of the response remains.
_INVERSE = np.sqrt(3) * _POLE ** np.abs(np.arange(-12, 13))
_EDGE = cv2.BORDER_REFLECT_101


class Spline:
    """A picture (H, W, C) that is filtered once and can be sampled anywhere; beyond its edges, it is mirrored."""

    def __init__(self, picture: npt.NDArray[Any]) -> None:
        height, width, self.channels = picture.shape
        planes = picture.astype(np.float32)
        if self.channels in (2, 3):  # OpenCV samples four channels twice as fast as three, and two channels inexactly
            planes = np.concatenate([planes, np.zeros((height, width, 4 - self.channels), np.float32)], axis=-1)
        self._coefficients = cv2.sepFilter2D(planes, cv2.CV_32F, _INVERSE, _INVERSE, borderType=_EDGE)

    def at(self, points: npt.NDArray[Any]) -> Values:
        """Return the picture's values (H, W, C) float32 at `points` (H, W, 2), x then y, in pixels of the picture.

        Along one axis, two linear lookups at suitable positions replace the four B-spline weights. Along both, four
        lookups replace sixteen weights.
        """
        points = np.asarray(points, np.float32)
        left, right, across = _lookups(points[..., 0])
        upper, lower, down = _lookups(points[..., 1])
        found = self._between(self._linear(left, upper), self._linear(right, upper), across)
        below = self._between(self._linear(left, lower), self._linear(right, lower), across)
        found = self._between(found, below, down)
        return found.reshape(*points.shape[:2], -1)[..., : self.channels]

    def _linear(self, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> Values:
        return np.asarray(cv2.remap(self._coefficients, x, y, cv2.INTER_LINEAR, borderMode=_EDGE), np.float32)

    @staticmethod
    def _between(first: Values, second: Values, share: npt.NDArray[Any]) -> Values:
        """Return the mean of two pictures, weighted by 1 - `share` and `share`. Both arrays are overwritten."""
        second -= first
        second *= cv2.merge([share] * second.shape[-1]) if second.ndim == 3 else share
        first += second
        return first


def _lookups(position: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], ...]:
    """Return the positions of the linear lookups before and after `position`, and the weight of the second lookup."""
    before = np.floor(position)
    past = position - before
    left = 1 - past
    first, last = left * left * left / 6, past * past * past / 6  # weights of the outer two of the four pixels
    share = last + 2 / 3 - left * left * (1 + past) / 2  # total weight of the last two pixels
    return before - first / (1 - share), before + 1 + last / share, share


def as_type(values: Values, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return sampled values converted to another type; integers are rounded and clipped to their range."""
    if not np.issubdtype(dtype, np.integer):
        return values.astype(dtype)
    limits = np.iinfo(np.dtype(dtype))
    return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)
