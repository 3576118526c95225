"""The performance of a person in a clip: action units over time, a personal manner, and small head motion."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from megbench.core.clip import Float32s
from megbench.faces.facs import Points
from megbench.faces.field import similarity

Times = npt.NDArray[np.float64]

# The number of frames between the turning points of the head's drift.
HEAD_PERIOD = 12
# The rotation (in radians) and the relative growth that accompany a shift of one pixel.
HEAD_TURN, HEAD_SCALE = 0.004, 0.002
# The intensity above which motion is visible; it determines onset and offset.
SEEN = 0.05


@dataclass(frozen=True)
class Track:
    """One action unit: key frames (frame, intensity), interpolated smoothly and without overshoot."""

    unit: str
    keys: tuple[tuple[float, float], ...]

    def at(self, times: Times) -> Times:
        """Return the intensity at given times, in frames; it is constant before the first key and after the last."""
        frames, values = np.array(self.keys, np.float64).T
        return np.asarray(scipy.interpolate.PchipInterpolator(frames, values)(np.clip(times, frames[0], frames[-1])))


@dataclass(frozen=True)
class Performance:
    """The motion of one person in one clip: a track for each action unit that moves, and a drift of the head.

    manner: the seed of the person's basis and the head's path. head_px: the approximate drift of the head, in pixels.
    """

    tracks: tuple[Track, ...]
    n_frames: int
    manner: int
    head_px: float

    @property
    def units(self) -> tuple[str, ...]:
        """The action units that move, in the order of the tracks."""
        return tuple(track.unit for track in self.tracks)

    @property
    def coded(self) -> str:
        """The action units as a coder would write them, such as "4+7+9"."""
        return "+".join(str(number) for number in sorted(int(unit[2:]) for unit in self.units))

    def intensity(self, times: Times) -> Float32s:
        """Return the intensities (len(times), K)."""
        return np.stack([track.at(times) for track in self.tracks], axis=1).astype(np.float32)

    def head(self, times: Times, centre: Points) -> Float32s:
        """Return the head's similarity about `centre` at each time: (len(times), 2, 3). Until time 1 the head rests."""
        rng = np.random.default_rng([self.manner, 1])
        frames = np.r_[0, np.arange(1, self.n_frames + HEAD_PERIOD, HEAD_PERIOD)]  # at rest until frame 1
        steps = np.r_[np.zeros((2, 4)), rng.normal(0, self.head_px / 2, (len(frames) - 2, 4))]
        x, y, turn, growth = scipy.interpolate.PchipInterpolator(frames, steps.cumsum(0))(times).T
        return np.stack(
            [
                similarity(1 + HEAD_SCALE * g, HEAD_TURN * t, (across, down), centre)
                for across, down, t, g in zip(x, y, turn, growth, strict=True)
            ]
        )

    def phases(self) -> tuple[int, int, int]:
        """Return the onset, apex and offset: the frames with the first, the strongest and the last visible motion.

        The strength of the motion in a frame is the Euclidean norm of the intensities.
        """
        intensity = self.intensity(np.arange(self.n_frames, dtype=np.float64))
        strength = np.linalg.norm(intensity, axis=1)
        seen = np.flatnonzero(strength > SEEN)
        return int(seen[0]), int(strength.argmax()), int(seen[-1])
