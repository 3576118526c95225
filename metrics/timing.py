"""Timing: does the face begin to move, reach its apex and move back when the driver does?

Onset, apex and offset are read from one motion curve per clip (megbench.faces.course), by the same rule for the output
and the driver.
"""

from __future__ import annotations

from megbench.core.clip import Cell
from megbench.core.contracts import Figure, Partial
from megbench.core.errors import CellFailed
from megbench.core.figures import TIME
from megbench.faces.course import FALLEN, RISEN, Course, course, motion_curve
from megbench.faces.features import Seen, SeenClip
from megbench.metrics.motion_agreement import too_short

MOMENTS = {
    "onset": f"where the motion curve first reaches {RISEN:.0%} of its peak",
    "apex": f"the centre of the part above {FALLEN:.0%} of the motion curve's peak",
    "offset": f"where the motion curve last falls below {FALLEN:.0%} of its peak, or the last frame if it does not",
}
STILL = "the {}'s face moves by no more than noise, or not at all"
# If a driver's rise or fall is shorter than this, in frames, its ratio is not meaningful.
SHORTEST = 1.0


def _shift(moment: str, text: str) -> Figure:
    """Return the figure for the delay of one moment."""
    return Figure(
        f"{moment}_shift",
        f"{moment.capitalize()}, delay",
        target="driver",
        ideal=0,
        unit="frames",
        decimals=1,
        short=moment,
        group=TIME,
        formula=f"{moment} of output - {moment} of driver",
        description=f"Number of frames by which the output's {moment} ({text}) is late; negative values mean early.",
    )


def _ratio(part: str, between: str) -> Figure:
    """Return the figure for the duration of one part of the motion."""
    return Figure(
        f"{part}_ratio",
        f"{part.capitalize()} time, ratio",
        target="driver",
        ideal=1,
        bounds=(0, None),
        formula=f"{part} time of output / {part} time of driver",
        description=f"The output's time from {between}, divided by the driver's.",
    )


class Timing:
    """Onset, apex and offset of the facial motion compared with the driver's, in frames, without eyelids."""

    name = "timing"
    version = "1"
    figures = (
        Figure(
            "timing_error",
            "Timing error",
            target="driver",
            ideal=0,
            bounds=(0, None),
            unit="frames",
            decimals=1,
            short="timing error",
            group=TIME,
            formula="mean |moment of output - moment of driver| over onset, apex, offset",
            description="Mean number of frames by which the output's onset, apex and offset are early or late. It is"
            " undefined for an output that does not move.",
        ),
        *(_shift(moment, text) for moment, text in MOMENTS.items()),
        _ratio("rise", "onset to apex"),
        _ratio("fall", "apex to offset"),
        Figure(
            "asymmetry",
            "Asymmetry",
            target="driver",
            ideal=0,
            bounds=(-1, 1),
            formula="rise / (rise + fall) of output - rise / (rise + fall) of driver",
            description="The share of the time between onset and offset that the output takes to rise, minus the"
            " driver's share; a negative value means that the output rises too fast.",
        ),
    )

    def measure(self, cell: Cell, seen: Seen) -> Partial:
        """Return the figures of one cell. Raise CellFailed if a first frame shows no face or if lengths differ."""
        if short := too_short(seen):
            return short
        output, driver = len(seen.output.frames), len(seen.driver.frames)
        if output != driver:
            raise CellFailed(f"output and driver differ in length: {output} and {driver} frames")
        driven, wanted = _course(seen.output), _course(seen.driver)
        if driven is None or wanted is None:
            return Partial("ok", STILL.format("driver" if wanted is None else "output"))
        shifts = {f"{moment}_shift": getattr(driven, moment) - getattr(wanted, moment) for moment in MOMENTS}
        values: dict[str, float | None] = {
            **shifts,
            "timing_error": sum(map(abs, shifts.values())) / len(shifts),
            "rise_ratio": _divided(driven.rise, wanted.rise),
            "fall_ratio": _divided(driven.fall, wanted.fall),
            "asymmetry": driven.asymmetry - wanted.asymmetry,
        }
        reasons = {f"{part}_ratio": f"the driver's {part} takes less than a frame" for part in ("rise", "fall")}
        return Partial("ok", values=values, reasons=reasons)


def _course(clip: SeenClip) -> Course | None:
    return course(motion_curve(clip.motion.trajectory))


def _divided(output: float, driver: float) -> float | None:
    return output / driver if driver >= SHORTEST else None
