"""Version 1 of motion agreement, for comparing older figures with current ones; measured only on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from megbench.core.clip import Cell
from megbench.core.contracts import Partial
from megbench.core.figures import MOTION, MOTION_V1
from megbench.faces.features import Seen, SeenClip
from megbench.faces.motion import FacialMotion
from megbench.faces.motion_v1 import motion_v1
from megbench.metrics.motion_agreement import TOO_SHORT, MotionAgreement

SUFFIX = "_v1"


class MotionAgreementV1(MotionAgreement):
    """Version 1: motion measured by DIS; the agreement with a driver that does not move at all is 0."""

    name = "motion_agreement_v1"
    version = "1"
    figures = tuple(
        replace(
            figure,
            name=figure.name + SUFFIX,
            title=f"{figure.title} (version 1)",
            short=f"{figure.short} v1" if figure.short else "",
            group=MOTION_V1 if figure.group == MOTION else "",
            brief=False,
            heat_map=False,
            thresholds=(),
        )
        for figure in MotionAgreement.figures
    )

    def motion(self, clip: SeenClip) -> FacialMotion:
        """Return the facial motion measured by DIS. Raise CellFailed if frame 0 shows no face."""
        return motion_v1(clip)

    def measure(self, cell: Cell, seen: Seen) -> Partial:
        """Return the figures of one cell under the names of version 2, each with _v1 appended."""
        found = super().measure(cell, seen)
        values = {name: _as_it_was(name, value, found.reasons) for name, value in found.values.items()}
        return replace(
            found,
            values={name + SUFFIX: value for name, value in values.items()},
            reasons={name + SUFFIX: reason for name, reason in found.reasons.items()},
            series={},
        )

    @staticmethod
    def pools(products: Sequence[float]) -> bool:
        """Return whether a cell with these products counts towards pooled agreement; every compared cell does."""
        return True


def _as_it_was(name: str, value: float | None, reasons: Mapping[str, str]) -> float | None:
    absent = value is None and name.startswith("agreement") and reasons.get(name) != TOO_SHORT
    return 0.0 if absent else value
