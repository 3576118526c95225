"""The portraits from which people are rendered: two in the public domain, supplied by libraries, or the user's own.

A portrait is cropped to a square around the face and kept at twice the size of a frame, so that frames rendered from it
need no anti-aliasing. The astronaut's open smile is closed, because clips begin with a neutral face. Other portraits
are left as they are: this way of closing a mouth works for the astronaut but spoils them.
"""

import functools
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from megbench.clips.chosen_face import only_face
from megbench.core.clip import pixel_grid
from megbench.core.errors import BenchError, CellFailed
from megbench.core.frames import SIZE, Frames, grey
from megbench.core.pictures import pictures_in, read_picture
from megbench.faces import facs, mesh
from megbench.faces.crop import crop, display_size, resized, square_at
from megbench.faces.field import MeshField, Points, warp
from megbench.faces.landmarks import landmarks, points_in
from megbench.faces.mesh import FittedMesh, fit_mesh

TEXTURE = 2 * SIZE
# The position of the face in the square, as shares of its side: the eye distance and the point between the eyes.
EYE_SHARE, EYES_AT = 0.24, (0.5, 0.45)
# The pictures were made by NASA and the United States Navy; works of the federal government are in the public domain.
BUILT_IN = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
}
# The smiling portrait, and the intensities of action units that are subtracted to remove the smile.
SMILING, SMILE = "astronaut", {"AU12": 1.9, "AU06": 0.8}
# How far the outer edges of the lips move when the mouth closes, as a share of the distance that the inner lips move.
FOLLOW = 0.45
# The radius, in texture pixels, around the corners of the mouth within which the closed mouth is repaired.
HEALED = 14


@dataclass(frozen=True)
class Portrait:
    """A cropped portrait. texture: uint8 (512, 512, 3) RGB. face: its mesh, in pixels of a frame (256 x 256)."""

    name: str
    texture: Frames
    face: FittedMesh


def to_texture(points: Points) -> Points:
    """Convert frame pixels to texture pixels; pixel centres keep their position in the picture."""
    scale = TEXTURE / SIZE
    return points * scale + (scale - 1) / 2


def portrait_path(portrait: str) -> Path:
    """Return the path of a portrait: "astronaut" (Eileen Collins), "hopper" (Grace Hopper), or a user's own path.

    Raise BenchError if the package that ships a built-in portrait is not installed.
    """
    if portrait not in BUILT_IN:
        return Path(portrait)
    package, path = BUILT_IN[portrait]
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise BenchError(f"The portrait {portrait} is missing; it is part of {package}. Run: pip install {package}")
    return Path(spec.submodule_search_locations[0]) / path


def portraits_in(folder: Path) -> list[Path]:
    """Return the paths of the pictures in a user's folder, sorted by name. Raise BenchError if it contains none."""
    if not folder.is_dir():
        raise BenchError(f"The portraits folder {folder} does not exist. Pass a folder of pictures with --portraits.")
    paths = pictures_in(folder)
    if not paths:
        raise BenchError(f"The portraits folder {folder} contains no pictures. Add frontal portraits as PNG or JPEG.")
    return paths


@functools.lru_cache(maxsize=8)
def read_portrait(portrait: str) -> Portrait:
    """Read a portrait, crop it to the face and, for the astronaut, close the mouth.

    portrait: as in `portrait_path`. Raise BenchError if the picture cannot be read, or shows no face or several faces.
    """
    path = portrait_path(portrait)
    texture = _cut(read_picture(path), str(path))
    face = _fit(texture, str(path))
    if portrait == SMILING:
        texture, face = close_mouth(texture, face)
    return Portrait(portrait, texture, face)


def _fit(texture: Frames, what: str) -> FittedMesh:
    """Return the mesh in frame pixels. The landmarks come from the larger texture, where they are more precise."""
    scale = TEXTURE / SIZE
    try:
        found = landmarks(grey(texture[None])[0], f"the square cut out of {what}")
    except CellFailed as error:
        raise BenchError(f"{error}. Supply a sharper or better-lit portrait.") from None
    return fit_mesh((found - (scale - 1) / 2) / scale)


def _cut(picture: Frames, what: str) -> Frames:
    """Return the square around the face, 512 x 512 pixels; beyond the picture's edges, its border is repeated."""
    ratio = min(1.0, 4 * TEXTURE / max(picture.shape[:2]))
    height, width = picture.shape[:2]
    small = picture  # a large photograph is searched in a smaller copy, which is faster
    if ratio < 1:
        small = resized(picture, max(round(width * ratio), 1), max(round(height * ratio), 1))
    face = only_face(small, what, "portrait")
    eyes = points_in(grey(small[None])[0], face)[36:48] / ratio
    right, left = eyes[:6].mean(0), eyes[6:].mean(0)
    side = round(float(np.linalg.norm(left - right)) / EYE_SHARE)
    x, y = (right + left) / 2 - np.array(EYES_AT) * side
    return crop(picture, square_at(x, y, side, display_size(picture)), size=TEXTURE)


