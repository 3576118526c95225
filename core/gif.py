"""Read GIFs as the frames that they were made from.

A GIF has no frame rate: each picture states for how many hundredths of a second it is displayed. Encoders merge
identical consecutive frames into one picture that is displayed longer. A picture that is displayed n times as long as
the shortest therefore counts as n frames. FFmpeg reads only one picture of some GIFs whose pictures are displayed for
less than a hundredth of a second; Pillow reads all of them (findings/ffmpeg_plain_gif_is_one_picture.sh).
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from megbench.core.errors import BenchError, clause
from megbench.core.pictures import Picture, check_size

MARKS = (b"GIF87a", b"GIF89a")


def is_gif(path: Path) -> bool:
    """Return whether a file's first bytes are those of a GIF, whatever its name; False if it cannot be opened."""
    try:
        with path.open("rb") as file:
            return file.read(len(MARKS[0])) in MARKS
    except OSError:
        return False


def frames_of(durations: list[float]) -> list[int]:
    """Return how many frames each picture counts as: its duration divided by the shortest, rounded, at least one.

    durations: the durations of the pictures in any unit. 0 means that a picture states none; it counts as one frame.
    """
    shortest = min((duration for duration in durations if duration > 0), default=0.0)
    return [max(round(duration / shortest), 1) if duration > 0 else 1 for duration in durations]


def gif_rate(path: Path) -> float | None:
    """Return the frames per second that the shortest duration implies, or None for a GIF that states no durations."""
    shortest = min((duration for _, duration in _pictures(path) if duration > 0), default=0.0)
    return 1000 / shortest if shortest else None


def gif_size(path: Path) -> tuple[int, int]:
    """Return the width and height of a GIF's pictures. Raise BenchError in the same cases as `read_gif`."""
    return next(_pictures(path))[0].size


def read_gif(path: Path, most: int) -> Iterator[Picture]:
    """Yield all frames of a GIF, (H, W, 3) uint8 RGB, repeating each picture as its duration requires.

    most: the maximum number of pictures to read. Raise BenchError for damaged data and for pictures of more than 64
    million pixels.
    """
    times = frames_of([duration for _, duration in itertools.islice(_pictures(path), most)])
    for (image, _), count in zip(_pictures(path), times, strict=False):
        picture = np.array(image.convert("RGB"), dtype=np.uint8)
        for _ in range(count):
            yield picture


def _pictures(path: Path) -> Iterator[tuple[Image.Image, float]]:
    """Yield every picture of a GIF with its duration in milliseconds. A picture is valid until the next one is read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about large pictures, whose size is checked below
            with Image.open(path, formats=["GIF"]) as image:
                check_size(path, *image.size)
                while True:
                    image.load()
                    yield image, float(image.info.get("duration", 0))
                    try:
                        image.seek(image.tell() + 1)
                    except EOFError:
                        return
    except BenchError:
        raise
    except Exception as error:  # whatever Pillow's reader raises on damaged data
        raise BenchError(f"{path}: the GIF cannot be read ({clause(error)}). Copy it again from its source.") from None
