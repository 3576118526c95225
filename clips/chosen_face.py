"""Choose the face to which a clip or a picture is cropped, or reject the picture and suggest a remedy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np

from megbench.core.clip import widths_in_words
from megbench.core.errors import BenchError, CellFailed, shown
from megbench.core.frames import SIZE, Frames, grey
from megbench.faces.crop import Box, crop, displayed
from megbench.faces.landmarks import ONE_FACE, SURE, Face, believed, candidates, crop_box, overlap, refusal

# The choices other than numbers. Each means the face nearest to that side of the picture, as seen by the viewer.
SIDES = ("left", "right")
# The detector does not find faces that are narrower than 40 pixels, covered by sunglasses or a mask, or overexposed.
NEEDED = "an upright frontal face, uncovered, neither too dark nor too bright, and at least 40 pixels wide"
# Hints come from copies of pictures with sides of at most GLIMPSED pixels. Searching a copy takes a tenth of a second
# and finds faces that are at least a sixteenth of the picture's width. Of the LATER frames after the first, every
# STEP-th is searched.
GLIMPSED, LATER, STEP = 640, 300, 10
# A picture counts as dark if 99 % of its pixels are below this level out of 255. A picture that stores 14 bits in 16
# reaches only level 63; one that stores 12 bits in 16 reaches 15.
DARK = 80
# For each number of quarter turns to the left, its description in messages.
TURNS = {1: "by 90 degrees to the left", 3: "by 90 degrees to the right", 2: "by 180 degrees"}


@dataclass(frozen=True)
class Framing:
    """The square `box` around one face of the first frame, to which all frames of a clip are cropped.

    widths: the widths of all faces in that frame, largest first. All values are in display pixels
    (megbench.faces.crop).
    """

    box: Box
    widths: tuple[int, ...]


def check_face(choice: str) -> str:
    """Return the choice of a face in normalised form: "" (the largest), "left", "right" or a rank by size.

    Raise BenchError for any other choice.
    """
    choice = choice.strip().lower()
    if choice in ("", *SIDES):
        return choice
    if choice.isascii() and choice.isdecimal() and len(choice) < 4 and int(choice):
        return str(int(choice))
    raise BenchError(
        f"The face {shown(choice)} cannot be chosen. Choose left or right (a side of the picture), or a rank by size"
        " (1 is the largest)."
    )


def frame_clip(first: Frames, later: Iterable[Frames], choice: str, what: str, aspect: float = 1.0) -> Framing:
    """Return how to crop a clip whose first frame is `first`, (H, W, 3) uint8.

    choice: as returned by `check_face`. later: the frames that follow, which are searched for a face only if the first
    frame shows none. aspect: the width of a pixel divided by its height. Raise CellFailed if the first frame shows no
    face, if the chosen face does not exist, or if another face in its crop would be measured instead.
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
    """Return the only face in a still picture (H, W, 3) uint8, cropped to (256, 256, 3).

    role: what the picture is, for messages. Raise BenchError unless the picture shows exactly one face, because only
    the user knows which of several faces is meant.
    """
    face = only_face(picture, what, role)
    try:
        return crop(picture, _checked(picture, face, what))
    except CellFailed as error:
        raise BenchError(f"{error}.") from None


def only_face(picture: Frames, what: str, role: str) -> Face:
    """Return the only face in a still picture (H, W, 3) uint8.

    Raise BenchError if there is no face or more than one.
    """
    luma = grey(picture[None])[0]
    seen = candidates(luma, everyone=True)
    found = believed(seen)
    if not found:
        turn = _turn(luma)
        remedy = f"Turned {turn}, it shows a face: turn the picture" if turn else darkness(luma) or f"Supply {NEEDED}"
        raise BenchError(f"{what}: {refusal(seen, f'the {role}')}. {remedy}.")
    if len(found) > 1:
        raise BenchError(
            f"{what}: {len(found)} faces in the {role} ({_widths(found)}). Crop the picture to the face you want."
        )
    return found[0]


