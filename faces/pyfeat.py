"""py-feat's current detector in a separate process: occurrence scores of action units on face crops.

Importing py-feat takes seconds and a gigabyte of memory, and it sets OMP_NUM_THREADS for the whole process. The suite's
processes therefore never import it. The separate process runs with the Hugging Face client in offline mode; the weights
come from a file supplied by the user. Run as `python -m megbench.faces.pyfeat WEIGHTS`, this module is that process
(megbench.faces.apart).
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt

from megbench.core.frames import Frames
from megbench.faces.apart import Apart, Arrays, serve
from megbench.faces.landmarks import Points

# The network's units (py-feat 2.1, face_multitask_v2), in the order of its scores.
UNITS = (
    *("AU01", "AU02", "AU04", "AU05", "AU06", "AU07", "AU09", "AU10", "AU11", "AU12"),
    *("AU14", "AU15", "AU17", "AU20", "AU23", "AU24", "AU25", "AU26", "AU28", "AU43"),
)
BATCH = 8
# The height of the forehead above the brows, as a share of the distance from brows to chin. The detector's box includes
# it, but the landmarks do not.
FOREHEAD = 0.3


class Detector:
    """The running detector process; `scores` may be called any number of times."""

    def __init__(self, weights: Path) -> None:
        self._apart = Apart("py-feat", "megbench.faces.pyfeat", [str(weights.resolve())], {"HF_HUB_OFFLINE": "1"})

    def scores(self, frames: Frames, points: Points) -> npt.NDArray[np.float64]:
        """Return occurrence scores (T, 20) of UNITS, 0 to 1. All frames are cropped around the landmarks of frame 0.

        Raise BenchError if the process ends or reports an error.
        """
        return self._apart.ask({"frames": frames, "box": face_box(points)})["scores"].astype(np.float64)

    def stop(self) -> None:
        """End the process."""
        self._apart.stop()


@functools.lru_cache(maxsize=1)
def detector(weights: Path) -> Detector:
    """Return the detector; this process starts it only once."""
    return Detector(weights)


def face_box(points: Points) -> npt.NDArray[np.float32]:
    """Return a face's box (left, top, right, bottom) from landmarks (68, 2): jaw to jaw and forehead to chin."""
    brows, chin = points[17:27, 1].min(), points[:17, 1].max()
    top = brows - FOREHEAD * (chin - brows)
    return np.array([points[:17, 0].min(), top, points[:17, 0].max(), chin], np.float32)


def bare_package(name: str) -> None:
    """Allow modules of an installed package to be imported without running the package's `__init__`.

    For py-feat, this avoids importing every detector with its libraries and saves a third of the process's start-up
    time. Raise ModuleNotFoundError if the package is not installed.
    """
    if (spec := find_spec(name)) is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"No package named {name!r}")
    package = ModuleType(name)
    package.__path__ = spec.submodule_search_locations
    sys.modules[name] = package


def answering(weights: str) -> Callable[[Arrays], Arrays]:
    """Load the network and return the function that replies to messages; used only in the separate process."""
    bare_package("feat")
    import torch
    from feat.multitask.inference import CHIP_SIZE, EXPAND_BBOX, MultitaskModel
    from feat.utils.image_operations import extract_face_square_pad_torch

    model = MultitaskModel(device="cpu", weights_path=weights)
    order = [list(model.au_names).index(unit) for unit in UNITS]

    def answer(message: Arrays) -> Arrays:
        found = []
        for start in range(0, len(message["frames"]), BATCH):
            frames = torch.from_numpy(message["frames"][start : start + BATCH]).permute(0, 3, 1, 2).float() / 255
            boxes = torch.from_numpy(message["box"]).repeat(len(frames), 1)
            chips, _ = extract_face_square_pad_torch(
                frames, boxes, face_size=CHIP_SIZE, expand_bbox=EXPAND_BBOX, frame_idx=torch.arange(len(frames))
            )
            found.append(model(chips).au[:, order])
        return {"scores": np.concatenate(found)}

    return answer


if __name__ == "__main__":
    serve(functools.partial(answering, sys.argv[1]))
