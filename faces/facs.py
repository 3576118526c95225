"""Facial action units as motion of the face mesh: a basis that follows the descriptions in the FACS manual.

Lengths are in face units: eye distances, with the origin between the eyes, x to the person's left and y down the face.
At value 1 of any unit, the vertex that moves farthest moves by 1. Clips use intensities, where 1 is the intensity of a
micro-expression: this vertex then moves by 5 % of the eye distance.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from megbench.faces import mesh
from megbench.faces.mesh import FittedMesh, Points, canonical, neighbours

Weights = npt.NDArray[np.float64]

# The share of the eye distance by which the vertex that moves farthest moves at intensity 1 (3.1 px at 256 x 256).
MICRO = 0.05
# The largest intensities at which none of the tested faces folded (det J > .3); pressed lips and closing lids fold
# first.
MAX_INTENSITY: Mapping[str, float] = {"AU24": 0.5, "AU23": 0.7, "AU05": 1.0, "AU07": 1.0, "AU43": 1.0}


@dataclass(frozen=True)
class Bump:
    """Skin that moves by (dx, dy) at (x, y) and less around it (Gaussian of widths sx, sy), on both sides."""

    unit: str
    dx: float
    dy: float
    x: float
    y: float
    sx: float
    sy: float
    where: str = "everywhere"


@dataclass(frozen=True)
class Lids:
    """Lid edges that move by `upper` and `lower` (down is positive); the skin beyond them follows within `reach`."""

    unit: str
    upper: float
    lower: float
    reach: float = 0.07


@dataclass(frozen=True)
class Lips:
    """Lips that move vertically at their outer and inner edges; the corners move inward by `pinch`."""

    unit: str
    upper_outer: float
    upper_inner: float
    lower_outer: float
    lower_inner: float
    pinch: float = 0.0


@dataclass(frozen=True)
class Pull:
    """Skin drawn towards (x, y) by `strength` times the distance from it, times a Gaussian with widths sx, sy."""

    unit: str
    strength: float
    x: float
    y: float
    around_x: float
    around_y: float
    sx: float
    sy: float


@dataclass(frozen=True)
class Jaw:
    """A lower jaw that drops by `drop`; the upper lip does not move."""

    unit: str
    drop: float


Row = Bump | Lids | Lips | Pull | Jaw

# fmt: off
TABLE: tuple[Row, ...] = (
    #     unit    dx     dy     x     y      sx    sy
    Bump("AU01",  .00, -1.00,  .22, -.33,   .20,  .26, "above lids"),      # inner brow raiser
    Bump("AU02",  .00, -1.00,  .78, -.34,   .22,  .26, "above lids"),      # outer brow raiser
    Bump("AU04", -.45,   .00,  .32, -.28,   .22,  .22, "above lids"),      # brow lowerer: together and
    Bump("AU04",  .00,   .85,  .22, -.28,   .22,  .22, "above lids"),      # down, the inner end more
    Bump("AU04",  .00,   .45,  .64, -.33,   .20,  .20, "above lids"),      # than the middle
    Lids("AU05", -1.00,  .10),                                             # upper lid raiser
    Bump("AU06", -.35,   .00,  .80,  .12,   .16,  .16),                    # cheek raiser: crow's feet,
    Bump("AU06", -.15,   .00,  .60,  .42,   .25,  .20),                    # cheek inward
    Bump("AU06",  .00, -1.00,  .58,  .40,   .26,  .17, "below eyes"),      # and up,
    Lids("AU06",  .00,  -.45,  .10),                                       # lower lid with it
    Lids("AU07",  .25, -1.00,  .06),                                       # lid tightener
    Bump("AU09",  .00,  -.90,  .26,  .48,   .13,  .15, "nose"),            # nose wrinkler: wings up,
    Bump("AU09",  .00,  -.50,  .17,  .25,   .10,  .14, "nose"),            # sides of the bridge up,
    Bump("AU09",  .00,  -.30,  .28,  .80,   .16,  .12, "nose"),            # upper lip a little,
    Bump("AU09",  .00,   .45,  .17, -.28,   .16,  .14, "above lids"),      # inner brow down
    Bump("AU10",  .12,   .00,  .33,  .72,   .15,  .15),                    # upper lip raiser: furrow out,
    Bump("AU10",  .00,  -.85,  .20,  .92,   .15,  .12, "not lower lip"),   # lip up,
    Bump("AU10",  .00,  -.55,  .30,  .69,   .14,  .14, "not lower lip"),   # cheek beside the nose up,
    Bump("AU10",  .00,  -.15,  .32,  .54,   .10,  .10, "not lower lip"),   # wing a little
    Bump("AU12",  .72,  -.70,  .43, 1.00,   .19,  .16),                    # lip corner puller: out and up,
    Bump("AU12",  .20,   .00,  .55,  .77,   .20,  .20),                    # cheek out
    Bump("AU12",  .00,  -.40,  .55,  .72,   .22,  .20),                    # and up
    Pull("AU14",  4.40,  .51, 1.00,  .48, 1.02,   .14,  .14),              # dimpler: skin into the corner,
    Bump("AU14",  .35,   .00,  .38, 1.02,   .12,  .10),                    # corner outward
    Bump("AU15",  .08,   .00,  .41, 1.02,   .15,  .15),                    # lip corner depressor
    Bump("AU15",  .00,   .95,  .42, 1.06,   .15,  .17),
    Bump("AU17",  .00,  -.50,  .00, 1.38,   .22,  .15),                    # chin raiser: chin boss and
    Bump("AU17",  .00,  -.38,  .00, 1.15,   .22,  .10, "not upper lip"),   # lower lip
    Bump("AU20",  .95,   .00,  .43, 1.07,   .20,  .16),                    # lip stretcher
    Bump("AU20",  .00,   .22,  .43, 1.12,   .20,  .16),
    Lips("AU23",  .70,   .15, -.70, -.15,   .75),                          # lip tightener
    Lips("AU24",  .90,   .55, -.90, -.55),                                 # lip pressor
    Lips("AU25", -.25,  -.35,  .60, 1.00),                                 # lips part
    Jaw("AU26",  1.00),                                                    # jaw drop
    Lids("AU43", 1.00,  -.15),                                             # eyes close
)
# fmt: on
ACTION_UNITS = tuple(dict.fromkeys(row.unit for row in TABLE))

_SIDES = ((mesh.RIGHT_UPPER_LID, mesh.RIGHT_LOWER_LID, -0.5), (mesh.LEFT_UPPER_LID, mesh.LEFT_LOWER_LID, 0.5))
_UPPER_LIP = np.r_[mesh.UPPER_LIP_OUTER[1:-1], mesh.UPPER_LIP_INNER[1:-1]]
_LOWER_LIP = np.r_[mesh.LOWER_LIP_OUTER, mesh.LOWER_LIP_INNER]
_EDGES = np.r_[
    mesh.RIGHT_UPPER_LID, mesh.RIGHT_LOWER_LID, mesh.LEFT_UPPER_LID, mesh.LEFT_LOWER_LID,
    mesh.UPPER_LIP_INNER, mesh.LOWER_LIP_INNER,
]  # fmt: skip
# The mouth of the mean face: half its width, and the heights of its corners, its upper edge, the line between the lips
# and its lower edge.
_MOUTH_HALF, _MOUTH_Y = 0.4117, 1.0215
_MOUTH_TOP, _MOUTH_LINE, _MOUTH_BOTTOM = 0.8881, 1.0299, 1.2263


def _gauss(x: Weights, y: Weights, row: Bump | Pull) -> Weights:
    cx, cy = (row.x, row.y) if isinstance(row, Bump) else (row.around_x, row.around_y)
    return np.asarray(np.exp(-0.5 * (((x - cx) / row.sx) ** 2 + ((y - cy) / row.sy) ** 2)))


def _lips() -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which vertices lie on the upper lip and which on the lower lip, each (478,) bool."""
    x, y = canonical().T
    upper, lower = np.zeros((2, mesh.VERTICES), bool)
    upper[_UPPER_LIP], lower[_LOWER_LIP] = True, True
    near = (np.abs(x) < 0.98 * _MOUTH_HALF) & (y > _MOUTH_TOP - 0.02) & (y < _MOUTH_BOTTOM + 0.02)
    return upper | (near & (y < _MOUTH_LINE) & ~lower), lower | (near & (y >= _MOUTH_LINE) & ~upper)


