"""Lids that close over the eyes. They are painted, because skin that is moved this far would fold."""

import cv2
import numpy as np

from megbench.clips.synthetic.overlay import Layer, curve_at, laid, lattice, shrunk, softstep
from megbench.core.clip import Float32s
from megbench.core.frames import Frames
from megbench.faces import mesh
from megbench.faces.mesh import FittedMesh, Points

# For each eye: the edges of the upper and lower lids, with the corners, and the vertices of skin above the eye from
# which the lid takes its colour. Vertices are in order of increasing x.
EYES = (
    (mesh.RIGHT_UPPER_LID, np.r_[33, mesh.RIGHT_LOWER_LID, 133], np.array([247, 30, 29, 27, 28, 56, 190])),
    (
        mesh.LEFT_UPPER_LID[::-1],
        np.r_[362, mesh.LEFT_LOWER_LID[::-1], 263],
        np.array([414, 286, 258, 257, 259, 260, 467]),
    ),
)
# The painted lid begins this many pixels above the moved edge of the upper lid, to cover the lashes in the picture.
OVERLAP = 4.0
# Lashes: half the thickness in pixels, and opacity.
LASHES, DARK = 0.9, 0.6


def close(frame: Frames, face: FittedMesh, displacement: Points, share: float, head: Float32s) -> Frames:
    """Return a frame (256, 256, 3) uint8 in which lids cover the eyes, or the frame itself if `share` is 0.

    displacement: (478, 2), in face units. share: the share of the remaining opening that the lids cover; at 1 they
    meet. head: the head's similarity (2, 3).
    """
    for upper, lower, skin in EYES if share > 0 else ():
        frame = _close_one(frame, face, displacement, share, head, (upper, lower, skin))
    return frame


def _close_one(
    frame: Frames, face: FittedMesh, displacement: Points, share: float, head: Float32s, eye: tuple[Points, ...]
) -> Frames:
    upper, lower, skin = (face.vertices[ids] + face.to_pixels(displacement[ids]) for ids in eye)
    origin = upper[[0, -1]].mean(0)
    box, at = lattice(np.r_[upper, lower], head)
    x, y = np.moveaxis(np.asarray((at - origin) @ face.roll, np.float32), -1, 0)  # pixels along the face's axes
    top, bottom = (curve_at((edge - origin) @ face.roll, x) for edge in (upper, lower))
    gap = np.maximum(bottom - top, 0)
    edge = top + share * gap
    covered = (
        softstep(y, top - OVERLAP, 0.7 * OVERLAP) * softstep(edge - y, -0.3, 1.0) * softstep(share * gap, 0.3, 2.0)
    )
    seen = np.rint(skin @ head[:, :2].T + head[:, 2]).astype(int).clip(0, len(frame) - 1)
    tones = cv2.GaussianBlur(frame, (0, 0), 1.5)[seen[:, 1], seen[:, 0]].astype(np.float64)
    places = (skin - origin) @ face.roll
    colour = np.stack([np.interp(x, np.maximum.accumulate(places[:, 0]), tone) for tone in tones.T], -1)
    down = np.clip((y - top) / np.maximum(gap, 1), 0, 1)
    colour *= (0.97 - 0.14 * (down - 0.3) ** 2 - 0.10 * down)[..., None]
    layer = laid(frame, box, shrunk(Layer(np.asarray(colour, np.float32), covered)))
    lash = DARK * softstep(LASHES - np.abs(y - edge), -0.6, 1.0) * softstep(share * gap, 0.3, 2.0)
    dark = np.broadcast_to(0.3 * tones.min(0), colour.shape).astype(np.float32)
    return laid(layer, box, shrunk(Layer(dark, np.asarray(lash, np.float32))))
