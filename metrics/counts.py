"""Counts: what was there to be measured. Always run, so that a score over few frames cannot hide it."""

import itertools
from collections.abc import Sequence

import numpy as np
from megbench.core.clip import Cell
from megbench.core.contracts import Figure, Partial, Score
from megbench.faces.features import Seen, sampled_frames
from megbench.metrics.combine import mean_scores


class Counts:
    """Frames, frames with a face, and frames that merely repeat the one before."""

    name = "counts"
    version = "1-dlib-8frames"
    figures = (
        Figure("frames", "Frames", "", None, (0, None), "output", "Number of frames of the output."),
        Figure(
            "frames_of_driver",
            "Frames, of driver",
            "",
            None,
            (0, None),
            "driver",
            "Number of frames divided by the driver's; it must be 1.",
        ),
        Figure(
            "faces_found",
            "Faces found",
            "",
            True,
            (0, 1),
            "output",
            "Share of frames in which dlib finds a face (at most 8 frames looked at).",
        ),
        Figure(
            "repeated_frames",
            "Repeated frames",
            "",
            None,
            (0, 1),
            "output",
            "Share of frames that equal the frame before, pixel for pixel; a still face has 1.",
        ),
    )
    needs = ("frames", "landmarks")

    def measure(self, cell: Cell, seen: Seen) -> Partial:
        """Count one cell; never fails."""
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

    def combine(self, partials: Sequence[Partial]) -> list[Score]:
        """Means over the scored cells."""
        return mean_scores(self.figures, partials)
