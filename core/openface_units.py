"""The seventeen action unit intensities of OpenFace: order, scale, and how a rendered clip's units map onto them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from megbench.core.errors import BenchError

UnitTable = npt.NDArray[np.float64]

# The `_r` columns in OpenFace's order.
OPENFACE = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
# OpenFace's largest intensity; networks are given intensity / LARGEST.
LARGEST = 5.0
# Units that OpenFace does not estimate, and where they go: closed eyes count as a blink, pressed as tightened lips.
READ_AS = {43: 45, 24: 23}


def column(unit: int | str) -> int | None:
    """Column of a unit (12 or "AU12") among the seventeen; None for units OpenFace knows nothing of."""
    number = int(str(unit).removeprefix("AU"))
    number = READ_AS.get(number, number)
    return OPENFACE.index(number) if number in OPENFACE else None


def shares(units: Mapping[str, Any]) -> UnitTable:
    """Intensities by unit ("AU12": number, or (T,)), 1 being micro, as network input: (17,) or (T, 17).

    Units that share a column add up. {} is a face at rest, (17,) zeros.
    """
    columns: list[Any] = [0.0] * len(OPENFACE)
    for unit, intensity in units.items():
        if (at := column(unit)) is not None:
            columns[at] = columns[at] + np.asarray(intensity, np.float64)
    return np.stack(np.broadcast_arrays(*columns), -1).astype(np.float64)


def needed(batch: Mapping[str, Any], name: str) -> Any:
    """The action units `name` of a training batch. BenchError where the clips that are trained on have none."""
    if name not in batch:
        raise BenchError(
            "These clips have no action units, which this method learns from. Train on --clips demo, whose units are"
            " exact, or train tps, fomm, mraa or fpfomm."
        )
    return batch[name]
