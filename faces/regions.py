"""Twelve regions of a face, defined by its 68 landmarks, and the part of the face that expressions do not move.

Mouth corners, upper lip and lower lip are separate, because their motions would cancel in a single mean over the mouth
(AU14, AU20, AU24).
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from megbench.core.frames import SIZE
from megbench.faces.landmarks import LEFT_EYE, RIGHT_EYE, Points, eye_distance

Mask = npt.NDArray[np.bool_]

# Right and left are those of the subject: landmarks 17..21 are on the right brow.
REGIONS = (
    "right_brow",
    "left_brow",
    "right_eye",
    "left_eye",
    "nose",
    "right_cheek",
    "left_cheek",
    "right_mouth_corner",
    "left_mouth_corner",
    "upper_lip",
    "lower_lip",
    "chin",
)
GROUPS: dict[str, tuple[int, ...]] = {
    "brows": (0, 1),
    "eyes": (2, 3),
    "nose": (4,),
    "cheeks": (5, 6),
    "mouth": (7, 8, 9, 10, 11),
}
# All regions except the eyes, so that a blink does not count.
WITHOUT_EYES = tuple(region for group, regions in GROUPS.items() if group != "eyes" for region in regions)

RIGHT_BROW = slice(17, 22)
LEFT_BROW = slice(22, 27)


@dataclass(frozen=True)
class FaceRegions:
    """Masks of one face.

    masks: (12, 256, 256) bool, in the order of REGIONS. They may overlap slightly, and the mask of a region outside the
        picture is empty.
    stable: the pixels from which head motion is estimated (no mouth, eyes or brows).
    face: the hull of jaw and raised brows.
    eye_distance: in pixels.
    """

    masks: npt.NDArray[np.bool_]
    stable: Mask
    face: Mask
    eye_distance: float


def face_regions(points: Points) -> FaceRegions:
    """Return the regions of the face whose 68 landmarks are `points`, (68, 2) in pixels of a 256 x 256 frame."""
    d = eye_distance(points)
    brows = [_widened(_hull(points[s], points[s] - _by(0, 0.18 * d)), 5) for s in (RIGHT_BROW, LEFT_BROW)]
    eyes = [_widened(_hull(points[s]), _odd(0.12 * d)) for s in (RIGHT_EYE, LEFT_EYE)]
    nose = _widened(_hull(points[27:36]), 9)
    mouth = _widened(_hull(points[48:60]), _odd(0.14 * d))
    sides = zip((True, False), eyes, strict=True)
    cheeks = [_cheek(points, d, right) & ~mouth & ~eye & ~nose for right, eye in sides]
    corners = _mouth_corners(points, d)
    lips = mouth & ~corners[0] & ~corners[1]
    upper = np.arange(SIZE)[:, None] < points[60:68, 1].mean()
    chin = _chin(points, d) & ~mouth
    face = _hull(points[0:17], points[17:27] - _by(0, 0.36 * d))
    stable = face & ~mouth & ~eyes[0] & ~eyes[1] & ~brows[0] & ~brows[1]
    masks = np.stack([*brows, *eyes, nose, *cheeks, *corners, lips & upper, lips & ~upper, chin])
    return FaceRegions(masks, stable, face, d)


def _cheek(points: Points, d: float, right: bool) -> Mask:
    """Return the mask of the polygon between lower lid, outer eye corner, jaw, mouth corner and nostril."""
    lid, eye_corner, mouth_corner, nostril = points[[41, 36, 48, 31] if right else [46, 45, 54, 35]]
    jaw = points[[2, 3, 4] if right else [14, 13, 12]]
    outward = _by(-d if right else d, 0)
    return _hull(
        [lid + _by(0, 0.12 * d), eye_corner + _by(0, 0.2 * d)],
        jaw,
        [(jaw[2] + mouth_corner) / 2, mouth_corner + 0.08 * outward, nostril + 0.12 * outward],
    )


def _mouth_corners(points: Points, d: float) -> tuple[Mask, Mask]:
    """Return masks around landmarks 48 and 54.

    They extend by 0.14 `d` outwards, upwards and downwards, and by a fifth of the mouth's width inwards.
    """
    right, left = points[48], points[54]
    out, inside = 0.14 * d, 0.2 * (left[0] - right[0])
    return (
        _hull([right + _by(x, y) for x in (-out, inside) for y in (-out, out)]),
        _hull([left + _by(x, y) for x in (-inside, out) for y in (-out, out)]),
    )


def _chin(points: Points, d: float) -> Mask:
    """Return the mask of the quadrilateral from below the lower lip (57) to the jaw (7 and 9)."""
    below, up = points[57] + _by(0, 0.14 * d), _by(0, 0.08 * d)
    return _hull([below - _by(0.28 * d, 0), below + _by(0.28 * d, 0), points[9] - up, points[7] - up])


def _by(x: float, y: float) -> Points:
    return np.array([x, y], np.float64)


def _hull(*points: npt.ArrayLike) -> Mask:
    """Return the filled convex hull of points rounded to pixels."""
    corners = np.round(np.concatenate([np.asarray(part, np.float64) for part in points])).astype(np.int32)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(corners), 1)
    return mask.astype(bool)


def _widened(mask: Mask, side: int) -> Mask:
    """Return a mask dilated by a square with `side` pixels (odd)."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)).astype(bool)


def _odd(length: float) -> int:
    return int(length) | 1
