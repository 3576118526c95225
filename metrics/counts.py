"""Counts of the measurable frames and faces. They are always computed, so that scores over few frames are noticed."""

import itertools

import numpy as np

from megbench.core.clip import Cell
from megbench.core.contracts import Figure, Partial
from megbench.core.figures import PICTURE
from megbench.faces.features import Seen, sampled_frames


class Counts:
    """Frames, frames with a face, and frames that merely repeat the previous one."""

    name = "counts"
    version = "1-dlib-8frames"
    figures = (
        Figure(
            "frames",
            "Frames",
            target="output",
            ideal=None,
            bounds=(0, None),
            description="Number of frames in the output.",
        ),
        Figure(
            "frames_of_driver",
            "Frames, relative to driver",
            target="driver",
            ideal=1,
            still=1,
            bounds=(0, None),
            description="Number of frames divided by the driver's; it must be 1.",
        ),
        Figure(
            "faces_found",
            "Faces found",
            target="output",
            ideal=1,
            still=1,
            bounds=(0, 1),
            short="faces found",
            group=PICTURE,
            order=10,
            description="Share of frames in which dlib finds a face (at most 8 frames are checked).",
        ),
        Figure(
            "repeated_frames",
            "Repeated frames",
            target="output",
            ideal=None,
            still=1,
            bounds=(0, 1),
            description="Share of frames that are identical to the previous frame, pixel for pixel; a still face scores"
            " 1.",
        ),
    )

    def measure(self, cell: Cell, seen: Seen) -> Partial:
        """Return the counts of one cell. This metric never fails."""
        frames = seen.output.frames
        faces = seen.output.landmarks_at(sampled_frames(len(frames), cell.driver.apex_frame))
        repeats = [np.array_equal(a, b) for a, b in itertools.pairwise(frames)]
        return Partial(
            "ok",
            values={
                "frames": float(len(frames)),
                "frames_of_driver": len(frames) / cell.driver.n_frames,
                "faces_found": float(np.mean([face is not None for face in faces])),
                "repeated_frames": float(np.mean(repeats)) if repeats else None,
            },
        )
