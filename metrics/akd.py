"""Average keypoint distance (Siarohin et al. 2019) between outputs and truth, and between frame 0 and the template."""

import numpy as np

from megbench.core.clip import Cell
from megbench.core.contracts import Figure, Partial
from megbench.core.errors import CellFailed
from megbench.faces.features import Seen, sampled_frames
from megbench.faces.landmarks import Points


class Akd:
    """Mean difference between dlib's 68 landmarks and those of the truth (at most 8 frames) or template (frame 0)."""

    name = "akd"
    version = "2-dlib-68-8frames"
    figures = (
        Figure(
            "akd",
            "AKD",
            target="truth",
            ideal=0,
            bounds=(0, None),
            unit="px",
            formula="mean |p - q| over frames, landmarks and x, y",
            source="Siarohin et al. 2019",
            description="Mean absolute difference between the landmark coordinates of output and truth (dlib-68, at"
            " most 8 frames). dlib returns whole pixels with noise of about 2 px, which is close to the size of a"
            " micro-expression.",
        ),
        Figure(
            "frame0_akd_template",
            "AKD of frame 0",
            target="template",
            ideal=0,
            still=0,
            bounds=(0, None),
            unit="px",
            formula="mean |p - q| over landmarks and x, y",
            description="Mean absolute difference between the landmark coordinates (dlib-68) of the output's first"
            " frame and the template.",
        ),
    )

    def measure(self, cell: Cell, seen: Seen) -> Partial:
        """Return the distances in one cell, leaving out frames in which either face is not found.

        Raise CellFailed if no frame is left or if the output and the truth differ in length.
        """
        if seen.truth is None:
            first = _distance(seen.output.landmarks, seen.template.landmarks)
            return Partial("ok", "no truth in this cell", {"frame0_akd_template": first})
        n_output, n_truth = len(seen.output.frames), len(seen.truth.frames)
        if n_output != n_truth:
            raise CellFailed(f"output and truth differ in length: {n_output} and {n_truth} frames")
        indices = sampled_frames(n_truth, cell.driver.apex_frame)
        pairs = zip(seen.output.landmarks_at(indices), seen.truth.landmarks_at(indices), strict=True)
        distances = [distance for a, b in pairs if (distance := _distance(a, b)) is not None]
        if not distances:
            raise CellFailed("no frontal face found in output")
        first = _distance(seen.output.landmarks_at([0])[0], seen.template.landmarks_at([0])[0])
        return Partial(
            "ok",
            values={"akd": float(np.mean(distances)), "frame0_akd_template": first},
            reasons={}
            if first is not None
            else {"frame0_akd_template": "no face in the output's frame 0 or in the template"},
        )


def _distance(a: Points | None, b: Points | None) -> float | None:
    """Return the mean absolute difference of landmarks (68, 2) in pixels, or None if either face was not found."""
    return None if a is None or b is None else float(np.abs(a - b).mean())
