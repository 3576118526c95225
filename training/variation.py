"""Variation of pairs of recorded frames: colours, temporal order and mirroring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Jitter:
    """The range of colour changes, which both frames share: factors within 1 +- each value, hue within +- `hue` turns.

    The values are those published for FOMM and MRAA; FPB-FOMM's publication changes only the hue. A grey picture has no
    hue.
    """

    brightness: float = 0.1
    contrast: float = 0.1
    saturation: float = 0.1
    hue: float = 0.1


@dataclass(frozen=True)
class PreparedSettings:
    """Settings for drawing frames from prepared clips and for leaving clips out.

    leave_out: the challenge's drivers, all clips of the people in them, or nothing. flip: whether pairs are reversed in
    time or, if not, mirrored, each with a probability of one half (as published). mirror_points: whether landmarks are
    mirrored with their picture; the published training leaves them unchanged. Pairs for validation are never varied.
    """

    leave_out: Literal["drivers", "people", "nothing"] = "drivers"
    flip: bool = True
    mirror_points: bool = True
    jitter: Jitter = Jitter()


@dataclass(frozen=True)
class StoreSettings:
    """Settings for drawing frames from clip stores. held_out: number of people used for validation only."""

    held_out: int = 4
    prepared: PreparedSettings = PreparedSettings()
