"""The look of frames in published kits: small, soft pictures that were saved as JPEG and enlarged."""

from dataclasses import dataclass

import cv2
import numpy as np

from megbench.core.frames import Frames
from megbench.core.spline import as_type
from megbench.faces.crop import resized


@dataclass(frozen=True)
class Look:
    """The processing of a picture before it is published.

    light: exponents of red, green and blue. Values below 1 brighten the picture; unlike a gain, an exponent does not
    overexpose skin. pixels: the height and width of the picture as filmed and saved. lens: the standard deviation of
    the blur, in these pixels. quality: the JPEG quality, 0 to 100.
    """

    light: tuple[float, float, float]
    lens: float
    pixels: int
    quality: int

    def filmed(self, picture: Frames) -> Frames:
        """Return a square uint8 RGB picture as the sensor records it, without noise: (pixels, pixels, 3) uint8."""
        lit = 255 * (picture.astype(np.float32) / 255) ** np.array(self.light, np.float32)
        scale = len(picture) / self.pixels
        blurred = cv2.GaussianBlur(lit, (0, 0), self.lens * scale)  # before shrinking, to avoid aliasing
        small = cv2.resize(blurred, (self.pixels, self.pixels), interpolation=cv2.INTER_AREA)
        return as_type(np.asarray(small, np.float32), np.uint8)

    def published(self, picture: Frames, size: int) -> Frames:
        """Return a filmed picture (pixels, pixels, 3) uint8 after JPEG compression, enlarged to (size, size, 3)."""
        return saved(picture, self.quality, size)

    def of(self, picture: Frames) -> Frames:
        """Return a square uint8 RGB picture as it would be published, without noise and in its original size."""
        return self.published(self.filmed(picture), len(picture))


def saved(picture: Frames, quality: int, size: int) -> Frames:
    """Return a picture (H, W, 3) uint8 RGB after JPEG compression at `quality`, enlarged to (size, size, 3)."""
    _, encoded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert decoded is not None, "it was encoded just now"
    return resized(np.ascontiguousarray(decoded[..., ::-1], np.uint8), size, size)
