"""Which face a clip or a template is cut to: one that dlib is sure of, or a refusal that says what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np

from core.clip import widths_in_words
from core.errors import BenchError, CellFailed, shown
from core.frames import SIZE, Frames, grey
from faces.crop import Box, crop, displayed
from faces.landmarks import ONE_FACE, SURE, Face, believed, candidates, crop_box, refusal, shared

# Who may be chosen besides numbers: the face furthest to that side of the picture, as one sees it.
SIDES = ("left", "right")
# What the detector finds: nothing below 40 pixels, nor behind sunglasses or a mask, nor where the skin is burnt out.
NEEDED = "an upright frontal face, uncovered, neither too dark nor too bright, and at least 40 pixels wide"
# Hints look at copies with at most so many pixels a side, where faces from a sixteenth of it are found in a tenth of a
# second, and at every tenth of so many later frames.
GLIMPSED, LATER, STEP = 640, 300, 10
# Quarter turns to the left, and how they are called.
TURNS = {1: "by 90 degrees to the left", 3: "by 90 degrees to the right", 2: "by 180 degrees"}


@dataclass(frozen=True)
class Framing:
    """How a clip's frames are cut: to the square `box` around one of the faces of the first frame.

    widths: of all its faces, largest first. All values are display pixels (faces.crop).
    """

    box: Box
    widths: tuple[int, ...]


def check_face(choice: str) -> str:
    """Return a choice of a face, tidied: "" (the largest), "left", "right" or a number by size; else BenchError."""
    choice = choice.strip().lower()
    if choice in ("", *SIDES):
        return choice
    if choice.isascii() and choice.isdecimal() and len(choice) < 4 and int(choice):
        return str(int(choice))
    raise BenchError(
        f"The face {shown(choice)} cannot be chosen. Give left or right (a side of the picture), or a number by size"
        " (1: the largest)."
    )


def frame_clip(first: Frames, later: Iterable[Frames], choice: str, what: str, aspect: float = 1.0) -> Framing:
    """Return how to cut a clip whose first frame is `first`, (H, W, 3) uint8.

    choice: as `check_face` returns it. later: the frames that follow, read only to say where a face comes. aspect:
    width of a pixel over its height. Raises CellFailed without a face, without the chosen one, or if its crop would
    show another face first.
    """
    picture = displayed(first, aspect)
    luma = grey(picture[None])[0]
    seen = candidates(luma, everyone=True)
    found = believed(seen)
    if not found:
        raise CellFailed(f"{refusal(seen, what)}. {_clip_remedy(luma, later)}")
    face = _chosen(found, choice, what)
    return Framing(_checked(picture, face, what), tuple(other.width for other in found))


def cut_portrait(picture: Frames, what: str, role: str) -> Frames:
    """Return the one face of a still picture (H, W, 3) uint8 as (256, 256, 3).

    role: what the picture is for, in messages. Raises BenchError without a face or with several: which one is meant
    only the user can say.
    """
    face = only_face(picture, what, role)
    try:
        return crop(picture, _checked(picture, face, what))
    except CellFailed as error:
        raise BenchError(f"{error}.") from None


def only_face(picture: Frames, what: str, role: str) -> Face:
    """Return the one face of a still picture (H, W, 3) uint8. Raises BenchError as `cut_portrait`."""
    luma = grey(picture[None])[0]
    seen = candidates(luma, everyone=True)
    found = believed(seen)
    if not found:
        turn = _turn(luma)
        remedy = f"A face is found when it is turned {turn}: turn the picture" if turn else f"Give {NEEDED}"
        raise BenchError(f"{what}: {refusal(seen, f'the {role}')}. {remedy}.")
    if len(found) > 1:
        raise BenchError(
            f"{what}: {len(found)} faces in the {role} ({_widths(found)}). Cut the picture to the one that is meant."
        )
    return found[0]


def _widths(faces: Sequence[Face]) -> str:
    return widths_in_words([face.width for face in faces])


def _chosen(found: Sequence[Face], choice: str, what: str) -> Face:
    """Return the chosen one of faces in order of size; CellFailed if there are too few."""
    if choice in SIDES:
        by_place = sorted(found, key=lambda face: face.box[0] + face.box[2])
        return by_place[-SIDES.index(choice)]
    number = int(choice or 1)
    if number > len(found):
        shows = "one face" if len(found) == 1 else f"{len(found)} faces"
        raise CellFailed(
            f"face {number} was asked for, but {what} shows {shows} ({_widths(found)}). Choose"
            f" {'1' if len(found) == 1 else f'1 to {len(found)}'}, left or right"
        )
    return found[number - 1]


def _checked(picture: Frames, face: Face, what: str) -> Box:
    """Return the crop around a face; CellFailed if the rule, applied to the crop, does not find the same face.

    All later steps look at the crop alone and take its largest face: a larger neighbour, half inside, would be measured
    in place of the chosen one.
    """
    box = crop_box(grey(picture[None])[0], what, face)
    seen = candidates(grey(crop(picture, box)[None])[0])
    found = believed(seen)
    if not found:
        lost = refusal(seen, f"the crop of {SIZE}x{SIZE}")
        raise CellFailed(
            f"the face in {what} (score {face.score:.2f}) is lost once it is cut out: {lost}. Give a face that is"
            " larger, sharper, better lit or further from the border"
        )
    if shared(found[0], _placed(face, box)) < ONE_FACE:
        raise CellFailed(
            f"another face is so near the one chosen in {what} that it would be measured instead. Cut the pictures to"
            " the face that is meant"
        )
    return box


def _placed(face: Face, box: Box) -> Face:
    """Return where a face of the picture lies in its crop."""
    corners = np.reshape(face.box, (2, 2)) - box[:2]
    left, top, right, bottom = np.rint(corners * SIZE / (box[2] - box[0])).astype(int).ravel().tolist()
    return Face((left, top, right, bottom), face.score)


def _clip_remedy(luma: Frames, later: Iterable[Frames]) -> str:
    """Return what may make a driver of a clip whose first frame (H, W) shows no face."""
    if turn := _turn(luma):
        return f"A face is found when it is turned {turn}: turn the clip"
    for index, frame in enumerate(islice(later, LATER), start=1):
        if index % STEP == 0 and _glimpse(grey(frame[None])[0]):
            return f"Frame {index} (the first is 0) shows a face: let the clip begin there"
    return f"Give a clip that begins with {NEEDED}"


def _turn(luma: Frames) -> str:
    """Return how to turn a picture (H, W) so that a face is found for sure, "" if no quarter turn helps."""
    scores = {turn: _glimpse(np.ascontiguousarray(np.rot90(luma, turn))) for turn in TURNS}
    best = max(scores, key=lambda turn: scores[turn])
    return TURNS[best] if scores[best] else ""


def _glimpse(luma: Frames) -> float:
    """Return the score of the surest face in a small copy of a picture (H, W), 0 if it is not sure."""
    scale = min(GLIMPSED / max(luma.shape), 1)
    small = cv2.resize(luma, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else luma
    return max((face.score for face in candidates(np.asarray(small, np.uint8)) if face.score >= SURE), default=0.0)
