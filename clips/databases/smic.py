"""SMIC: 16 people at 100 frames per second (HS), eight of them also in visible and infrared light at 25 (VIS, NIR).

Action units were not coded, and there is no official sheet. A clip's folder contains only the expression, and the name
of the folder states the emotion. SMIC-E has longer clips and a sheet, which is read if it is present.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from megbench.clips.databases.coded import Database
from megbench.clips.databases.folders import FrameFolder, Naming
from megbench.clips.databases.sheets import CodedRow

EMOTIONS = {"ne": "negative", "po": "positive", "sur": "surprise"}
CLIP = re.compile(r"s(\d+)_(ne|po|sur)_(\d+)", re.IGNORECASE)
CAMERAS = ("HS", "VIS", "NIR")


def clip_name(name: str) -> str:
    """Return a clip's name as in the kit, where the subject has no leading zero: s3_po_05 for s03_po_05."""
    match = CLIP.fullmatch(name)
    return f"s{int(match[1])}_{match[2].lower()}_{int(match[3]):02d}" if match else name


def camera(tree: Path) -> str:
    """Return the camera whose clips a tree contains, according to the tree's path: HS if the path names no camera."""
    return next(iter(_cameras("/".join(tree.parts[::-1]))), "HS")


def _cameras(text: str) -> list[str]:
    """Return the cameras that occur as words in a text, in order."""
    return [word for word in re.split(r"[^A-Z]+", text.upper()) if word in CAMERAS]


def from_folder(folder: FrameFolder) -> CodedRow | None:
    """Return what a clip's folder implies: its emotion, and that all its frames belong to the expression.

    The second point does not hold for the long clips of SMIC-E.
    """
    match = CLIP.fullmatch(folder.path.name)
    if not match:
        return None
    row = CodedRow(0, 0, str(folder.subject), folder.path.name, emotion=EMOTIONS[match[2].lower()])
    numbers = folder.numbers
    return row if _is_long(folder.tree) else dataclasses.replace(row, onset=numbers[0], offset=numbers[-1])


def _is_long(tree: Path) -> bool:
    return any(part.lower().endswith(("_long", "-e")) for part in tree.parts)


def _database(name: str, seen_by: str, fps: float) -> Database:
    return Database(
        name=name,
        title=f"SMIC {seen_by}",
        fps=fps,
        naming=Naming(re.compile(r"s(\d+)", re.IGNORECASE), CLIP, re.compile(r"(?:reg_)?image(\d+)", re.IGNORECASE)),
        subject="s{}".format,
        clip=clip_name,
        reads=lambda tree: camera(tree) == seen_by,
        codes=lambda name: seen_by in (_cameras(name) or [seen_by]),
        default=from_folder,
    )


SMIC, SMIC_VIS, SMIC_NIR = (
    _database(name, seen_by, fps)
    for name, seen_by, fps in (("smic", "HS", 100.0), ("smic-vis", "VIS", 25.0), ("smic-nir", "NIR", 25.0))
)
