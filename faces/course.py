"""The time course of facial motion: one curve for the whole face, and the times at which it rises, peaks and falls.

Eyelids are left out because a blink outweighs a micro-expression. Times are in frames, counted from 0 and interpolated
linearly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from megbench.core.clip import Float32s
from megbench.core.detections import Interval
from megbench.faces.regions import WITHOUT_EYES

Curve = npt.NDArray[np.float64]

# Motion is smoothed over five frames before its magnitude is computed, because magnitudes of noise would not cancel.
SMOOTHER = np.array([1, 4, 6, 4, 1]) / 16
# A face whose curve stays at or below this value, in eye distances, does not move. Camera noise of sigma 2 on eleven
# still rendered faces reaches 0.00039; the demo's drivers reach 0.0093 to 0.0171.
QUIET = 0.001
# The onset is where the curve first rises to this share of its peak. Motion in two steps often pauses near one half;
# with a share of one half, the onset would jump from one step to the other.
RISEN = 0.2
# The offset is where the curve last falls below this share; clips in databases end long before the face is back at
# rest.
FALLEN = 0.7
# A spotted interval extends from the first to the last frame above this share (MEGC 2021).
SPOTTED = 0.5


def motion_curve(trajectory: Float32s) -> Curve:
    """Return how far a face has moved since frame 0, (T,) in eye distances: the root mean square over its regions.

    trajectory: (T, 12, 2), as in megbench.faces.motion.FacialMotion; regions that it lacks (NaN) are left out.
    """
    seen = trajectory[:, WITHOUT_EYES].astype(np.float64)
    seen = seen[:, ~np.isnan(seen).any((0, 2))]
    if not seen.size:
        return np.zeros(len(trajectory))
    smooth = scipy.ndimage.correlate1d(seen, SMOOTHER, axis=0, mode="nearest")
    return np.asarray(np.sqrt(np.square(smooth).sum(2).mean(1)))


def moves(curve: Curve) -> bool:
    """Return whether a face's motion exceeds the noise."""
    return len(curve) > 0 and bool(curve.max() > QUIET)


@dataclass(frozen=True)
class Course:
    """The times, in frames, at which a face begins to move, reaches its apex and moves back."""

    onset: float
    apex: float
    offset: float

    @property
    def rise(self) -> float:
        """The number of frames from onset to apex."""
        return self.apex - self.onset

    @property
    def fall(self) -> float:
        """The number of frames from apex to offset."""
        return self.offset - self.apex

    @property
    def asymmetry(self) -> float:
        """The rise as a share of the sum of rise and fall, 0 to 1; one half if both are 0."""
        both = self.rise + self.fall
        return self.rise / both if both > 0 else 0.5


def course(curve: Curve) -> Course | None:
    """Return the times at which a motion curve (T,) rises, peaks and falls, or None if the face does not move.

    onset: where the curve first reaches 20 % of its peak.
    offset: where the curve last falls below 70 % of its peak, or the last frame if it never does.
    apex: the centre of mass of the part above 70 %, because the position of the maximum is unstable on a plateau.

    >>> found = course(np.array([0, 1, 2, 3, 2, 1, 0]))
    >>> round(found.onset, 3), round(found.apex, 3), round(found.offset, 3)
    (0.6, 3.0, 3.9)
    """
    if not moves(curve):
        return None
    share = curve / curve.max()
    top = np.clip(share - FALLEN, 0, None)
    onset = _first_above(share, RISEN)
    offset = len(share) - 1 - _first_above(share[::-1], FALLEN)
    apex = float(top @ np.arange(len(top)) / top.sum())
    return Course(onset, min(apex, offset), offset)  # rounding may put the apex slightly after the offset


def _first_above(share: Curve, least: float) -> float:
    """Return where a curve first reaches `least`, interpolated linearly between frames; 0 if it begins above that."""
    k = int(np.argmax(share >= least))
    return 0.0 if k == 0 else k - float((share[k] - least) / (share[k] - share[k - 1]))


def interval(curve: Curve) -> Interval | None:
    """Return the first and last frames in which a motion curve (T,) exceeds half its peak, or None if nothing moves.

    >>> interval(np.array([0, 1, 2, 3, 2, 1, 0]))
    (2, 4)
    """
    if not moves(curve):
        return None
    frames = np.flatnonzero(curve > SPOTTED * curve.max())
    return int(frames[0]), int(frames[-1])
