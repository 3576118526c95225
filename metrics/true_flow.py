"""True flow: the output's measured flow against the exact flow of the rendered truth, pixel by pixel.

The exact flow is known only for rendered clips. Unlike motion agreement, this error is absolute: strength counts, and
so does head motion.
"""

import functools

import numpy as np
import numpy.typing as npt

from megbench.core.clip import Cell, Clip, Float32s, KnownMotion, affine_points, pixel_grid
from megbench.core.contracts import Figure, Partial
from megbench.core.errors import CellFailed
from megbench.core.figures import MOTION_TRUTH
from megbench.faces.features import Seen, SeenClip
from megbench.faces.field import sample
from megbench.faces.motion import mean_over
from megbench.faces.regions import GROUPS, Mask, face_regions

Rows = npt.NDArray[np.float64]


def _pixels(name: str, title: str, description: str, short: str = "") -> Figure:
    """Return a figure in pixels; `short` is its title in the leaderboard, "" to list it only among all figures."""
    return Figure(
        name,
        title,
        target="truth",
        ideal=0,
        bounds=(0, None),
        unit="px",
        short=short,
        group=MOTION_TRUTH if short else "",
        formula="mean |measured - exact|",
        description=description,
    )


class TrueFlow:
    """End-point error of the output's flow against the exact ground-truth flow, over every frame after the first."""

    name = "true_flow"
    version = "2"
    figures = (
        _pixels(
            "true_flow_error",
            "True-flow error",
            "Mean distance between the points to which the output's measured flow and the exact flow carry a pixel of"
            " frame 0, over all pixels of the face and all later frames.",
            "flow error px",
        ),
        Figure(
            "true_flow_error_relative",
            "True-flow error, relative",
            target="truth",
            ideal=0,
            still=1,
            bounds=(0, None),
            formula="mean |measured - exact| / mean |exact|",
            description="True-flow error divided by the mean length of the exact flow; a still face scores 1.",
        ),
        _pixels(
            "landmark_error",
            "Landmark error",
            "Mean distance between the points to which the output's measured flow carries the 68 known landmarks of"
            " frame 0 and their true positions, over all later frames.",
            "landmarks px",
        ),
        *(
            _pixels(f"true_flow_error_{group}", f"True-flow error, {group}", f"True-flow error in the {group} alone.")
            for group in GROUPS
        ),
    )

    def measure(self, cell: Cell, seen: Seen) -> Partial:
        """Return the figures of one cell; they are unavailable if the exact motion is not known."""
        answer = _answer(cell.truth) if cell.truth else None
        if answer is None:
            return Partial("unavailable", "no exact motion: the clips of this cell are recordings")
        frames = len(answer.landmarks)
        if len(seen.output.frames) != frames:
            raise CellFailed(f"output and truth differ in length: {len(seen.output.frames)} and {frames} frames")
        if frames < 2:
            return Partial("skipped", "clip too short: it has 1 of the 2 frames needed")
        rows = answer.errors(seen.output)
        error, landmark, length, *groups = (float(value) for value in rows.mean(0))
        return Partial(
            "ok",
            values={
                "true_flow_error": error,
                "true_flow_error_relative": error / length if length > 0 else None,
                "landmark_error": landmark,
                **{f"true_flow_error_{group}": value for group, value in zip(GROUPS, groups, strict=True)},
            },
            series={"true_flow_error": [0.0, *rows[:, 0].round(4).tolist()]},
        )


class _Answer:
    """The exact flow of a truth's face, prepared once for comparison with several outputs.

    landmarks: (T, 68, 2) float32, pixels. The face and its groups are located by the landmarks of frame 0.
    """

    def __init__(self, known: KnownMotion) -> None:
        self.landmarks = known.landmarks
        regions = face_regions(known.landmarks[0].astype(np.float64))
        groups = [regions.masks[list(members)].any(0) for members in GROUPS.values()]
        areas = np.stack([regions.face, *groups])
        self._area: Mask = np.asarray(areas.any(0))
        self._means = mean_over(areas[:, self._area])
        at, bases = pixel_grid()[self._area], known.bases[:, self._area].astype(np.float32)
        self._places = np.flatnonzero(self._area)
        self._flows = []  # flow of the area's N pixels in each later frame, (N, 2)
        for intensity, head in zip(known.au_intensity[1:], known.head[1:], strict=True):
            moved = at + np.tensordot(intensity, bases, axes=1)
            self._flows.append(np.asarray(affine_points(moved, head) - at, np.float32))
        self._lengths = [(self._means @ _lengths(flow))[0] for flow in self._flows]

    def errors(self, output: SeenClip) -> Rows:
        """Return one row of values in pixels for each later frame.

        The values are the error over the face, the error of the landmarks, the length of the exact flow and the error
        of each group.
        """
        measured, rest = output.flow_over(self._area), self.landmarks[0]
        rows = []
        for k, (exact, length) in enumerate(zip(self._flows, self._lengths, strict=True), start=1):
            flow = measured(k)
            face, *parts = self._means @ _lengths(flow.reshape(-1, 2)[self._places] - exact)
            carried = rest + sample(flow, rest)  # (68, 2)
            landmark = np.linalg.norm(carried - self.landmarks[k], axis=1).mean()
            rows.append([face, landmark, length, *parts])
        return np.array(rows)


def _lengths(flow: Float32s) -> Float32s:
    """Return the lengths of vectors (N, 2)."""
    x, y = flow[:, 0], flow[:, 1]  # NumPy sums rows of two numbers slowly
    return np.asarray(np.sqrt(x * x + y * y), np.float32)


@functools.lru_cache(maxsize=1)  # all outputs for a cell are scored one after another
def _answer(truth: Clip) -> _Answer | None:
    known = truth.known()
    return None if known is None else _Answer(known)
