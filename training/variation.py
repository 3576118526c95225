"""How pairs of recorded frames are varied: colours, time and side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Jitter:
    """How far a pair's colours are changed, both frames alike: factors in 1 +- each value, the hue by +- `hue` turns.

    The values are those that FOMM and MRAA publish; FPB-FOMM's publication changes the hue alone. A grey picture has no
    hue.
    """

    brightness: float = 0.1
    contrast: float = 0.1
    saturation: float = 0.1
    hue: float = 0.1


@dataclass(frozen=True)
class PreparedSettings:
    """What is drawn from prepared clips, and which clips are left out.

    leave_out: the challenge's drivers, all clips of the people in them, or nothing. flip: whether pairs are reversed in
    time or else mirrored, each in half of the cases (as published). mirror_points: whether landmarks are mirrored with
    their picture; the published training leaves them unchanged. Pairs for validation are never varied.
    """

    leave_out: Literal["drivers", "people", "nothing"] = "drivers"
    flip: bool = True
    mirror_points: bool = True
    jitter: Jitter = Jitter()


@dataclass(frozen=True)
class StoreSettings:
    """What is drawn from clip stores. held_out: number of people who only validate."""

    held_out: int = 4
    prepared: PreparedSettings = PreparedSettings()
