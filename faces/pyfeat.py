"""py-feat's current detector in a process of its own: occurrence scores of action units on face crops.

Its import takes seconds and a gigabyte and sets OMP_NUM_THREADS for everybody, so it never happens in our processes.
The process is started with the hub's client offline; weights come from a file that the user has put there. Run as
`python -m megbench.faces.pyfeat WEIGHTS` this module is that process: messages on stdin and stdout, each its length,
then .npz.
"""

from __future__ import annotations

import atexit
import functools
import io
import os
import struct
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from megbench.core.errors import BenchError, clause
from megbench.core.frames import Frames
from megbench.core.provenance import ROOT
from megbench.faces.landmarks import Points

Arrays = dict[str, npt.NDArray[Any]]

# The network's units (py-feat 2.1, face_multitask_v2), in the order of its scores.
UNITS = (
    *("AU01", "AU02", "AU04", "AU05", "AU06", "AU07", "AU09", "AU10", "AU11", "AU12"),
    *("AU14", "AU15", "AU17", "AU20", "AU23", "AU24", "AU25", "AU26", "AU28", "AU43"),
)
BATCH = 8
# Forehead above the brows, as a share of the way from brows to chin: landmarks end where the detector's box does not.
FOREHEAD = 0.3
LENGTH = struct.Struct("<Q")


class Detector:
    """The running process; `scores` may be asked any number of times."""

    def __init__(self, weights: Path) -> None:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "megbench.faces.pyfeat", str(weights.resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=ROOT,
        )
        atexit.register(self.stop)

    def scores(self, frames: Frames, points: Points) -> npt.NDArray[np.float64]:
        """Occurrence scores (T, 20) in 0..1 of UNITS; one crop for all frames, around the landmarks of frame 0.

        BenchError if the process ends or answers with an error.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise BenchError("py-feat's process has no pipes.")
        try:
            send(stdin, {"frames": frames, "box": face_box(points)})
            answer = receive(stdout)
        except (OSError, EOFError):
            code = self._process.wait()
            raise BenchError(
                f"py-feat's process ended (exit code {code}). Run to see why: python -m megbench.faces.pyfeat WEIGHTS"
            ) from None
        if "error" in answer:
            raise BenchError(f"py-feat: {answer['error']}")
        return answer["scores"].astype(np.float64)

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


@functools.lru_cache(maxsize=1)
def detector(weights: Path) -> Detector:
    """The one detector of this process."""
    return Detector(weights)


def face_box(points: Points) -> npt.NDArray[np.float32]:
    """Box (left, top, right, bottom) of a face with landmarks (68, 2): jaw to jaw, forehead to chin."""
    brows, chin = points[17:27, 1].min(), points[:17, 1].max()
    top = brows - FOREHEAD * (chin - brows)
    return np.array([points[:17, 0].min(), top, points[:17, 0].max(), chin], np.float32)


def send(stream: IO[bytes], arrays: Arrays) -> None:
    """Write one message."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    stream.write(LENGTH.pack(buffer.tell()) + buffer.getvalue())
    stream.flush()


def receive(stream: IO[bytes]) -> Arrays:
    """Read one message. EOFError where the other side has ended."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    with np.load(io.BytesIO(stream.read(*LENGTH.unpack(head))), allow_pickle=False) as arrays:
        return dict(arrays)


def bare_package(name: str) -> None:
    """Let modules of an installed package be imported without what its `__init__` imports. Raise ModuleNotFoundError.

    For py-feat that is every detector with its libraries, a third of the process's start.
    """
    if (spec := find_spec(name)) is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"No package named {name!r}")
    package = ModuleType(name)
    package.__path__ = spec.submodule_search_locations
    sys.modules[name] = package


def serve(weights: str) -> None:
    """The process's side: load the network once, then answer messages until stdin ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not get between the answers
    bare_package("feat")
    import torch
    from feat.multitask.inference import CHIP_SIZE, EXPAND_BBOX, MultitaskModel
    from feat.utils.image_operations import extract_face_square_pad_torch

    model = MultitaskModel(device="cpu", weights_path=weights)
    order = [list(model.au_names).index(unit) for unit in UNITS]
    while True:
        try:
            message = receive(sys.stdin.buffer)
        except EOFError:
            return
        found = []
        try:
            for start in range(0, len(message["frames"]), BATCH):
                frames = torch.from_numpy(message["frames"][start : start + BATCH]).permute(0, 3, 1, 2).float() / 255
                boxes = torch.from_numpy(message["box"]).repeat(len(frames), 1)
                chips, _ = extract_face_square_pad_torch(
                    frames, boxes, face_size=CHIP_SIZE, expand_bbox=EXPAND_BBOX, frame_idx=torch.arange(len(frames))
                )
                found.append(model(chips).au[:, order])
            send(answers, {"scores": np.concatenate(found)})
        except Exception as error:  # whatever it is, the other side must hear of it
            send(answers, {"error": np.array(f"{type(error).__name__}: {clause(str(error))}")})


if __name__ == "__main__":
    serve(sys.argv[1])
