"""Variation of pairs of recorded frames: colours, temporal order and mirroring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from megbench.core.config import Count
from megbench.core.errors import BenchError, plural

# The number of people that are held out for validation by default, if there are enough.
MOST_HELD_OUT = 4
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

    leave_out: which clips are left out: the challenge's drivers, all clips of the people in them, or nothing.
    flip: whether pairs are reversed in time or, if not, mirrored, each with a probability of one half (as published).
    mirror_points: whether landmarks are mirrored with their picture; the published training leaves them unchanged.

    Pairs for validation are never varied.
    """

    leave_out: Literal["drivers", "people", "nothing"] = "drivers"
    flip: bool = True
    mirror_points: bool = True
    jitter: Jitter = Jitter()


@dataclass(frozen=True)
class StoreSettings:
    """Settings for drawing frames from clip stores.

    held_out: number of people used for validation only; None: as chosen by `people_held_out`.
    """

    held_out: Count | None = None
    prepared: PreparedSettings = PreparedSettings()


def people_held_out(held_out: int | None, people: int) -> int:
    """Return how many of `people` are used for validation only: `held_out`, or by default a quarter, from 1 to 4.

    Raise BenchError unless someone is left for training and for validation.
    """
    if people < 2:
        raise BenchError(
            f"The training clips show {plural(people, 'person', 'people')}; at least 2 are needed, one of them for"
            " validation. Pass more clips with --clips."
        )
    usual = min(max(people // 4, 1), MOST_HELD_OUT)
    if held_out is not None and not 0 < held_out < people:
        allowed = "1" if people == 2 else f"from 1 to {people - 1}"
        raise BenchError(
            f"Setting data.held_out must be {allowed}, because the training clips show"
            f" {plural(people, 'person', 'people')}, got {held_out}. Use --set data.held_out={usual}."
        )
    return usual if held_out is None else held_out
