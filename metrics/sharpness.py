"""Sharpness: does the output keep the template's fine detail?"""

import functools

import cv2
import numpy as np

from megbench.core.clip import Cell
from megbench.core.contracts import Figure, Partial
from megbench.core.figures import PICTURE
from megbench.faces.features import Seen, SeenClip
from megbench.faces.landmarks import Grey
from megbench.faces.regions import Mask, face_regions


class Sharpness:
    """Variance of the Laplacian (luma) in the face, relative to the template's, the driver's and the truth's."""

    name = "sharpness"
    version = "1-luma"
    figures = (
        Figure(
            "sharpness_template",
            "Sharpness, relative to template",
            target="template",
            ideal=1,
            still=1,
            bounds=(0, None),
            short="sharp./templ.",
            group=PICTURE,
            order=3,
            brief=True,
            formula="mean over frames of var(Laplacian(I[t])) / var(Laplacian(template))",
            source="Pech-Pacheco et al. 2000",
            description="Variance of the Laplacian in the face, mean over frames, divided by the template's; 1 is"
            " equally sharp, less is softer, and more means noise or ringing.",
        ),
        Figure(
            "sharpness_truth",
            "Sharpness, relative to truth",
            target="truth",
            ideal=1,
            bounds=(0, None),
            short="sharpness",
            group=PICTURE,
            order=2,
            description="Variance of the Laplacian in the face divided by the truth's.",
        ),
        Figure(
            "sharpness_driver",
            "Sharpness, relative to driver",
            target="driver",
            ideal=None,
            bounds=(0, None),
            short="sharp./driver",
            group=PICTURE,
            order=4,
            description="Variance of the Laplacian in the face, divided by the variance in the driver's own face. A"
            " template may be much softer than a driver, so an output can be grainy compared with one but not with the"
            " other.",
        ),
        Figure(
            "template_sharpness",
            "Sharpness of the template",
            target="template",
            ideal=None,
            bounds=(0, None),
            unit="grey levels squared",
            description="Variance of the Laplacian in the template's face, by which the output's variance is divided."
            " It is about 20 for a picture enlarged from 128 pixels, and 100 to 1,000 for a good portrait.",
        ),
        Figure(
            "driver_sharpness",
            "Sharpness of the driver",
            target="driver",
            ideal=None,
            bounds=(0, None),
            unit="grey levels squared",
            description="Variance of the Laplacian in the face of the driver's first frame, sensor noise included.",
        ),
    )

    def measure(self, cell: Cell, seen: Seen) -> Partial:
        """Return the figures of one cell, measured in the template's face.

        Raise CellFailed if the template or the driver shows no face.
        """
        face = face_regions(seen.template.landmarks).face
        output, template = sharpness(seen.output.grey, face), sharpness(seen.template.grey, face)
        driver = sharpness(seen.driver.grey[:1], face_regions(seen.driver.landmarks).face)
        values = {"sharpness_template": _ratio(output, template), "sharpness_driver": _ratio(output, driver)}
        values |= {"template_sharpness": template, "driver_sharpness": driver}
        if seen.truth is None:
            return Partial("ok", "no truth in this cell", values)
        truth = _of_truth(seen.truth, face.tobytes())
        return Partial("ok", values={**values, "sharpness_truth": _ratio(output, truth)})


def sharpness(frames: Grey, face: Mask) -> float:
    """Return the mean over frames (T, H, W) uint8 of the Laplacian's variance in the face, in grey levels squared.

    >>> everywhere = np.ones((4, 4), bool)
    >>> sharpness(np.zeros((1, 4, 4), np.uint8), everywhere)
    0.0
    >>> sharpness(np.tile(np.array([0, 10], np.uint8), (1, 4, 2)), everywhere)
    400.0
    """
    # The Laplacian of uint8 values is an integer from -1020 to 1020, for which 16 bits suffice.
    return float(np.mean([cv2.Laplacian(frame, cv2.CV_16S)[face].var(dtype=np.float64) for frame in frames]))


@functools.lru_cache(maxsize=1)  # all outputs for a cell are scored one after another
def _of_truth(truth: SeenClip, face: bytes) -> float:
    return sharpness(truth.grey, np.frombuffer(face, np.bool_).reshape(truth.grey.shape[1:]))


def _ratio(value: float, of: float) -> float | None:
    return value / of if of > 0 else None
