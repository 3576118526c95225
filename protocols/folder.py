"""Any drivers on any templates: every clip in one folder is paired with every portrait in another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from megbench.clips.folder import ClipFolder
from megbench.clips.folder import templates as read_templates
from megbench.core.clip import Cell, Clip


class Folder:
    """Your own drivers (videos or folders of frames) on your own portraits; the truth is unknown.

    face: which face to use if a driver's first frame shows several: "left", "right", a rank by size, or "" for the
    largest.
    """

    name = "folder"
    version = "1"

    def __init__(self, cache: Path, drivers: Path, templates: Path, face: str = "") -> None:
        self.drivers = ClipFolder(drivers, cache, face)
        self.templates = templates

    def cells(self) -> list[Cell]:
        """Return all cells; those of an unusable driver state its problem. Raise BenchError for an unusable folder."""
        portraits = read_templates(self.templates)
        clips = self.drivers.clips()
        others = foils(clips)
        return [
            Cell(self.name, clip, portrait, reference=clip, foil=others.get(clip.name))
            for clip in clips
            for portrait in portraits
        ]


def foils(clips: Sequence[Clip]) -> dict[str, Clip]:
    """Return a foil for each usable clip, by the clip's name: the next usable clip, with another emotion if possible.

    Two drivers in a folder may move the same parts of the face, so the floor set by foils may be high.
    """
    usable = [clip for clip in clips if not clip.problem]
    found = {}
    for place, clip in enumerate(usable):
        others = [*usable[place + 1 :], *usable[:place]]
        if others:
            found[clip.name] = next((other for other in others if other.emotion != clip.emotion), others[0])
    return found
