"""MediaPipe's face landmarker in a separate process: blendshape coefficients as a substitute for action units.

Coefficients are between 0 and 1. They are neither FACS intensities nor linear, and how far a coefficient rises depends
on the person, so only its time course is meaningful. The landmarker analyses every frame independently (IMAGE mode):
VIDEO mode smooths over time, which removes most of a micro-expression and delays the rest
(findings/mediapipe_video_mode_smooths_away_expressions.sh). The MediaPipe package sends usage data to its developer;
the process is given a proxy that does not exist, so that nothing leaves the machine. Run as `python -m
megbench.faces.blendshapes MODEL`, this module is that process (megbench.faces.apart).
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from megbench.core.frames import Frames
from megbench.faces.apart import Apart, Arrays, serve

# The coefficients that represent each unit; the left and right ones are averaged. Three units have none: cheekSquint
# (AU06) and noseSneer (AU09) stay below .0001 even in a wide smile, and mouthDimple (AU14) does not follow its unit.
BLENDSHAPES: Mapping[str, tuple[str, ...]] = {
    "AU01": ("browInnerUp",),
    "AU02": ("browOuterUpLeft", "browOuterUpRight"),
    "AU04": ("browDownLeft", "browDownRight"),
    "AU05": ("eyeWideLeft", "eyeWideRight"),
    "AU07": ("eyeSquintLeft", "eyeSquintRight"),
    "AU10": ("mouthUpperUpLeft", "mouthUpperUpRight"),
    "AU12": ("mouthSmileLeft", "mouthSmileRight"),
    "AU15": ("mouthFrownLeft", "mouthFrownRight"),
    "AU17": ("mouthShrugLower",),
}
UNITS = tuple(BLENDSHAPES)
# MediaPipe requires a different build of OpenCV, which would replace the one used by this suite, so its other
# dependencies are listed by name.
INSTALL = "pip install --no-deps mediapipe==1.2.3 certifi absl-py flatbuffers"
NOWHERE = "http://127.0.0.1:9"  # the discard port
PROXIES = {"http_proxy": NOWHERE, "https_proxy": NOWHERE, "all_proxy": NOWHERE, "no_proxy": ""}
OFFLINE = PROXIES | {name.upper(): value for name, value in PROXIES.items()}


def installed() -> bool:
    """Return whether MediaPipe can be imported, without importing it."""
    return find_spec("mediapipe") is not None


class Landmarker:
    """The running landmarker process; `units` may be called any number of times."""

    def __init__(self, model: Path) -> None:
        self._apart = Apart("MediaPipe", "megbench.faces.blendshapes", [str(model.resolve())], OFFLINE)

    def units(self, frames: Frames) -> npt.NDArray[np.float64]:
        """Return coefficients (T, 9) of UNITS from 0 to 1, for each frame independently; NaN if there is no face.

        Raise BenchError if the process ends or reports an error.
        """
        return self._apart.ask({"frames": frames})["units"].astype(np.float64)

    def stop(self) -> None:
        """End the process."""
        self._apart.stop()


@functools.lru_cache(maxsize=1)
def landmarker(model: Path) -> Landmarker:
    """Return the landmarker; this process starts it only once."""
    return Landmarker(model)


def answering(model: str) -> Callable[[Arrays], Arrays]:
    """Load the landmarker and return the function that replies to messages; used only in the separate process."""
    from mediapipe import Image, ImageFormat
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=model),
        running_mode=vision.RunningMode.IMAGE,
        num_faces=1,
        output_face_blendshapes=True,
    )
    found = vision.FaceLandmarker.create_from_options(options)

    def row(frame: Frames) -> npt.NDArray[np.float64]:
        faces = found.detect(Image(image_format=ImageFormat.SRGB, data=np.ascontiguousarray(frame))).face_blendshapes
        if not faces:
            return np.full(len(UNITS), np.nan)
        scores = {category.category_name: category.score for category in faces[0]}
        return np.array([np.mean([scores[name] for name in names]) for names in BLENDSHAPES.values()])

    return lambda message: {"units": np.stack([row(frame) for frame in message["frames"]])}


if __name__ == "__main__":
    serve(functools.partial(answering, sys.argv[1]))