def _regions() -> dict[str, Weights]:
    """Return weights (478,) of the regions to which a bump may be confined."""
    y = canonical()[:, 1]
    upper, lower = _lips()
    return {
        "everywhere": np.ones(mesh.VERTICES),
        "above lids": 1 / (1 + np.exp((y + 0.13) / 0.035)),
        "below eyes": 1 / (1 + np.exp(-(y - 0.08) / 0.03)),
        "nose": ((y > -0.1) & ~lower).astype(float),
        "not lower lip": (~lower).astype(float),
        "not upper lip": (~upper).astype(float),
    }


def _both_sides(one_side: Callable[[Weights, Weights], Points]) -> Points:
    """Return a displacement given for the person's left side, plus its mirror image."""
    x, y = canonical().T
    return one_side(x, y) + one_side(-x, y) * [-1, 1]


def _bump(row: Bump) -> Points:
    moved = _both_sides(lambda x, y: _gauss(x, y, row)[:, None] * [row.dx, row.dy])
    return moved * _regions()[row.where][:, None]


def _pull(row: Pull) -> Points:
    return _both_sides(lambda x, y: (row.strength * _gauss(x, y, row))[:, None] * np.c_[row.x - x, row.y - y])


def _lids(row: Lids) -> Points:
    """Return the displacement of lids whose edges follow the eye's arch; the displacement of skin decays with distance
    from the edge."""
    x, y = canonical().T
    moved = np.zeros((mesh.VERTICES, 2))
    edge = np.zeros(mesh.VERTICES, bool)
    edge[np.r_[mesh.IRISES]] = True
    for upper, lower, _ in _SIDES:
        edge[upper[1:-1]] = edge[lower] = True
    for upper, lower, centre in _SIDES:
        arch = np.sqrt(np.clip(1 - ((x - centre) / 0.26) ** 2, 0, None))
        top, bottom = (np.interp(x, *canonical()[ids[np.argsort(x[ids])]].T) for ids in (upper, lower))
        beside = ~edge & (np.abs(x - centre) < 0.26)
        moved[:, 1] += (beside & (y <= top)) * arch * row.upper * np.exp(-0.5 * ((y - top) / row.reach) ** 2)
        moved[:, 1] += (
            (beside & (y >= bottom)) * arch * row.lower * np.exp(-0.5 * ((y - bottom) / row.reach / 1.4) ** 2)
        )
        rim = np.sqrt(np.clip(1 - ((x - centre) / 0.24) ** 2, 0, None))
        moved[upper, 1] += rim[upper] * row.upper
        moved[lower, 1] += rim[lower] * row.lower
    return moved


