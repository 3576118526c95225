"""Paint over a rendered frame: draw at a higher resolution, average to pixels, and composite."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import scipy

from megbench.core.clip import Float32s
from megbench.core.frames import SIZE, Frames
from megbench.faces.mesh import Points

# The number of samples along each side of a pixel.
SUPER = 4
# The blur of painted parts, in pixels. It matches the sharpness of the portraits.
LENS = 0.55

Box = tuple[slice, slice]


@dataclass(frozen=True)
class Layer:
    """A painted layer: colour (h, w, 3) float32 in 0..255 and alpha (h, w) in 0..1."""

    colour: Float32s
    alpha: Float32s


# A layer of pixels and its position in the frame.
Painted = tuple[Box, Layer]


def lattice(points: Points, head: Float32s, margin: int = 3) -> tuple[Box, Float32s]:
    """Return the box around points (N, 2) after the head's motion, and the positions of the samples in the box.

    head: the head's similarity (2, 3). The box is given as rows and columns of the frame. The positions of the samples
    are those before the head's motion: (SUPER * rows, SUPER * columns, 2) float32, in pixels.
    """
    there = points @ head[:, :2].T + head[:, 2]
    low = np.clip(np.floor(there.min(0)).astype(int) - margin, 0, SIZE - 1)
    high = np.clip(np.ceil(there.max(0)).astype(int) + margin, low + 1, SIZE)
    x, y = ((np.arange(SUPER * (high - low)[axis]) + 0.5) / SUPER - 0.5 + low[axis] for axis in (0, 1))
    back = cv2.invertAffineTransform(head)
    samples = np.stack(np.meshgrid(x, y), -1) @ back[:, :2].T + back[:, 2]
    return (slice(low[1], high[1]), slice(low[0], high[0])), np.asarray(samples, np.float32)


def shrunk(layer: Layer) -> Layer:
    """Return a layer of samples after blurring and averaging to pixels; transparent samples contribute no colour."""
    premultiplied = np.dstack([layer.colour * layer.alpha[..., None], layer.alpha]).astype(np.float32)
    soft = cv2.GaussianBlur(premultiplied, (0, 0), LENS * SUPER, borderType=cv2.BORDER_CONSTANT)
    height, width = layer.alpha.shape
    small = cv2.resize(soft, (width // SUPER, height // SUPER), interpolation=cv2.INTER_AREA)
    alpha = np.asarray(small[..., 3], np.float32)
    return Layer(np.asarray(small[..., :3] / np.maximum(alpha, 1e-6)[..., None], np.float32), alpha)


def laid(frame: Frames, box: Box, layer: Layer) -> Frames:
    """Return a copy of a frame (256, 256, 3) uint8 with a layer of pixels composited over `box`."""
    below = frame[box].astype(np.float32)
    result = frame.copy()
    mixed = below + (layer.colour - below) * layer.alpha[..., None]
    result[box] = np.clip(np.rint(mixed), 0, 255)
    return result


def curve_at(points: Points, x: Float32s) -> Float32s:
    """Return the height at every x (h, w) of a smooth curve through points (N, 2), constant beyond its ends."""
    across = increasing(points[:, 0])
    table = np.linspace(across[0], across[-1], 400)
    heights = scipy.interpolate.PchipInterpolator(across, points[:, 1])(table)
    return np.asarray(np.interp(x, table, heights), np.float32)


def increasing(x: Points) -> Points:
    """Return x (N,) made strictly increasing: the running maximum, plus 1e-6 times the index."""
    return np.asarray(np.maximum.accumulate(x) + 1e-6 * np.arange(len(x)))


def softstep(value: npt.NDArray[np.floating], start: float | npt.NDArray[np.floating], over: float) -> Float32s:
    """Return 0 up to `start`, 1 from `start + over`, and a smooth transition in between."""
    share = np.clip((value - start) / over, 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)