def close_mouth(texture: Frames, face: FittedMesh) -> tuple[Frames, FittedMesh]:
    """Relax an open smile and close the lips over the teeth. Return the new texture and its mesh.

    The inner lips meet along one curve. The texture there comes from inside the lips, so that no teeth remain visible,
    and a thin dark line is drawn where the lips meet.
    """
    units = dict(zip(facs.ACTION_UNITS, facs.in_pixels(face, facs.basis()), strict=True))
    relaxed = face.vertices - sum(units[unit] * value for unit, value in SMILE.items())
    source, target = face.vertices.copy(), relaxed.copy()
    upper = mesh.UPPER_LIP_INNER
    lower = np.r_[upper[0], mesh.LOWER_LIP_INNER, upper[-1]]
    curve = 0.42 * relaxed[upper] + 0.58 * relaxed[lower]
    down = face.roll @ [0, 1]
    inset = 0.035 * face.eye_distance * down
    source[upper[1:-1]] -= inset
    source[lower[1:-1]] += 1.2 * inset
    target[upper[1:-1]] = (curve - 0.1 * down)[1:-1]
    target[lower[1:-1]] = (curve + 0.1 * down)[1:-1]
    target[mesh.UPPER_LIP_OUTER] += FOLLOW * (curve - relaxed[upper])
    target[mesh.LOWER_LIP_OUTER] += FOLLOW * (curve - relaxed[lower])[1:-1]
    backward = MeshField(to_texture(target), TEXTURE).dense(to_texture(source) - to_texture(target), blur=0)
    closed = _heal_corners(warp(texture, backward), to_texture(curve[[0, -1]]))
    lips = to_texture(target[np.r_[mesh.UPPER_LIP_OUTER, mesh.LOWER_LIP_OUTER]])
    return _lip_line(_dull(closed, lips), to_texture(curve)), FittedMesh(target)


def _heal_corners(texture: Frames, corners: Points) -> Frames:
    """Inpaint the dark gaps and specks of teeth that an open smile leaves at the corners (2, 2) of the mouth."""
    luma = grey(texture[None])[0].astype(np.float32)
    stranger = np.abs(luma - cv2.medianBlur(luma.astype(np.uint8), 41)) > 22
    near = np.linalg.norm(pixel_grid(TEXTURE)[:, :, None] - corners, axis=-1).min(-1) < HEALED
    mask = cv2.dilate((stranger & near).astype(np.uint8), np.ones((3, 3), np.uint8))
    return np.asarray(cv2.inpaint(texture, mask, 5, cv2.INPAINT_TELEA), np.uint8)


def _dull(texture: Frames, lips: Points) -> Frames:
    """Remove most of the flash's reflection from the lips within an outline (N, 2).

    Unlike the lips of an open smile, closed lips do not face the light.
    """
    mask = np.zeros((TEXTURE, TEXTURE), np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(lips).astype(np.int32)), 1.0)
    soft = cv2.GaussianBlur(mask, (0, 0), 2)[..., None]
    usual = np.median(texture[mask > 0], axis=0)
    gleam = np.maximum(texture - usual, 0)
    return np.clip(np.round(texture - 0.7 * soft * gleam), 0, 255).astype(np.uint8)


def _lip_line(texture: Frames, curve: Points) -> Frames:
    """Darken a thin curve (N, 2), fainter towards its ends: the shadow between closed lips."""
    along = np.linspace(0.1, len(curve) - 1.1, 200)
    points = np.column_stack([np.interp(along, range(len(curve)), column) for column in curve.T])
    line = np.zeros((TEXTURE, TEXTURE), np.float32)
    for start, end, height in zip(points, points[1:], np.sin(np.linspace(0.3, np.pi - 0.3, 199)), strict=False):
        first, last = (np.round(point * 16).astype(int).tolist() for point in (start, end))
        cv2.line(line, first, last, float(height**0.5), 1, cv2.LINE_AA, 4)
    shadow = np.clip(1.6 * cv2.GaussianBlur(line, (0, 0), 1.1), 0, 0.9)[..., None]
    x, y = np.round(curve[2:-2]).astype(int).T
    lips = texture[y + 8, x].mean(0)
    return np.clip(np.round(texture * (1 - shadow) + lips * [0.55, 0.36, 0.36] * shadow), 0, 255).astype(np.uint8)
