"""Any drivers on any templates: every clip of one folder on every portrait of another."""

from __future__ import annotations

from pathlib import Path

from clips.folder import Folder as ClipFolder
from clips.folder import templates as read_templates
from core.clip import Cell


class Folder:
    """Your own drivers (videos or folders of frames) on your own portraits; nobody knows the truth.

    face: which one to take if a driver's first frame shows several: "left", "right", a number by size, "" for the
    largest.
    """

    name = "folder"
    version = "1"

    def __init__(self, cache: Path, drivers: Path, templates: Path, face: str = "") -> None:
        self.drivers = ClipFolder(drivers, cache, face)
        self.templates = templates

    def cells(self) -> list[Cell]:
        """Return all cells; those of an unusable driver carry its problem. Raise BenchError for unfit folders."""
        portraits = read_templates(self.templates)
        clips = self.drivers.clips()
        return [Cell(self.name, clip, portrait, reference=clip) for clip in clips for portrait in portraits]
