"""True flow: the output's measured flow against the exact flow of the rendered answer, pixel by pixel.

Only rendered clips have an exact answer. Unlike motion agreement this is absolute: strength counts, and so does what
the head does.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from core.clip import Cell, KnownMotion
from core.contracts import Figure, Partial, Score
from core.errors import CellFailed
from faces.field import sample
from faces.regions import GROUPS, FaceRegions, Mask, face_regions
from faces.seen import Seen, SeenClip
from metrics.combine import mean_scores

Rows = npt.NDArray[np.float64]


def _pixels(name: str, title: str, description: str) -> Figure:
    return Figure(name, title, "px", False, (0, None), "truth", description)


class TrueFlow:
    """End-point error of the output's flow (DIS, every frame) against the exact flow of the truth."""

    name = "true_flow"
    version = "1"
    figures = (
        _pixels(
            "true_flow_error",
            "True-flow error",
            "Mean distance over the face between where the output's measured flow and the exact flow carry a pixel of"
            " frame 0, over all later frames.",
        ),
        Figure(
            "true_flow_error_relative",
            "True-flow error, relative",
            "",
            False,
            (0, None),
            "truth",
            "True-flow error divided by the mean length of the exact flow; a still face has 1.",
        ),
        _pixels(
            "landmark_error",
            "Landmark error",
            "Mean distance between where the output's measured flow carries the 68 known landmarks of frame 0 and where"
            " they truly go, over all later frames.",
        ),
        *(
            _pixels(f"true_flow_error_{group}", f"True-flow error, {group}", f"As above, {group} only.")
            for group in GROUPS
        ),
    )
    needs = ("frames", "flow")

    def measure(self, cell: Cell, seen: Seen) -> Partial:
        """Compare one cell; unavailable where the exact motion is not known."""
        known = cell.truth.known() if cell.truth else None
        if known is None:
            return Partial("unavailable", "no exact motion: the clips of this cell are recordings")
        frames = len(known.landmarks)
        if len(seen.output.frames) != frames:
            raise CellFailed(f"output has {len(seen.output.frames)} frames, its truth {frames}")
        if frames < 2:
            return Partial("skipped", "clip too short: 1 frame, 2 are needed")
        areas = _areas(face_regions(known.landmarks[0].astype(np.float64)))
        rows = np.array([_frame_errors(seen.output, known, areas, k) for k in range(1, frames)])  # (T - 1, areas + 2)
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

    def combine(self, partials: Sequence[Partial]) -> list[Score]:
        """Means over the scored cells."""
        return mean_scores(self.figures, partials)


def _areas(regions: FaceRegions) -> list[Mask]:
    """The face, then each region group."""
    groups = [np.asarray(regions.masks[list(members)].any(0), bool) for members in GROUPS.values()]
    return [regions.face, *groups]


def _frame_errors(output: SeenClip, known: KnownMotion, areas: list[Mask], k: int) -> list[float]:
    """Mean error over the face, of landmarks, mean length of the exact flow, then errors per region group; pixels."""
    measured, exact = output.flow(k), known.flow(k)
    errors = np.linalg.norm(measured - exact, axis=2)  # (256, 256)
    carried = known.landmarks[0] + sample(measured, known.landmarks[0])  # (68, 2)
    landmark = np.linalg.norm(carried - known.landmarks[k], axis=1).mean()
    length = np.linalg.norm(exact[areas[0]], axis=1).mean()
    face, *groups = (float(errors[area].mean()) for area in areas)
    return [face, float(landmark), float(length), *groups]
