"""Whether a video of a face still has the face's motion in it."""

from __future__ import annotations

import numpy as np

from megbench.core.frames import Frames, grey
from megbench.faces.flow import FlowFrom, box_around
from megbench.faces.landmarks import Points
from megbench.faces.motion import Float64s, facial_motion
from megbench.faces.regions import REGIONS, face_regions

# What a video may change of a region's motion, as a root mean square over frames: so many pixels, or this share of it.
# On rendered faces with peaks of .05 to .6 px, with camera noise and without, crf 1 changes at most .025 px; x264's
# usual settings change .035 px and more at crf 12, .05 and more at crf 18.
PIXELS, SHARE = 0.03, 0.05


def lost_motion(frames: Frames, shown: Frames, points: Points) -> str:
    """Return in which region of a face a video changes most of the motion, and by how much; "" if it keeps it all.

    frames, shown: (T, 256, 256, 3) uint8 RGB, before and after. points: 68 landmarks in their first frame. Head motion
    is taken out of both. A region keeps its motion if at most .03 px or 5 % of it is another (root mean squares over
    the frames).
    """
    own, seen = _region_motion(frames, points), _region_motion(shown, points)
    moves, lost = (np.sqrt(np.square(track).sum(-1).mean(0)) for track in (own, seen - own))
    excess = np.nan_to_num(lost / np.maximum(PIXELS, SHARE * moves))
    worst = int(np.argmax(excess))
    if excess[worst] <= 1:
        return ""
    return (
        f"the region {REGIONS[worst]} moves otherwise by {lost[worst]:.3f} px, its own motion is {moves[worst]:.3f} px"
    )


def _region_motion(frames: Frames, points: Points) -> Float64s:
    """Motion of each region from frame 0, head motion removed: (T, 12, 2) pixels, NaN outside the picture."""
    luma = grey(frames)
    follow = FlowFrom(luma[0], box_around(face_regions(points).face))
    motion = facial_motion(lambda frame: follow(luma[frame]), len(luma), points)
    return np.asarray(motion.trajectory.astype(np.float64) * motion.eye_distance)