def _mouth_profile() -> Weights:
    """Return weights (478,) that are 1 in the middle of the mouth and 0 at its corners."""
    return np.sqrt(np.clip(1 - (canonical()[:, 0] / (1.05 * _MOUTH_HALF)) ** 2, 0, 1))


def _lips_move(row: Lips) -> Points:
    y = canonical()[:, 1]
    upper, lower = _lips()
    towards_top = np.clip((_MOUTH_LINE - y) / (_MOUTH_LINE - _MOUTH_TOP), 0, 1)
    towards_bottom = np.clip((y - _MOUTH_LINE) / (_MOUTH_BOTTOM - _MOUTH_LINE), 0, 1)
    dy = upper * (row.upper_inner + (row.upper_outer - row.upper_inner) * towards_top)
    dy += lower * (row.lower_inner + (row.lower_outer - row.lower_inner) * towards_bottom)
    skin = ~upper & ~lower
    dy += skin * (y < _MOUTH_LINE) * row.upper_outer * np.exp(-0.5 * ((y - _MOUTH_TOP) / 0.07) ** 2)
    dy += skin * (y > _MOUTH_LINE) * row.lower_outer * np.exp(-0.5 * ((y - _MOUTH_BOTTOM) / 0.08) ** 2)
    corners = Bump(row.unit, -row.pinch, 0, _MOUTH_HALF, _MOUTH_Y, 0.12, 0.10)
    return np.c_[np.zeros(mesh.VERTICES), dy * _mouth_profile()] + _bump(corners)


def _jaw(row: Jaw) -> Points:
    x, y = canonical().T
    upper, lower = _lips()
    chin = np.clip((y - _MOUTH_LINE - 0.02) / 0.25, 0, 1) ** 0.8
    chin = chin * np.exp(-0.5 * (np.clip(np.abs(x) - 0.35, 0, None) / 0.28) ** 2)
    lip = np.where(lower, np.maximum(chin, 0.75 * _mouth_profile()), chin)
    return np.c_[np.zeros(mesh.VERTICES), row.drop * lip * ~upper]


def displacement(row: Row) -> Points:
    """Return the displacement (478, 2) of the mean mesh, in face units, that one row of a table describes."""
    match row:
        case Bump():
            return _bump(row)
        case Pull():
            return _pull(row)
        case Lids():
            return _lids(row)
        case Lips():
            return _lips_move(row)
        case Jaw():
            return _jaw(row)


def basis(table: tuple[Row, ...] = TABLE) -> Points:
    """Return the units' displacements of the mean mesh (18, 478, 2), in face units and in the order of ACTION_UNITS.

    With TABLE, the vertex that a unit moves farthest moves by exactly 1. Another table (one person's way of moving) is
    scaled by the same factors as TABLE, so that its motion may be stronger or weaker. Irises never move.
    """
    return _summed(table) / np.linalg.norm(_summed(TABLE), axis=2).max(1)[:, None, None]


def _summed(table: tuple[Row, ...]) -> Points:
    total = np.zeros((len(ACTION_UNITS), mesh.VERTICES, 2))
    for row in table:
        total[ACTION_UNITS.index(row.unit)] += displacement(row)
    total[:, mesh.IRISES] = 0
    # Soften the edges of the regions, but never across the openings of eyes and mouth.
    inside = np.setdiff1d(np.arange(mesh.IRISES.start), _EDGES)
    average = np.stack([neighbours() @ unit for unit in total])
    total[:, inside] = 0.6 * total[:, inside] + 0.4 * average[:, inside]
    return total


def in_pixels(face: FittedMesh, face_units: Points) -> Points:
    """Convert a basis (K, 478, 2) from face units to displacements at intensity 1, in pixels of a face's picture."""
    return face.to_pixels(face_units * MICRO)


def cap(unit: str) -> float:
    """Return the largest intensity of a unit that a clip may use."""
    return MAX_INTENSITY.get(unit, 1.0)
