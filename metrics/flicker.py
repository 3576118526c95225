"""Flicker: jumps in brightness from frame to frame, which facial motion does not cause at these frame rates."""

import functools

import numpy as np
import numpy.typing as npt

from megbench.core.clip import Cell
from megbench.core.contracts import Figure, Partial
from megbench.core.figures import PICTURE
from megbench.faces.features import Seen, SeenClip
from megbench.faces.landmarks import Grey
from megbench.faces.regions import Mask, face_regions

SHORTEST = 3


class Flicker:
    """Half the mean absolute second difference over time of the luma in the face."""

    name = "flicker"
    version = "1-luma"
    figures = (
        Figure(
            "flicker",
            "Flicker",
            target="output",
            ideal=0,
            still=0,
            bounds=(0, None),
            unit="grey levels",
            short="flicker",
            group=PICTURE,
            order=9,
            neighbours=True,
            formula="mean |I[t] - (I[t-1] + I[t+1]) / 2|",
            description="Mean absolute difference between the luma of each pixel of the face and the mean of its luma"
            " one frame earlier and one frame later. Camera noise counts too; a still face scores 0.",
        ),
        Figure(
            "flicker_driver",
            "Flicker of the driver",
            target="driver",
            ideal=None,
            bounds=(0, None),
            unit="grey levels",
            description="Flicker of the driver's clip, caused by its camera noise and its motion.",
        ),
    )

    def measure(self, cell: Cell, seen: Seen) -> Partial:
        """Return the flicker of one cell's output and driver. Raise CellFailed if a first frame shows no face."""
        if len(seen.output.frames) < SHORTEST:
            return Partial(
                "skipped", f"clip too short: it has {len(seen.output.frames)} of the {SHORTEST} frames needed"
            )
        values = {
            "flicker": _of_clip(seen.output),
            "flicker_driver": _of_driver(seen.driver),
        }
        return Partial("ok", values=values)


def _of_clip(clip: SeenClip) -> float:
    return flicker(clip.grey, face_regions(clip.landmarks).face)


@functools.lru_cache(maxsize=1)  # all outputs for a cell are scored one after another
def _of_driver(driver: SeenClip) -> float:
    return _of_clip(driver)


def flicker(frames: Grey, face: Mask) -> float:
    """Return the mean over face and time of |I[t] - (I[t-1] + I[t+1]) / 2| for luma frames (T >= 3, H, W) uint8.

    >>> everywhere = np.ones((2, 2), bool)
    >>> flicker(np.full((3, 2, 2), [[[10]], [[14]], [[10]]], np.uint8), everywhere)
    4.0
    >>> flicker(np.full((3, 2, 2), [[[10]], [[14]], [[18]]], np.uint8), everywhere)
    0.0
    """
    inside: npt.NDArray[np.float32] = frames[:, face].astype(np.float32)  # (T, pixels)
    return float(np.abs(inside[1:-1] - (inside[:-2] + inside[2:]) / 2).mean())
