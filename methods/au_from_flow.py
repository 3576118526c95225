"""Action units estimated from the driver's own flow: the choice `au_source=flow`.

A method receives not the flow itself but seventeen estimated intensities per frame, like those that OpenFace would
report for the driver. This module is imported only by name (methods/au_sources.py), so that no trained method imports
code that measures flow.
"""

from __future__ import annotations

import numpy as np

from megbench.core.clip import Clip
from megbench.core.files.working_folder import in_store
from megbench.core.openface_units import LARGEST, OPENFACE, UnitTable, column
from megbench.faces import action_units
from megbench.faces.features import SeenClip, one_at_a_time, seen_clip
from megbench.methods.au_sources import ActionUnits

# The name under which the estimated units are kept in the store.
KEPT = "units from flow"


def flow(driver: Clip) -> ActionUnits:
    """Return a clip's units: five times the intensities of megbench.faces.action_units, clipped at 5.

    In that module, an intensity of 1 is the strength of a micro-expression. A unit is present if it exceeds the noise.
    Units that flow cannot tell apart are returned as the first of them (14 for 14 and 20, 23 for 23 and 24, 25 for 25
    and 26). Raise CellFailed if frame 0 shows no face.
    """
    clip = seen_clip(f"driver {driver.name}", driver)
    with one_at_a_time(clip):
        return ActionUnits(**clip.kept(KEPT, lambda: vars(_read(clip))))


def seen_before(driver: Clip) -> ActionUnits | None:
    """Return the units that `flow` stored for a clip earlier, or None if it was never called for the clip."""

    def nobody() -> dict[str, UnitTable]:
        raise LookupError

    try:
        return ActionUnits(**SeenClip("driver", driver.frames, driver.content, in_store("features")).kept(KEPT, nobody))
    except LookupError:
        return None


def _read(clip: SeenClip) -> ActionUnits:
    found = clip.action_units  # (T, K)
    micro = np.zeros((len(found), len(OPENFACE)))
    for unit, track in zip(action_units.UNITS, found.T, strict=True):
        if (at := column(unit.partition("+")[0])) is not None:
            micro[:, at] += track
    return ActionUnits(np.clip(LARGEST * micro, 0, LARGEST), np.asarray(micro > action_units.NOISE_FLOOR, np.float64))
