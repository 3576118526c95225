"""A person's manner of moving: the FACS basis with small individual differences.

The manner belongs to the motion, not to the face: in a truth, the template's mesh moves in the manner of the driver.
"""

from dataclasses import replace

import numpy as np

from megbench.faces.facs import ACTION_UNITS, TABLE, Bump, Jaw, Lids, Lips, Points, Pull, Row, basis
from megbench.faces.mesh import canonical

# How much people differ: in strength and in left-right balance (shares), direction (radians), position (eye distances).
GAIN, SIDES, DIRECTION, PLACE = 0.2, 0.12, np.radians(10), 0.045


def personal_basis(rng: np.random.Generator) -> Points:
    """Draw a person's basis (18, 478, 2) in face units, like `megbench.faces.facs.basis`."""
    gains = dict(zip(ACTION_UNITS, np.exp(rng.normal(0, GAIN, len(ACTION_UNITS))), strict=True))
    table = tuple(_varied(row, gains[row.unit], rng) for row in TABLE)
    side = np.tanh(canonical()[:, 0] / 0.15)  # -1 on the person's right, 1 on the left, smooth in between
    balance = 1 + rng.normal(0, SIDES / 2, (len(ACTION_UNITS), 1)) * side
    return basis(table) * balance[..., None]


def _varied(row: Row, gain: float, rng: np.random.Generator) -> Row:
    dx, dy = rng.normal(0, PLACE, 2)
    match row:
        case Bump():
            cos, sin = np.cos(turn := rng.normal(0, DIRECTION)), np.sin(turn)
            across = 0.0 if row.x == 0 else dx  # rows centred on the midline stay there
            move = gain * (cos * row.dx - sin * row.dy), gain * (sin * row.dx + cos * row.dy)
            return replace(row, dx=move[0], dy=move[1], x=row.x + across, y=row.y + dy)
        case Pull():
            return replace(row, strength=row.strength * gain, x=row.x + dx / 2, y=row.y + dy / 2)
        case Lids():
            return replace(row, upper=row.upper * gain, lower=row.lower * gain * (1 + 2 * dx))
        case Lips():
            upper, lower = gain * (1 + dx), gain * (1 + dy)
            return replace(
                row,
                upper_outer=row.upper_outer * upper,
                upper_inner=row.upper_inner * upper,
                lower_outer=row.lower_outer * lower,
                lower_inner=row.lower_inner * lower,
                pinch=row.pinch * gain,
            )
        case Jaw():
            return replace(row, drop=row.drop * gain)
