"""True flow: the output's measured flow against the exact flow of the rendered answer, pixel by pixel.

Only rendered clips have an exact answer. Unlike motion agreement this is absolute: strength counts, and so does what
the head does.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from core.clip import Cell, Floats, KnownMotion, affine_points, pixel_grid
from core.contracts import Figure, Partial, Score
from core.errors import CellFailed
from faces.field import sample
from faces.motion import mean_over
from faces.regions import GROUPS, Mask, face_regions
from faces.seen import Seen, SeenClip
from metrics.combine import mean_scores

Rows = npt.NDArray[np.float64]


def _pixels(name: str, title: str, description: str) -> Figure:
    return Figure(name, title, "px", False, (0, None), "truth", description)


class TrueFlow:
    """End-point error of the output's flow (every frame) against the exact flow of the truth."""

    name = "true_flow"
    version = "2"
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
        rows = _errors(seen.output, known)
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


def _errors(output: SeenClip, known: KnownMotion) -> Rows:
    """A row per later frame: error over the face, of landmarks, length of the exact flow, errors per group; pixels.

    The face and its groups lie where the truth's landmarks of frame 0 are.
    """
    rest = known.landmarks[0]
    regions = face_regions(rest.astype(np.float64))
    groups = [regions.masks[list(members)].any(0) for members in GROUPS.values()]
    areas = np.stack([regions.face, *groups])
    seen: Mask = np.asarray(areas.any(0))
    means = mean_over(areas[:, seen])
    exact, measured = _exact(known, seen), output.flow_over(seen)
    rows = []
    for k in range(1, len(known.landmarks)):
        flow, wanted = measured(k), exact(k)
        face, *parts = means @ np.linalg.norm(flow[seen] - wanted, axis=1)
        length = means[0] @ np.linalg.norm(wanted, axis=1)
        carried = rest + sample(flow, rest)  # (68, 2)
        landmark = np.linalg.norm(carried - known.landmarks[k], axis=1).mean()
        rows.append([face, landmark, length[0], *parts])
    return np.array(rows)


def _exact(known: KnownMotion, area: Mask) -> Callable[[int], Floats]:
    """Return the exact flow (N, 2) of the pixels of an area as a function of the frame."""
    at, bases = pixel_grid()[area], known.bases[:, area].astype(np.float32)

    def flow(frame: int) -> Floats:
        moved = at + np.tensordot(known.au_intensity[frame], bases, axes=1)
        return np.asarray(affine_points(moved, known.head[frame]) - at, np.float32)

    return flow