def darkness(picture: Frames) -> str:
    """Return how dark a nearly black picture (H, W[, 3]) uint8 is, and a possible cause; "" for other pictures."""
    brightest = round(float(np.percentile(picture[::5, ::5], 99)))
    if brightest >= DARK:
        return ""
    return (
        f"It is nearly black: its bright parts reach only level {brightest} of 255. If it stores 10, 12 or 14 bits in"
        " 16, stretch it to the full range"
    )


def _widths(faces: Sequence[Face]) -> str:
    return widths_in_words([face.width for face in faces])


def _chosen(found: Sequence[Face], choice: str, what: str) -> Face:
    """Return the chosen face; `found` is ordered by size. Raise CellFailed if there are too few faces."""
    if choice in SIDES:
        by_place = sorted(found, key=lambda face: face.box[0] + face.box[2])
        return by_place[-SIDES.index(choice)]
    number = int(choice or 1)
    if number > len(found):
        shows = "one face" if len(found) == 1 else f"{len(found)} faces"
        raise CellFailed(
            f"face {number} was requested, but {what} shows {shows} ({_widths(found)}). Choose"
            f" {'1' if len(found) == 1 else f'1 to {len(found)}'}, left or right"
        )
    return found[number - 1]


def _checked(picture: Frames, face: Face, what: str) -> Box:
    """Return the crop around a face. Raise CellFailed unless the same face is found again in the crop.

    All later steps see only the crop and use the largest face in it, so a larger neighbouring face that is half inside
    the crop would be measured instead of the chosen one.
    """
    box = crop_box(grey(picture[None])[0], what, face)
    seen = candidates(grey(crop(picture, box)[None])[0])
    found = believed(seen)
    if not found:
        lost = refusal(seen, f"the crop of {SIZE}x{SIZE}")
        raise CellFailed(
            f"the face in {what} (score {face.score:.2f}) is not found again in its own crop: {lost}. Supply a face"
            " that is larger, sharper, better lit or further from the border"
        )
    if overlap(found[0], _placed(face, box)) < ONE_FACE:
        raise CellFailed(
            f"another face is so close to the one chosen in {what} that it would be measured instead. Crop the pictures"
            " to the face you want"
        )
    return box


def _placed(face: Face, box: Box) -> Face:
    """Return a face of the picture with its position in the crop."""
    corners = np.reshape(face.box, (2, 2)) - box[:2]
    left, top, right, bottom = np.rint(corners * SIZE / (box[2] - box[0])).astype(int).ravel().tolist()
    return Face((left, top, right, bottom), face.score)


def _clip_remedy(luma: Frames, later: Iterable[Frames]) -> str:
    """Return what the user can do with a clip whose first frame (H, W) shows no face."""
    if turn := _turn(luma):
        return f"Turned {turn}, it shows a face: turn the clip"
    skipped: list[Frames] = []
    for index, frame in enumerate(islice(later, LATER), start=1):
        skipped.append(grey(frame[None])[0])
        if index % STEP:
            continue
        if _glimpse(skipped[-1]):
            first = index - STEP + next(n for n, picture in enumerate(skipped, start=1) if _glimpse(picture))
            return f"Frame {first} (the first is 0) shows a face: start the clip there"
        skipped = []
    return darkness(luma) or f"Supply a clip that begins with {NEEDED}"


def _turn(luma: Frames) -> str:
    """Return the rotation after which a picture (H, W) clearly shows a face, or "" if no quarter turn helps."""
    scores = {turn: _glimpse(np.ascontiguousarray(np.rot90(luma, turn))) for turn in TURNS}
    best = max(scores, key=lambda turn: scores[turn])
    return TURNS[best] if scores[best] else ""


def _glimpse(luma: Frames) -> float:
    """Return the highest score of a face in a small copy of a picture (H, W), or 0 if no face is certain."""
    scale = min(GLIMPSED / max(luma.shape), 1)
    width, height = (max(1, round(side * scale)) for side in luma.shape[::-1])
    small = cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA) if scale < 1 else luma
    return max((face.score for face in candidates(np.asarray(small, np.uint8)) if face.score >= SURE), default=0.0)
