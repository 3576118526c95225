"""Where the face is: detection, 68 landmarks (iBUG order), the square that every frame is cut to, and the
identity embedding.

dlib's models are read by path from the package face_recognition_models, which holds data only.
"""

import functools
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import dlib
import numpy as np
import numpy.typing as npt

from core.errors import BenchError, CellFailed
from core.frames import Frames
from faces.crop import Box, display_size, face_square, resized

Points = npt.NDArray[np.float64]
Grey = npt.NDArray[np.uint8]

# Faces that fill their picture are found only with some room around them.
BORDER = 48
# dlib's score above which a further face in a picture is believed: true ones reached 0.6 and more, false ones 0.25.
SURE_SCORE = 0.4

RIGHT_EYE = slice(36, 42)
LEFT_EYE = slice(42, 48)


def model_path(name: str) -> Path:
    """Path of one of dlib's model files; BenchError with the remedy if the data package is not installed."""
    spec = find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise BenchError(
            "dlib's face models are missing. Remedy: pip install -c constraints.txt face_recognition_models"
        )
    return Path(spec.submodule_search_locations[0]) / "models" / name


@functools.cache
def _detector() -> Any:
    return dlib.get_frontal_face_detector()


@functools.cache
def _predictor() -> Any:
    return dlib.shape_predictor(str(model_path("shape_predictor_68_face_landmarks.dat")))


@functools.cache
def _recogniser() -> Any:
    return dlib.face_recognition_model_v1(str(model_path("dlib_face_recognition_resnet_model_v1.dat")))


def _padded(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.copyMakeBorder(image, BORDER, BORDER, BORDER, BORDER, cv2.BORDER_REPLICATE), dtype=np.uint8)


def _face_boxes(padded: Grey) -> list[Any]:
    """dlib's boxes, largest first: without upsampling and, only if there are none, with one upsampling."""
    boxes = _detector()(padded, 0) or _detector()(padded, 1)
    return sorted(boxes, key=lambda box: box.area(), reverse=True)


def detect(image: Grey) -> Points | None:
    """68 landmarks of the largest face in a grey picture (H, W) uint8: (68, 2) float64 pixels x, y; None without one.

    Landmarks are integers (dlib rounds them) and may lie outside the picture.
    """
    padded = _padded(image)
    boxes = _face_boxes(padded)
    if not boxes:
        return None
    shape = _predictor()(padded, boxes[0])
    return np.array([(point.x - BORDER, point.y - BORDER) for point in shape.parts()], dtype=np.float64)


def landmarks(image: Grey, what: str) -> Points:
    """As `detect`, but raises CellFailed `no face in <what>`."""
    points = detect(image)
    if points is None:
        raise CellFailed(f"no face in {what}")
    return points


def eye_distance(points: Points) -> float:
    """Distance between the eye centres (means of 36..41 and 42..47), pixels."""
    return float(np.linalg.norm(points[LEFT_EYE].mean(0) - points[RIGHT_EYE].mean(0)))


def face_boxes(image: Grey) -> list[tuple[int, int, int, int]]:
    """All face boxes (left, top, right, bottom) in a grey picture of any size, largest first; [] without a face."""
    return [
        (box.left() - BORDER, box.top() - BORDER, box.right() - BORDER, box.bottom() - BORDER)
        for box in _face_boxes(_padded(image))
    ]


def count_faces(image: Grey) -> int:
    """How many faces a picture (H, W) uint8 shows: weak second detections, which are mostly cloth, do not count."""
    padded = _padded(image)
    scores: list[float] = next((found for more in (0, 1) if (found := _detector().run(padded, more, 0.0)[1])), [])
    return max(sum(score >= SURE_SCORE for score in scores), min(len(scores), 1))


def crop_box(image: Grey, what: str, aspect: float = 1.0) -> Box:
    """Return the square every frame of a clip is cut to, from its first frame (H, W) uint8, grey and upright.

    aspect: width of its pixels over their height. The square (left, top, right, bottom) is in display pixels and may
    reach beyond the picture: see `faces.crop.face_square`. Raises CellFailed where there is no face.
    """
    width, height = display_size(image, aspect)
    shown = image if aspect == 1 else resized(image, round(width), round(height))
    boxes = face_boxes(shown)
    if not boxes:
        raise CellFailed(f"no face in {what}")
    return face_square(boxes[0], (width, height))


def embedding(image: Frames, points: Points) -> npt.NDArray[np.float64]:
    """dlib's face embedding of an RGB picture (H, W, 3) uint8 whose landmarks are `points`: (128,), not unit length.

    By dlib's own rule two pictures less than 0.6 apart (Euclidean) show the same person.
    """
    parts = [dlib.point(round(x) + BORDER, round(y) + BORDER) for x, y in points]
    shape = dlib.full_object_detection(dlib.rectangle(), parts)
    padded = np.ascontiguousarray(_padded(image))
    return np.array(_recogniser().compute_face_descriptor(padded, shape), dtype=np.float64)
