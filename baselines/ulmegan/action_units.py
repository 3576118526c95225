"""ULME-GAN's action unit matrix: recoding it, finding its apex, and fitting a sequence to the apex.

Source: Zhou et al., ULME-GAN, MEGC2021, and the published code. Tables are those of OpenFace: first the intensities,
0..5, in the order of megbench.core.openface_units.OPENFACE, then the presence, 0 or 1, of eighteen units, with AU28
before AU45.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from megbench.core.openface_units import LARGEST, OPENFACE, UnitTable

Fit = Literal["none", "linear", "apex"]

# For each mode: whether units present in less than half of the frames are dropped, and how the sequence is fitted.
MODES: dict[str, tuple[bool, Fit]] = {
    "recode_linear": (True, "linear"),
    "recode": (True, "none"),
    "plain": (False, "none"),
    "apex_frame": (True, "apex"),
}

# Columns of a published table: face, confidence, 17 intensities, the presence of 18 units.
INTENSITIES = slice(2, 19)
# The column with the presence of AU28, a unit without an intensity.
AU28 = 35
# A unit is kept if it is present in at least this share of the frames.
PRESENT = 0.5


def split_table(table: UnitTable) -> tuple[UnitTable, UnitTable]:
    """Split a published table (N, 37) into intensities (N, 17) and presence (N, 17)."""
    return table[:, INTENSITIES], np.delete(table, AU28, axis=1)[:, INTENSITIES.stop :]


def recoded(intensity: UnitTable, presence: UnitTable) -> UnitTable:
    """Return intensities (N, 17) in which units that are present in less than half of the frames are set to 0."""
    return np.asarray(intensity * (presence.mean(0) >= PRESENT))


def sequence(intensity: UnitTable, presence: UnitTable, mode: str, as_published: bool = False) -> UnitTable:
    """Return the action units (T, 17), intensity / 5, that the generator receives in a mode.

    intensity, presence: those of the driver, (T, 17). as_published: see `fitted`.
    """
    recode, fit = MODES[mode]
    units = recoded(intensity, presence) if recode else intensity
    return fitted(units / LARGEST, fit, top_frame(units), as_published=as_published)


def top_frame(intensity: UnitTable) -> int:
    """Return the first frame in which the intensities (N, 17) have the largest sum."""
    return int(intensity.sum(1).argmax())


def fitted(
    units: UnitTable, fit: Fit, top: int, template: UnitTable | None = None, as_published: bool = False
) -> UnitTable:
    """Return a sequence of action units (N, 17) fitted to its apex, frame `top`, in float64 and at any scale.

    fit: "linear" goes from the units of frame 0 up to the apex and down to those of the last frame. "apex" goes from
    the template's own units (17,), or zeros if `template` is None, up to the apex and down again. "none" changes
    nothing. as_published: with "linear", the falling side aims at the second frame of the rising side but never reaches
    it, and an apex in frame 0 yields frame 0 throughout.
    """
    rest = np.zeros(len(OPENFACE)) if template is None else template
    count = len(units)
    index = np.arange(count)[:, None]
    rising = index / top if top else np.ones((count, 1))
    if fit == "none":
        return units
    if fit == "apex":
        strength = np.where(index <= top, rising, (count - index) / (count - top))
        return np.asarray(strength * units[top] + (1 - strength) * rest)
    up = rising * units[top] + (1 - rising) * units[0]
    if as_published:
        falling = (count - index) / max(count - top - 1, 1)
        down = falling * units[top] + (1 - falling) * (up[1] if top else units[0])
    else:
        falling = (count - 1 - index) / max(count - 1 - top, 1)
        down = falling * units[top] + (1 - falling) * units[-1]
    return np.asarray(np.where(index <= top, up, down))
