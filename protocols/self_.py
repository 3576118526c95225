"""Self-reenactment: a clip drives its own first frame, so that the clip is the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from megbench.clips.folder import ClipFolder
from megbench.core.clip import Cell, Clip, Template
from megbench.core.frames import SIZE
from megbench.protocols.folder import foils


class Self:
    """A protocol in which each clip of a folder drives its own first frame, and the clip itself is the truth.

    face: as in the protocol `folder`.
    """

    name = "self"
    version = "1"

    def __init__(self, cache: Path, drivers: Path, face: str = "") -> None:
        self.drivers = ClipFolder(drivers, cache, face)

    def cells(self) -> list[Cell]:
        """Return one cell per clip; the cell of an unusable clip states the clip's `problem`."""
        clips = self.drivers.clips()
        others = foils(clips)
        return [_cell(clip, others.get(clip.name)) for clip in clips]


def _cell(clip: Clip, foil: Clip | None) -> Cell:
    # An unusable clip has no first frame; its failed cell has a plain grey picture instead.
    first = np.full((SIZE, SIZE, 3), 128, np.uint8) if clip.problem else clip.frames()[0]
    return Cell("self", clip, Template.of(clip.name, clip.subject, first), reference=clip, truth=clip, foil=foil)
