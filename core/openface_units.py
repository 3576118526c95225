"""The intensities of OpenFace's seventeen action units: their order and scale, and the mapping from rendered clips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from megbench.core.errors import BenchError

UnitTable = npt.NDArray[np.float64]

# The `_r` columns in OpenFace's order.
OPENFACE = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
# OpenFace's largest intensity; networks receive intensity / LARGEST.
LARGEST = 5.0
# Units that OpenFace does not estimate, each with the unit that it counts as: closed eyes (43) count as a blink (45),
# pressed lips (24) as tightened lips (23).
READ_AS = {43: 45, 24: 23}


def column(unit: int | str) -> int | None:
    """Return the column of a unit (12 or "AU12") among the seventeen, or None if OpenFace does not estimate it."""
    number = int(str(unit).removeprefix("AU"))
    number = READ_AS.get(number, number)
    return OPENFACE.index(number) if number in OPENFACE else None


def shares(units: Mapping[str, Any]) -> UnitTable:
    """Return a rendered clip's intensities as network input, (17,) or (T, 17).

    units: for each unit, such as "AU12", a number or an array (T,). An intensity of 1 is that of a micro-expression.
    Units that share a column are added. {}, a face at rest, gives seventeen zeros.
    """
    columns: list[Any] = [0.0] * len(OPENFACE)
    for unit, intensity in units.items():
        if (at := column(unit)) is not None:
            columns[at] = columns[at] + np.asarray(intensity, np.float64)
    return np.stack(np.broadcast_arrays(*columns), -1).astype(np.float64)


def needed(batch: Mapping[str, Any], name: str) -> Any:
    """Return the action units that a training batch has under `name`. Raise BenchError if the clips have none."""
    if name not in batch:
        raise BenchError(
            "This method learns from action units, but these clips have none. Train on --clips demo, whose units are"
            " exact, or train tps, fomm, mraa or fpfomm."
        )
    return batch[name]
