"""Sharpness: does the output keep the template's fine detail?"""

import functools
from collections.abc import Sequence

import cv2
import numpy as np
from megbench.core.clip import Cell
from megbench.core.contracts import Figure, Partial, Score
from megbench.faces.features import Seen, SeenClip
from megbench.faces.landmarks import Grey
from megbench.faces.regions import Mask, face_regions
from megbench.metrics.combine import mean_scores


class Sharpness:
    """Variance of the Laplacian (luma) in the face, relative to the template's, the driver's and the truth's."""

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
        Figure(
            "sharpness_driver",
            "Sharpness, of driver",
            "",
            None,
            (0, None),
            "driver",
            "The same divided by the driver's own, in the driver's face. A template may be much softer than a driver:"
            " an output that is grainy beside the one need not be beside the other.",
        ),
        Figure(
            "template_sharpness",
            "Sharpness of the template",
            "grey levels squared",
            None,
            (0, None),
            "template",
            "Variance of the Laplacian in the template's face: what outputs are divided by. A picture enlarged from 128"
            " pixels has about 20, a good portrait 100 to 1,000.",
        ),
        Figure(
            "driver_sharpness",
            "Sharpness of the driver",
            "grey levels squared",
            None,
            (0, None),
            "driver",
            "The same of the driver's first frame in its face, sensor noise included.",
        ),
    )
    needs = ("frames", "landmarks")

    def measure(self, cell: Cell, seen: Seen) -> Partial:
        """Measure one cell, in the template's face throughout. CellFailed without a face in template or driver."""
        face = face_regions(seen.template.landmarks).face
        output, template = sharpness(seen.output.grey, face), sharpness(seen.template.grey, face)
        driver = sharpness(seen.driver.grey[:1], face_regions(seen.driver.landmarks).face)
        values = {"sharpness_template": _ratio(output, template), "sharpness_driver": _ratio(output, driver)}
        values |= {"template_sharpness": template, "driver_sharpness": driver}
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
