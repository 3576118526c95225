"""Check whether a video of a face preserves the face's motion."""

from __future__ import annotations

import numpy as np

from megbench.core.frames import Frames, grey
from megbench.faces.flow import FlowFrom, box_around
from megbench.faces.landmarks import Grey, Points
from megbench.faces.motion import Float64s, facial_motion
from megbench.faces.regions import REGIONS, face_regions

# The displacement that a video may introduce: this share of the face's motion, or this many pixels in the worst region.
# Even high-quality videos reach the latter if there is little motion. Both are root mean squares over the frames.
# In eleven clips, rendered and recorded, crf 1 (commands/entry.py) stayed within one of the two; x264's usual crf 18
# displaced regions by .050 and .059 px where the only motion was .15 px in a cheek.
SHARE, PIXELS = 0.05, 0.045


def lost_motion(frames: Frames, shown: Frames, points: Points) -> str:
    """Return how far a video displaces the face's motion, or "" if it preserves the motion.

    frames, shown: (T, 256, 256, 3) uint8 RGB, before encoding and as shown by the video. points: the 68 landmarks in
    the first frame.

    The displacement is measured by the flow from each frame to the same frame in the video, and the face's motion by
    the flow from each frame to the first. Both are averaged over the regions of the face, without the head's motion.
    Both flows begin at the same picture, so that large motion, which flow may misestimate, does no harm.
    """
    before, after = grey(frames), grey(shown)
    first = np.broadcast_to(before[:1], before.shape)
    back, off = (_region_motion(before, later, points) for later in (first, after))
    moves, lost = (float(np.sqrt(np.nansum(track * track))) for track in (back, off))
    out_of_place = np.nan_to_num(np.sqrt(np.square(off).sum(-1).mean(0)))
    worst = int(np.argmax(out_of_place))
    if lost <= SHARE * moves or out_of_place[worst] <= PIXELS:
        return ""
    return f"the region {REGIONS[worst]} is {out_of_place[worst]:.3f} px out of place"


def _region_motion(before: Grey, after: Grey, points: Points) -> Float64s:
    """Return each region's motion between pairs of pictures, minus the head's: (T, 12, 2) pixels.

    It is NaN for a region outside the picture.
    """
    box = box_around(face_regions(points).face)
    motion = facial_motion(lambda k: FlowFrom(before[k], box)(after[k]), len(before), points)
    return np.asarray(motion.trajectory.astype(np.float64) * motion.eye_distance)
