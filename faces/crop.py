"""Choose the square of a picture that becomes 256 x 256, and crop to it without distorting the face.

Squares are given in display pixels, which are as wide as they are high: y counts the rows of the upright picture, and x
its columns times the pixel aspect ratio (a pixel's width over its height, megbench.core.video.pixel_aspect). A square
may extend beyond the picture, whose border is then repeated.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from megbench.core.frames import SIZE

AnyPicture = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]

# The margin around the detector's box, as a share of the box's width.
MARGIN = 0.25
# A picture already counts as a face crop if the face box is wider than this share of it and the picture's height is at
# most this multiple of its width. Crops of CASME II (280x340) and SMIC (137x168) are 1.23 times as high as they are
# wide; for selfies, the ratio is 1.33 to 1.78.
CROPPED_SHARE = 0.7
CROPPED_TALLNESS = 1.25


def display_size(picture: npt.NDArray[np.uint8], aspect: float = 1.0) -> tuple[float, float]:
    """Return the width and height of a picture (H, W, ...) in display pixels."""
    height, width = picture.shape[:2]
    return width * aspect, float(height)


def displayed(picture: npt.NDArray[np.uint8], aspect: float) -> npt.NDArray[np.uint8]:
    """Return a picture (H, W, ...) as displayed, with square pixels."""
    width, height = display_size(picture, aspect)
    return picture if aspect == 1 else resized(picture, max(round(width), 1), round(height))


def face_square(face: Box, size: tuple[float, float]) -> Box:
    """Return the square that shows a face, from its box (left, top, right, bottom) and the picture's size.

    The square is the box with a quarter of its width added on each side, shifted into the picture. If the square is
    larger than the picture along one axis, the picture is centred along that axis. The square is never larger than the
    one around the whole picture. A picture that is already a face crop (the box is wider than 70 % of it, and its
    height is at most 1.25 times its width) is kept whole. All values are in display pixels.
    """
    left, top, right, bottom = face
    width, height = size
    if right - left > CROPPED_SHARE * width and height <= CROPPED_TALLNESS * width:
        return whole_square(size)
    room = round(MARGIN * (right - left))
    return square_at(left - room, top - room, max(right - left, bottom - top) + 2 * room, size)


def whole_square(size: tuple[float, float]) -> Box:
    """Return the square around a whole picture of this size (width, height), with the picture centred."""
    return square_at(0, 0, round(max(size)), size)


def square_at(left: float, top: float, side: int, size: tuple[float, float]) -> Box:
    """Return the square nearest to this position that suits a picture of size (width, height); see `face_square`."""
    side = min(side, round(max(size)))
    x, y = (_placed(start, side, extent) for start, extent in zip((left, top), size, strict=True))
    return x, y, x + side, y + side


def _placed(start: float, side: int, extent: float) -> int:
    """Return the start of a square along one axis: inside the picture or, if it is larger, centred on the picture."""
    if side >= extent:
        return round((extent - side) / 2)
    return min(max(round(start), 0), math.floor(extent) - side)


def crop(picture: AnyPicture, box: Box, aspect: float = 1.0, size: int = SIZE) -> AnyPicture:
    """Return a picture (H, W, 3) cropped to a square and resized once: (size, size, 3) uint8.

    Pixels beyond the picture repeat its border. The scales in x and y agree to within .2 %.
    """
    left, top, right, bottom = box
    # Use whole columns. At most one column too many is included on each side, and it is cut off after resizing.
    first, last = math.floor(left / aspect), math.ceil(right / aspect)
    height, width = picture.shape[:2]
    inside = picture[max(top, 0) : min(bottom, height), max(first, 0) : min(last, width)]
    beyond = max(-top, 0), max(bottom - height, 0), max(-first, 0), max(last - width, 0)
    part = cv2.copyMakeBorder(inside, *beyond, cv2.BORDER_REPLICATE) if any(beyond) else inside
    scale = size / (right - left)
    columns = round((last - first) * aspect * scale)
    start = min(round((left - first * aspect) * scale), columns - size)
    return np.ascontiguousarray(resized(np.asarray(part, np.uint8), columns, size)[:, start : start + size])


def resized(picture: AnyPicture, width: int, height: int) -> AnyPicture:
    """Resize a picture (H, W, 3) uint8, using area averaging to shrink it and cubic interpolation otherwise."""
    rows, columns = picture.shape[:2]
    if (columns > width) != (rows > height):  # OpenCV cannot shrink one side by areas while enlarging the other
        method = cv2.INTER_AREA if columns > width else cv2.INTER_CUBIC
        picture = np.asarray(cv2.resize(picture, (width, rows), interpolation=method), np.uint8)
        columns = width
    method = cv2.INTER_AREA if columns > width or rows > height else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width, height), interpolation=method), np.uint8)
