"""The inside of an open mouth: a dark cavity, teeth, gums and a tongue, painted between the inner lips.

Positions are in face units (eye distances, x to the person's left, y down the face), relative to the middle of the
closed mouth, in a coordinate frame that moves with the head. The upper teeth are fixed in this frame; the lower teeth
and the tongue move down with the jaw. The sizes of the teeth are those of adult permanent incisors and canines
according to Wheeler's Dental Anatomy, for an eye distance of 63 mm.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from megbench.clips.synthetic.overlay import Layer, curve_at, increasing, laid, lattice, shrunk, softstep
from megbench.core.clip import Float32s
from megbench.core.frames import Frames, grey
from megbench.faces import mesh
from megbench.faces.mesh import FittedMesh, Points

# The gap between the lips, in pixels, at which the interior begins to show, and the number of further pixels over which
# it fades in.
LEAST_GAP, APPEARS = 0.6, 1.2
# The number of pixels over which the interior fades out at the lips.
SOFT = 1.0
# Apparent widths of the upper and lower teeth from the midline outwards. Outer teeth look narrower, because the arch
# turns them away from the camera.
UPPER_WIDTHS = np.array([0.135, 0.100, 0.095, 0.070, 0.050, 0.035])
LOWER_WIDTHS = np.array([0.082, 0.088, 0.088, 0.070, 0.050, 0.035])
UPPER_HEIGHT, LOWER_HEIGHT = 0.165, 0.140
# How far below the line of the lips the edges of the closed teeth are; the upper incisors overlap the lower ones.
UPPER_EDGE, LOWER_EDGE = 0.035, 0.015
# The light is estimated from the brightness of the skin at these vertices, to the right and left of the mouth, relative
# to the brightness of skin in full light.
LIT, FULL_LIGHT = ((205, 207, 212), (425, 427, 432)), 150.0

Map = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Mouth:
    """A person's mouth; colours are RGB 0..255.

    size: factors for the width and height of the teeth. edge: the position of the upper teeth's edge in face units.
    grin: how much the row of teeth rises towards the sides. uneven: (2, 12), the irregularity of each tooth as a share
    of its width.
    """

    size: tuple[float, float]
    edge: float
    grin: float
    uneven: Points
    tooth: Points
    gum: Points
    cavity: Points
    tongue: Points


def drawn_mouth(rng: np.random.Generator) -> Mouth:
    """Draw a random mouth."""
    shade = rng.uniform(0, 1)  # from white to yellow
    tooth = np.array([246.0, 238, 226]) - shade * np.array([14, 24, 48]) + rng.normal(0, 3, 3)
    width, height = np.exp(rng.normal(0, [0.07, 0.10]))
    return Mouth(
        (float(width), float(height)),
        UPPER_EDGE + float(rng.normal(0, 0.012)),
        float(rng.uniform(0.10, 0.45)),
        rng.normal(0, 0.05, (2, 2 * len(UPPER_WIDTHS))),
        tooth,
        np.array([176.0, 96, 96]) * rng.uniform(0.7, 1.1) + rng.normal(0, 6, 3),
        np.array([42.0, 15, 15]) * rng.uniform(0.5, 1.3),
        np.array([176.0, 92, 92]) * rng.uniform(0.75, 1.1) + rng.normal(0, 6, 3),
    )


@dataclass(frozen=True)
class Opening:
    """The inner lips after a motion: increasing x (N,), and y (N,) of the upper and lower edges, in face units."""

    x: Points
    upper: Points
    lower: Points

    @property
    def gap(self) -> Points:
        """The distance between the lips (N,); never negative."""
        return np.maximum(self.lower - self.upper, 0)


def opening(face: FittedMesh, displacement: Points, anchor: Points) -> Opening:
    """Return the inner lips after a displacement of the vertices, in face units relative to the head.

    displacement: (478, 2). anchor: how far the skull has moved at the mouth. A gap between the lips of the neutral face
    is not counted: a mouth that does not move is closed.
    """
    rest = face.to_face_units(face.vertices - middle(face))
    moved = rest + displacement - anchor
    upper, lower = mesh.UPPER_LIP_INNER, np.r_[mesh.UPPER_LIP_INNER[0], mesh.LOWER_LIP_INNER, mesh.UPPER_LIP_INNER[-1]]
    already = rest[lower, 1] - rest[upper, 1]
    x = increasing((moved[upper, 0] + moved[lower, 0]) / 2)
    return Opening(x, moved[upper, 1] + already / 2, moved[lower, 1] - already / 2)


def middle(face: FittedMesh) -> Points:
    """Return the middle of the closed mouth, (2,) pixels."""
    return np.asarray(face.vertices[[13, 14]].mean(0))


def paint(
    frame: Frames, mouth: Mouth, face: FittedMesh, displacement: Points, anchor: Points, jaw: float, head: Float32s
) -> Frames:
    """Return a frame (256, 256, 3) uint8 with the interior of the mouth, or the frame itself if the lips do not part.

    displacement (478, 2): the displacement of the vertices. anchor (2,): how far the skull has moved at the mouth. jaw:
    how far the lower teeth move down. These three are in face units. head: the head's similarity (2, 3), which was
    applied to the picture last.
    """
    lips = opening(face, displacement, anchor)
    pixel = 1 / face.eye_distance
    if lips.gap.max() < LEAST_GAP * pixel:
        return frame
    origin = middle(face) + face.to_pixels(anchor)
    edges = np.r_[np.c_[lips.x, lips.upper], np.c_[lips.x, lips.lower]]
    box, at = lattice(origin + face.to_pixels(edges), head)
    x, y = np.moveaxis(np.asarray(face.to_face_units(at - origin), np.float32), -1, 0)
    upper, lower = (curve_at(np.c_[lips.x, edge], x) for edge in (lips.upper, lips.lower))
    gap = np.where((x > lips.x[0]) & (x < lips.x[-1]), lower - upper, 0)
    seen = np.clip(np.minimum(y - upper, lower - y) / (SOFT * pixel), 0, 1) * softstep(gap / pixel, LEAST_GAP, APPEARS)
    inside = Layer(
        _interior(mouth, x, y, jaw) * _light(frame, face, displacement, head, x)[..., None], np.asarray(seen)
    )
    shadow = 1 - 0.5 * np.exp(-(y - upper) / 0.04) - 0.2 * np.exp(-(lower - y) / 0.03)
    corners = 1 - 0.7 * np.abs(x / max(-lips.x[0], lips.x[-1])) ** 3
    shaded = inside.colour * np.clip(shadow * corners, 0.1, 1)[..., None]
    return laid(frame, box, shrunk(Layer(np.asarray(shaded, np.float32), inside.alpha)))


def _interior(mouth: Mouth, x: Map, y: Map, jaw: float) -> Map:
    """Return the colours (h, w, 3), in 0..255, of the open mouth in full light."""
    width, height = mouth.size
    colour = np.broadcast_to(mouth.cavity, (*x.shape, 3)).astype(np.float32)
    low = LOWER_EDGE + jaw
    wet = 1 - np.clip(np.hypot(x / 0.28, (y - low - 0.12) / 0.27), 0, 1) ** 2
    groove = 1 - 0.25 * np.exp(-((x / 0.02) ** 2))
    colour = _over(colour, mouth.tongue * (0.4 + 0.55 * wet * groove)[..., None], softstep(wet, 0.0, 0.3))
    arch = low - 0.18 * x**2
    colour = _row(colour, mouth, x, y - arch, LOWER_WIDTHS * width, LOWER_HEIGHT * height, mouth.uneven[1], 0.80)
    arch = mouth.edge - mouth.grin * x**2
    return _row(colour, mouth, x, arch - y, UPPER_WIDTHS * width, UPPER_HEIGHT * height, mouth.uneven[0], 1.0)


def _row(
    colour: Map, mouth: Mouth, x: Map, deep: Map, widths: Points, height: float, uneven: Points, light: float
) -> Map:
    """Paint one row of teeth and its gum over `colour`.

    deep: the distance (h, w) from the biting edge, in the direction of the gum.
    """
    bounds = np.r_[-np.cumsum(widths)[::-1], 0, np.cumsum(widths)]
    which = np.clip(np.searchsorted(bounds, x) - 1, 0, len(bounds) - 2)
    left, right = bounds[which], bounds[which + 1]
    across = np.abs(2 * x - left - right) / (right - left)  # 0 in the middle of a tooth, 1 between two teeth
    outward = np.minimum(which, len(bounds) - 2 - which) / (len(widths) - 1)  # 1 at the midline
    inside = (np.abs(x) < bounds[-1]).astype(np.float32)
    edge = deep + 0.02 * across**4 + 0.12 * (right - left) * uneven[which]
    crown = softstep(edge, -0.006, 0.012)
    gumline = height * (0.82 + 0.18 * outward) * (1 - 0.16 * across**2)
    gum = softstep(deep, gumline, 0.02)
    gap = 1 - 0.35 * softstep(across, 0.84, 0.16)
    round_ = (1 - 0.16 * across**2) * gap * (0.72 + 0.28 * outward) * light * (0.98 + uneven[which])
    yellow = np.array([1, 0.95, 0.88]) ** np.clip(deep / height, 0, 1)[..., None]
    tooth = mouth.tooth * round_[..., None] * yellow
    flesh = mouth.gum * (light * (0.8 + 0.2 * outward))[..., None]
    return _over(_over(colour, tooth, crown * inside), flesh, gum * inside)


def _over(below: Map, above: npt.NDArray[np.floating], share: npt.NDArray[np.floating]) -> Map:
    return np.asarray(below + (above - below) * share[..., None], np.float32)


def _light(frame: Frames, face: FittedMesh, displacement: Points, head: Float32s, x: Map) -> Map:
    """Return the brightness (h, w) of the light in the mouth, interpolated between the skin to its left and right."""
    vertices = face.vertices + face.to_pixels(displacement)
    sides = []
    for where in LIT:
        at = np.rint(vertices[list(where)] @ head[:, :2].T + head[:, 2]).astype(int).clip(0, len(frame) - 1)
        sides.append(float(grey(frame[None, at[:, 1], at[:, 0], None]).mean()) / FULL_LIGHT)
    right, left = np.clip(np.array(sides), 0.15, 1.3) ** 0.5
    return np.asarray(right + (left - right) * np.clip(0.5 + x, 0, 1), np.float32)
