"""Folders of frames as laid out in the databases, found by the names of subjects and frames.

Numbers in names are compared by value, so that leading zeros do not matter. A disk often contains several releases of a
database (raw, cropped, cropped again); each of them is a separate tree.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from megbench.core.errors import BenchError

# Files that are expected beside frames and folders.
EXPECTED = re.compile(r"\..*|Thumbs\.db|desktop\.ini", re.IGNORECASE)
# SMIC's folder of clips without a micro-expression, which is next to the folders of clips with one.
NO_EXPRESSIONS = "non_micro"
PICTURE = re.compile(r"\.(?:jpe?g|png|bmp|tiff?)", re.IGNORECASE)


@dataclass(frozen=True)
class Naming:
    """The naming conventions of a database, regardless of case.

    subject: a subject's folder; its group is the subject's number. clip: a clip's folder, below the subject's folder.
    frame: the stem of a frame's file name; its group is the frame's number, padded or not.
    """

    subject: re.Pattern[str]
    clip: re.Pattern[str]
    frame: re.Pattern[str]


@dataclass(frozen=True)
class FrameFolder:
    """The frames of one clip on disk.

    tree: the folder that contains the subjects' folders. frames: the number and file of each frame, sorted by number.
    strays: entries that are not frames. twice: frame numbers that several files have; the first file by name is used.
    """

    path: Path
    tree: Path
    subject: int
    frames: tuple[tuple[int, Path], ...]
    strays: tuple[str, ...] = ()
    twice: tuple[int, ...] = ()

    @property
    def numbers(self) -> range:
        """All numbers from that of the first frame to that of the last."""
        return range(self.frames[0][0], self.frames[-1][0] + 1)

    def between(self, first: int, last: int) -> list[tuple[int, Path]]:
        """Return the existing frames from `first` to `last`, both inclusive."""
        return [(number, path) for number, path in self.frames if first <= number <= last]


def trees(root: Path, naming: Naming) -> dict[Path, list[FrameFolder]]:
    """Return all clip folders under `root`, by tree. Raise BenchError if `root` is not a folder or cannot be read."""
    if not root.is_dir():
        raise BenchError(f"The database {root} is not a folder. Pass the folder into which it was unpacked.")
    found: dict[Path, list[FrameFolder]] = {}
    for folder in _frame_folders(root, naming):
        found.setdefault(folder.tree, []).append(folder)
    return found


def _frame_folders(root: Path, naming: Naming) -> Iterator[FrameFolder]:
    def fail(error: OSError) -> None:
        raise BenchError(f"{error.filename} cannot be read ({error.strerror}). Check its permissions.") from None

    for place, folders, files in os.walk(root.resolve(), onerror=fail):
        folders[:] = sorted(name for name in folders if name.lower() != NO_EXPRESSIONS)
        path = Path(place)
        subject = next((parent for parent in path.parents if naming.subject.fullmatch(parent.name)), None)
        if not files or subject is None or not naming.clip.fullmatch(path.name):
            continue
        match = naming.subject.fullmatch(subject.name)
        assert match
        if folder := read_folder(path, naming.frame, subject.parent, int(match[1])):
            yield folder


def read_folder(path: Path, frame: re.Pattern[str], tree: Path, subject: int = 0) -> FrameFolder | None:
    """Return the frames in one folder, or None if there are none."""
    frames: dict[int, Path] = {}
    strays, twice = [], []
    for file in sorted(path.iterdir()):
        match = frame.fullmatch(file.stem) if PICTURE.fullmatch(file.suffix) else None
        if EXPECTED.fullmatch(file.name):
            continue
        if not match:
            strays.append(file.name)
        elif int(match[1]) in frames:
            twice.append(int(match[1]))
        else:
            frames[int(match[1])] = file
    return (
        FrameFolder(path, tree, subject, tuple(sorted(frames.items())), tuple(strays), tuple(twice)) if frames else None
    )
