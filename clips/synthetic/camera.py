"""The camera: sensor noise, grey or colour, motion blur from long exposures, and the look of published frames."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from megbench.clips.synthetic.look import Look
from megbench.core.frames import Frames, grey

# Standard deviation of the sensor noise, in grey levels of 255.
NOISE = 2.0


@dataclass(frozen=True)
class Camera:
    """A recording style.

    exposures: the moments, in frames, whose pictures are averaged into one frame (motion blur). look: the look of
    published frames, or None for frames as filmed.
    """

    colour: Literal["grey", "rgb"] = "rgb"
    fps: float = 200.0
    noise: float = NOISE
    exposures: tuple[float, ...] = (0.0,)
    look: Look | None = None

    def record(self, pictures: Frames, rng: np.random.Generator) -> Frames:
        """Return pictures uint8 (T, 256, 256, 3) RGB as this camera records them.

        The three channels of a grey camera are equal.
        """
        if self.look:
            pictures, size = np.stack([self.look.filmed(picture) for picture in pictures]), pictures.shape[1]
        grey_camera = self.colour == "grey"
        signal = (grey(pictures)[..., None] if grey_camera else pictures).astype(np.float32)
        noisy = signal + self.noise * rng.standard_normal(signal.shape, dtype=np.float32)
        frames = np.clip(np.round(noisy), 0, 255).astype(np.uint8)
        frames = np.repeat(frames, 3, axis=-1) if grey_camera else frames
        return np.stack([self.look.published(frame, size) for frame in frames]) if self.look else frames
