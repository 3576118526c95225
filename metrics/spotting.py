"""Spotting: would an observer find the micro-expression in the output at the same time as in the driver?

The rules are those of MEGC 2021's spotting task: an interval counts as found if at least half of the frames in it or in
the true one are in both (IoU). Here both intervals are read from motion curves (megbench.faces.course) by the same
rule: from the first to the last frame above half of the peak. Trained spotting models are far too inaccurate to judge
generators.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from megbench.core.clip import Cell
from megbench.core.combine import absent_score
from megbench.core.contracts import Figure, Partial, Score
from megbench.core.detections import Interval, overlap, rates
from megbench.core.errors import CellFailed
from megbench.core.figures import TIME
from megbench.faces.course import QUIET, interval, motion_curve
from megbench.faces.features import Seen
from megbench.metrics.motion_agreement import too_short

# The IoU from which an interval counts as found.
FOUND = 0.5
# Still frames assumed around a clip. Clips are cut to little more than the expression: without these frames, a
# prediction that names the whole clip would nearly always be right.
AROUND = 20
IN_A_CELL = "counted over cells: see the rows over several cells"
COUNTS = {
    "tp": ("true positives", "Drivers' intervals that are found in the output."),
    "fp": ("false positives", "Intervals spotted in outputs where the driver has none."),
    "fn": ("false negatives", "Drivers' intervals that are not found in the output."),
}


class Spotting:
    """Intervals in which the output and the driver move: their intersection over union, and how many are found."""

    name = "spotting"
    version = "1"
    figures = (
        Figure(
            "spotting_f1",
            "Spotting, F1",
            target="driver",
            ideal=1,
            still=0,
            bounds=(0, 1),
            pooling="set",
            short="spotting F1",
            group=TIME,
            formula="2 TP / (2 TP + FP + FN)",
            source="MEGC 2021, guideline of the spotting task",
            description="F1 of the intervals spotted in the outputs, each from the first to the last frame above half"
            " of the motion curve's peak. The driver's interval is found if the output's has an IoU of at least"
            f" {FOUND:g} with it; an interval elsewhere is a false positive, and the driver's is then a false negative."
            f" A face that moves by no more than {QUIET:.1%} of the eye distance has no interval. The score says when"
            " the face moves, not where or how.",
        ),
        Figure(
            "spotting_precision",
            "Spotting, precision",
            target="driver",
            ideal=1,
            bounds=(0, 1),
            pooling="set",
            formula="TP / (TP + FP)",
            description="Share of the spotted intervals that match the driver's.",
        ),
        Figure(
            "spotting_recall",
            "Spotting, recall",
            target="driver",
            ideal=1,
            still=0,
            bounds=(0, 1),
            formula="TP / (TP + FN)",
            description="Share of the drivers' intervals that are found in the outputs.",
        ),
        Figure(
            "spotting_iou",
            "Spotting, IoU",
            target="driver",
            ideal=1,
            still=0,
            bounds=(0, 1),
            formula="frames in both intervals / frames in either",
            description="Intersection over union of the output's and the driver's interval; 0 if the output has none.",
        ),
        *(
            Figure(
                f"spotting_{name}",
                f"Spotting, {title}",
                target="driver",
                ideal=None,
                bounds=(0, None),
                pooling="set",
                description=text,
            )
            for name, (title, text) in COUNTS.items()
        ),
    )

    def measure(self, cell: Cell, seen: Seen) -> Partial:
        """Return what is spotted in one cell. Raise CellFailed if a first frame shows no face or if lengths differ."""
        if short := too_short(seen):
            return short
        frames = len(seen.driver.frames)
        if len(seen.output.frames) != frames:
            raise CellFailed(f"output and driver differ in length: {len(seen.output.frames)} and {frames} frames")
        wanted, spotted = (interval(motion_curve(clip.motion.trajectory)) for clip in (seen.driver, seen.output))
        if wanted is None:
            return Partial("ok", "the driver's face moves by no more than noise, or not at all: nothing to spot")
        iou, counts = judged(spotted, wanted)
        everything = whole_clip(frames)
        sums = {
            "counts": counts,
            "driver_interval": list(wanted),
            "output_interval": list(spotted or ()),
            "whole_clip": [*judged(everything, wanted)[1], *everything],
        }
        absent = (figure.name for figure in self.figures if figure.pooling == "set")
        return Partial(
            "ok",
            values={"spotting_iou": iou, "spotting_recall": float(counts[0])},
            sums={name: [float(number) for number in numbers] for name, numbers in sums.items()},
            reasons=dict.fromkeys(absent, IN_A_CELL),
        )

    def combine(self, partials: Sequence[Partial]) -> list[Score]:
        """Return precision, F1 and the counts from which they are computed, over the cells whose driver moves."""
        counted = [partial.sums["counts"] for partial in partials if "counts" in partial.sums]
        names = [figure.name for figure in self.figures if figure.pooling == "set"]
        if not counted:
            return [absent_score(name, partials) for name in names]
        counts = np.sum(counted, axis=0)
        precision, _, f1 = rates(counts.tolist())
        values = {"spotting_f1": f1, "spotting_precision": precision}
        values |= {f"spotting_{name}": float(count) for name, count in zip(COUNTS, counts, strict=True)}
        n = len(counted), len(partials)
        return [
            Score(name, None, "unavailable", "nothing was spotted in any output", 0, n[1])
            if values[name] is None
            else Score(name, values[name], "ok", "", *n)
            for name in names
        ]


def judged(spotted: Interval | None, wanted: Interval) -> tuple[float, list[int]]:
    """Return the IoU of a spotted interval with the true one, and its counts [TP, FP, FN].

    >>> judged((2, 9), (4, 9)), judged(None, (4, 9))
    ((0.75, [1, 0, 0]), (0.0, [0, 0, 1]))
    """
    if spotted is None:
        return 0.0, [0, 0, 1]
    iou = overlap(spotted, wanted)
    return iou, [1, 0, 0] if iou >= FOUND else [0, 1, 1]


def whole_clip(frames: int) -> Interval:
    """Return the interval that covers the whole clip and the still frames around it.

    >>> whole_clip(30)
    (-20, 49)
    """
    return -AROUND, frames - 1 + AROUND
