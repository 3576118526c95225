"""Whether a video of a face still has the face's motion in it."""

from __future__ import annotations

import numpy as np

from megbench.core.frames import Frames, grey
from megbench.faces.flow import FlowFrom, box_around
from megbench.faces.landmarks import Grey, Points
from megbench.faces.motion import Float64s, facial_motion
from megbench.faces.regions import REGIONS, face_regions

# What a video may have out of place: such a share of the face's motion, or so many pixels in the worst region, which is
# what fine videos of pictures with little motion reach. Root mean squares over the frames. In eleven clips, rendered
# and recorded, crf 1 (commands/entry.py) stayed within one of the two; x264's usual crf 18 had .050 and .059 px out of
# place where .15 px of a cheek were all that moved.
SHARE, PIXELS = 0.05, 0.045


def lost_motion(frames: Frames, shown: Frames, points: Points) -> str:
    """Return how much of a face's motion a video has out of place; "" if it keeps it.

    frames, shown: (T, 256, 256, 3) uint8 RGB, before and after. points: 68 landmarks in their first frame.

    The flow from each frame to what the video shows of it says what is out of place; that back to the first frame, how
    the face has moved; both over the regions of the face, without the head's motion. Both begin at one picture, so that
    large motion, which flow may misread, does no harm.
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
    """Motion of each region from each picture to its partner, head motion removed: (T, 12, 2) pixels, NaN outside."""
    box = box_around(face_regions(points).face)
    motion = facial_motion(lambda k: FlowFrom(before[k], box)(after[k]), len(before), points)
    return np.asarray(motion.trajectory.astype(np.float64) * motion.eye_distance)
