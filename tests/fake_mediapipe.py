"""A stand-in for MediaPipe's face landmarker with the same names and result types; pixels encode the coefficients."""

import sys
import textwrap
from pathlib import Path

import numpy as np

from megbench.core.frames import SIZE, Frames
from megbench.faces.blendshapes import BLENDSHAPES, UNITS

NAMES = ("_neutral", *(name for names in BLENDSHAPES.values() for name in names), "cheekSquintLeft")
CRASH = 255  # a last pixel with this value ends the process, like a fault in a library

PACKAGE = {
    "__init__.py": """
        from types import SimpleNamespace

        ImageFormat = SimpleNamespace(SRGB="srgb")

        class Image:
            def __init__(self, image_format, data):
                assert image_format == ImageFormat.SRGB and data.flags.c_contiguous and data.dtype == "uint8"
                self.data = data
        """,
    "tasks/__init__.py": "",
    "tasks/python/__init__.py": """
        from types import SimpleNamespace

        def BaseOptions(model_asset_path):
            return open(model_asset_path, "rb").read()
        """,
    "tasks/python/vision.py": """
        import os
        from types import SimpleNamespace

        NAMES = {names!r}
        RunningMode = SimpleNamespace(IMAGE="image", VIDEO="video")

        def FaceLandmarkerOptions(**options):
            assert options["running_mode"] == RunningMode.IMAGE and options["output_face_blendshapes"]
            assert os.environ["https_proxy"] == "http://127.0.0.1:9" and not os.environ["no_proxy"]
            return options

        class FaceLandmarker:
            @staticmethod
            def create_from_options(options):
                print("what libraries print must not get between the answers", flush=True)
                return FaceLandmarker()

            def detect(self, image):
                if image.data[-1, -1, 0] == {crash}:
                    os._exit(3)
                scores = [int(value) / 255 for value in image.data[0, : len(NAMES), 0]]
                found = [SimpleNamespace(category_name=n, score=s) for n, s in zip(NAMES, scores)]
                return SimpleNamespace(face_blendshapes=[found] if image.data.any() else [])
        """,
}


def write_package(folder: Path) -> Path:
    """Write the package into `folder`, which must be put on Python's path; return `folder`."""
    for name, text in PACKAGE.items():
        path = folder / "mediapipe" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).replace("{names!r}", repr(NAMES)).replace("{crash}", str(CRASH)))
    assert "mediapipe" not in sys.modules, "it is never imported here"
    return folder


def frames_of(units: dict[str, np.ndarray], n_frames: int, sides: float = 0.0) -> Frames:
    """Return frames from which the stand-in reads these units (T,) in 0..1.

    sides: how far the left coefficient lies above a unit's value, and the right one below it.
    """
    frames = np.full((n_frames, SIZE, SIZE, 3), 100, np.uint8)
    frames[:, 0, : len(NAMES)] = 0
    for unit, values in units.items():
        assert unit in UNITS
        names = BLENDSHAPES[unit]
        for sign, name in zip((1, -1), names, strict=False):
            shift = sides * sign if len(names) > 1 else 0.0
            frames[:, 0, NAMES.index(name), 0] = np.round(255 * (np.asarray(values) + shift))
    return frames
