"""Glasses that move with the head rather than with the skin."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from megbench.clips.synthetic.overlay import Layer, Painted, lattice, shrunk, softstep
from megbench.core.clip import Float32s
from megbench.faces import mesh
from megbench.faces.mesh import FittedMesh, Points

Map = npt.NDArray[np.float32]

# RGB colours of rims. The first five are plastic: black, brown, horn, red, blue. Thin rims may also be gold or silver.
RIMS = np.array(
    [[24, 22, 24], [62, 40, 28], [104, 66, 38], [116, 32, 36], [36, 48, 92], [150, 122, 78], [150, 150, 155]], float
)
PLASTIC = 5


@dataclass(frozen=True)
class Glasses:
    """A pair of glasses. Lengths are in face units, relative to the point between the eyes.

    lens: half the width and half the height of a lens, which is a superellipse. power: the superellipse's exponent (2
    is oval; larger values are boxier). apart, low: the offset of a lens's centre to the side and down. rim: the rim's
    thickness. colour, tint: RGB 0..255 of the rim and of the glass. tinted: the opacity of the glass. gleam: the
    opacity of the reflection across the glass. slant: the reflection's angle in radians.
    """

    lens: tuple[float, float]
    power: float
    apart: float
    low: float
    rim: float
    colour: Points
    tint: Points
    tinted: float
    gleam: float
    slant: float


def drawn_glasses(rng: np.random.Generator) -> Glasses:
    """Draw a random pair of glasses."""
    half = float(rng.uniform(0.34, 0.42))
    thick = rng.random() < 0.5
    return Glasses(
        lens=(half, half * float(rng.uniform(0.58, 0.86))),
        power=float(rng.uniform(2.0, 4.5)),
        apart=float(rng.uniform(0.50, 0.54)),
        low=float(rng.uniform(0.03, 0.10)),
        rim=float(rng.uniform(0.045, 0.070) if thick else rng.uniform(0.020, 0.032)),
        colour=np.clip(RIMS[rng.integers(PLASTIC if thick else len(RIMS))] + rng.normal(0, 6, 3), 5, 250),
        tint=rng.uniform([60, 60, 70], [190, 190, 210]),
        tinted=float(rng.uniform(0.0, 0.14)),
        gleam=float(rng.uniform(0.0, 0.22)),
        slant=float(rng.uniform(0.5, 1.1)),
    )


def worn(glasses: Glasses, face: FittedMesh, anchor: Points, head: Float32s) -> Painted:
    """Return the layer with the glasses, which is to be composited over a picture.

    anchor (2,): how far the skull has moved at the bridge of the nose, in face units. head: the head's similarity (2,
    3), which is applied afterwards.
    """
    between = face.vertices[np.r_[mesh.RIGHT_EYE, mesh.LEFT_EYE]].mean(0)
    origin = between + face.to_pixels(anchor)
    corners = np.array([[x, y] for x in (-1.1, 1.1) for y in (-0.4, 0.6)])
    box, at = lattice(origin + face.to_pixels(corners), head)
    x, y = np.moveaxis(np.asarray(face.to_face_units(at - origin), np.float32), -1, 0)
    pixel = 1 / face.eye_distance
    outside = _from_lens(glasses, x, y)
    inside = softstep(-outside, 0, 1.5 * pixel)
    rims = _near(np.abs(outside), glasses.rim / 2, pixel)
    rims = np.maximum(rims, _near(_from_bars(glasses, x, y), 0.45 * glasses.rim, pixel))
    shadow = 0.22 * _near(np.abs(_from_lens(glasses, x, y - 0.035)), glasses.rim / 2, 4 * pixel)
    across = np.cos(glasses.slant) * (np.abs(x) - glasses.apart) + np.sin(glasses.slant) * (y - glasses.low)
    bands = np.exp(-(((across + 0.12) / 0.07) ** 2)) + 0.6 * np.exp(-(((across - 0.06) / 0.025) ** 2))
    lit = 1 + 0.25 * np.clip(-outside / glasses.rim, -0.5, 0.5)[..., None]  # the rim's inner edge faces the light
    parts = (
        (np.zeros(3), shadow),
        (glasses.tint, glasses.tinted * inside),
        (np.full(3, 255.0), glasses.gleam * inside * bands),
        (glasses.colour * lit, 0.96 * rims),
    )
    colour, alpha = np.zeros((*x.shape, 3), np.float32), np.zeros(x.shape, np.float32)  # premultiplied
    for paint, share in parts:
        colour += (paint - colour) * share[..., None]
        alpha += (1 - alpha) * share
    return box, shrunk(Layer(np.asarray(colour / np.maximum(alpha, 1e-6)[..., None], np.float32), alpha))


def _from_lens(glasses: Glasses, x: Map, y: Map) -> Map:
    """Return the distance (h, w) from the outline of the nearer lens; it is negative inside the lens."""
    across, down = np.abs(x) - glasses.apart, y - glasses.low
    width, height = glasses.lens
    ratio = (np.abs(across / width) ** glasses.power + np.abs(down / height) ** glasses.power) ** (1 / glasses.power)
    return np.asarray((ratio - 1) * np.hypot(across, down) / np.maximum(ratio, 1e-6), np.float32)


def _from_bars(glasses: Glasses, x: Map, y: Map) -> Map:
    """Return the distance (h, w) from the bridge and the arms."""
    width, height = glasses.lens
    inner, outer = glasses.apart - width, glasses.apart + width
    arch = glasses.low - 0.35 * height - 0.03 * np.cos(np.clip(x / max(inner, 0.02), -1, 1) * np.pi / 2)
    bridge = np.hypot(np.clip(np.abs(x) - inner - 0.02, 0, None), y - arch)
    along = np.clip(np.abs(x), outer - 0.02, 1.02)
    arm = np.hypot(np.abs(x) - along, y - (glasses.low - 0.30 * height) + 0.06 * (along - outer))
    return np.asarray(np.minimum(bridge, arm), np.float32)


def _near(distance: Map, half: float, soft: float) -> Map:
    return softstep(half - distance, -soft / 2, soft)
