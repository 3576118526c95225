"""Average keypoint distance (Siarohin et al. 2019), against the truth."""

from collections.abc import Sequence

import numpy as np

from core.clip import Cell
from core.contracts import Figure, Partial, Score
from core.errors import CellFailed
from faces.seen import Seen, sampled_frames
from metrics.combine import mean_scores


class Akd:
    """Mean absolute difference of dlib's 68 landmarks in output and truth, on at most 8 frames of a clip."""

    name = "akd"
    version = "1-dlib-68-8frames"
    figures = (
        Figure(
            "akd",
            "AKD",
            "px",
            False,
            (0, None),
            "truth",
            "Mean absolute difference of landmark coordinates (dlib-68, at most 8 frames) from the truth's; dlib gives"
            " whole pixels, so a micro-expression is near its noise of about 2 px.",
        ),
    )
    needs = ("frames", "landmarks")

    def measure(self, cell: Cell, seen: Seen) -> Partial:
        """Compare one cell; frames without a face in either are left out. CellFailed if none is left."""
        if seen.truth is None:
            return Partial("unavailable", "no truth in this cell")
        n_output, n_truth = len(seen.output.frames), len(seen.truth.frames)
        if n_output != n_truth:
            raise CellFailed(f"output has {n_output} frames, its truth {n_truth}")
        indices = sampled_frames(n_truth, cell.driver.apex_frame)
        pairs = zip(seen.output.landmarks_at(indices), seen.truth.landmarks_at(indices), strict=True)
        distances = [np.abs(a - b).mean() for a, b in pairs if a is not None and b is not None]
        if not distances:
            raise CellFailed("no face in output")
        return Partial("ok", values={"akd": float(np.mean(distances))})

    def combine(self, partials: Sequence[Partial]) -> list[Score]:
        """Means over the scored cells."""
        return mean_scores(self.figures, partials)
