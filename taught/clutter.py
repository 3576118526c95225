"""The surroundings of a rendered face: clothes, hats and backgrounds other than those in the portrait.

Networks trained on a single collar mistake the edges of other collars for the corners of a mouth.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
import numpy.typing as npt

from megbench.core.clip import Float32s
from megbench.core.frames import SIZE, Frames

# The number of scenes, and the range of the number of shapes in a scene (end excluded). Scenes are drawn once and then
# mirrored, rotated and shifted at random.
SCENES, SHAPES = 96, (6, 26)
# The blur of the face's mask, in its 64 x 64 cells, and the range of the threshold that determines how much around the
# face is kept.
SOFT, KEPT = 5.0, (0.06, 0.5)


def around(mask: npt.NDArray[np.uint8], rng: np.random.Generator) -> Surroundings:
    """Draw random surroundings for a face whose mask is (64, 64), 1 on the face."""
    threshold = rng.uniform(*KEPT)
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), SOFT)
    keep = cv2.resize(np.clip((soft - threshold) / 0.1 + 0.5, 0, 1), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    scene = scenes()[int(rng.integers(SCENES))]
    scene = np.rot90(scene, int(rng.integers(4)))[:: int(rng.choice((-1, 1)))]
    scene = np.roll(scene, tuple(int(step) for step in rng.integers(0, SIZE, 2)), axis=(0, 1))
    return Surroundings(np.asarray(keep[..., None], np.float32), scene.astype(np.float32))


class Surroundings:
    """A scene around a face.

    keep: (256, 256, 1) in 0..1, the share of the rendered picture. scene: (256, 256, 3), 0..255.
    """

    def __init__(self, keep: Float32s, scene: Float32s) -> None:
        self.keep, self.beyond = keep, (1 - keep) * scene + 0.5

    def put(self, picture: Frames) -> Frames:
        """Return a picture (256, 256, 3) uint8 with these surroundings."""
        return np.asarray(picture * self.keep + self.beyond).astype(np.uint8)


@functools.cache
def scenes() -> npt.NDArray[np.uint8]:
    """Return the scenes, (SCENES, 256, 256, 3) uint8: shapes, stripes and lines in all colours, sharp and soft."""
    rng = np.random.default_rng(1)
    return np.stack([_scene(rng) for _ in range(SCENES)])


def _scene(rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    shades = rng.uniform(0, 255, (4, 4, 3)).astype(np.float32)
    picture = np.ascontiguousarray(cv2.resize(shades, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC))
    for _ in range(rng.integers(*SHAPES)):
        colour = tuple(float(part) for part in rng.uniform(0, 255, 3))
        corners = rng.integers(-40, SIZE + 40, (int(rng.integers(3, 6)), 2)).astype(np.int32)
        kind = rng.integers(4)
        if kind == 0:
            cv2.fillPoly(picture, [corners], colour, cv2.LINE_AA)
        elif kind == 1:
            cv2.polylines(picture, [corners], False, colour, int(rng.integers(1, 14)), cv2.LINE_AA)
        elif kind == 2:
            axes = tuple(int(part) for part in rng.integers(4, 70, 2))
            cv2.ellipse(picture, corners[0].tolist(), axes, float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
        else:
            step, width = rng.integers(5, 24, 2)
            for shift in range(-SIZE, SIZE, int(step)):
                ends = corners[:2] // 8 + [shift, 0]
                cv2.line(picture, ends[0].tolist(), (ends[1] + [0, SIZE // 2]).tolist(), colour, max(1, width // 5))
    blur = rng.choice((0.0, 0.8, 2.0, 5.0))
    picture = cv2.GaussianBlur(picture, (0, 0), blur) if blur else picture
    grain = cv2.resize(rng.normal(0, rng.uniform(0, 30), (64, 64, 3)).astype(np.float32), (SIZE, SIZE))
    return np.asarray(np.clip(picture + grain, 0, 255), np.uint8)
