"""Sharpness: does the output keep the template's fine detail?"""

import functools
from collections.abc import Sequence

import cv2
import numpy as np

from core.clip import Cell
from core.contracts import Figure, Partial, Score
from faces.landmarks import Grey
from faces.regions import Mask, face_regions
from faces.seen import Seen, SeenClip
from metrics.combine import mean_scores


class Sharpness:
    """Variance of the Laplacian (luma, every frame) in the face, relative to the template's and the truth's."""

    name = "sharpness"
    version = "1-luma"
    figures = (
        Figure(
            "sharpness_template",
            "Sharpness, of template",
            "",
            None,
            (0, None),
            "template",
            "Variance of the Laplacian in the face, mean over frames, divided by the template's; 1 is as sharp, less is"
            " softer, more is noise or ringing.",
        ),
        Figure(
            "sharpness_truth",
            "Sharpness, of truth",
            "",
            None,
            (0, None),
            "truth",
            "The same divided by the truth's.",
        ),
    )
    needs = ("frames", "landmarks")

    def measure(self, cell: Cell, seen: Seen) -> Partial:
        """Measure one cell, in the template's face throughout. CellFailed without a face in the template."""
        face = face_regions(seen.template.landmarks).face
        output = sharpness(seen.output.grey, face)
        values = {"sharpness_template": _ratio(output, sharpness(seen.template.grey, face))}
        if seen.truth is None:
            return Partial("ok", "no truth in this cell", values)
        truth = _of_truth(seen.truth, face.tobytes())
        return Partial("ok", values={**values, "sharpness_truth": _ratio(output, truth)})

    def combine(self, partials: Sequence[Partial]) -> list[Score]:
        """Means over the scored cells."""
        return mean_scores(self.figures, partials)


def sharpness(frames: Grey, face: Mask) -> float:
    """Mean over frames (T, 256, 256) uint8 of the Laplacian's variance in the face."""
    # From -1020 to 1020 in whole numbers.
    return float(np.mean([cv2.Laplacian(frame, cv2.CV_16S)[face].var(dtype=np.float64) for frame in frames]))


@functools.lru_cache(maxsize=1)  # the rows of a cell follow each other
def _of_truth(truth: SeenClip, face: bytes) -> float:
    return sharpness(truth.grey, np.frombuffer(face, np.bool_).reshape(truth.grey.shape[1:]))


def _ratio(value: float, of: float) -> float | None:
    return value / of if of > 0 else None
