"""Messages about folders that do not contain the expected clips: what they contain, and how to turn that into clips."""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection
from pathlib import Path

from megbench.core.errors import few
from megbench.core.pictures import PICTURES, natural
from megbench.core.video import VIDEOS

# File types of cameras and recorders that are not opened, although their streams are in common formats.
OTHER_VIDEOS = (".mxf", ".dv", ".rm", ".rmvb")
# Picture formats of phones and cameras that are not supported.
OTHER_PICTURES = (".heic", ".heif", ".avif", ".gif", ".dng", ".cr2", ".nef", ".arw", ".jp2", ".jxl", ".pdf")
# The maximum number of levels and of folders that are searched.
DEEPEST, MOST_FOLDERS = 4, 2000
SHOWN = 3


def below(folder: Path, suffixes: Collection[str]) -> list[tuple[str, int]]:
    """Return the folders under `folder` that contain files with one of these suffixes, with the number of these files.

    `folder` itself is included as ".".
    """
    found = []
    for place, folders, files in itertools.islice(os.walk(folder), MOST_FOLDERS):
        path = Path(place).relative_to(folder)
        folders[:] = [name for name in folders if not name.startswith(".")] if len(path.parts) < DEEPEST else []
        count = sum(Path(name).suffix.lower() in suffixes and not name.startswith(".") for name in files)
        if count:
            found.append((path.as_posix(), count))
    return sorted(found, key=lambda item: (item[0] != ".", natural(item[0])))


def counted(found: list[tuple[str, int]]) -> str:
    """Return the first folders with the number of files in each, such as "color (12), depth (12)"."""
    return few([f"{name} ({count})" for name, count in found], SHOWN)


def remedies(folder: Path, entries: Collection[Path]) -> list[str]:
    """Return how to turn the entries of a folder into clips: one sentence for each kind of entry with a remedy."""
    sentences = []
    nested = [entry for entry in entries if entry.is_dir()]
    for kind, suffixes in (("Pictures", PICTURES), ("Videos", VIDEOS)):
        found = [(f"{entry.name}/{name}", count) for entry in nested for name, count in below(entry, suffixes)]
        found = [(name.removesuffix("/."), count) for name, count in found]
        if found:
            place = folder / found[0][0]
            place = place.parent if kind == "Pictures" else place
            sentences.append(f"{kind} are in subfolders: {counted(found)}. Pass a folder of clips, such as {place}.")
    names = {path.suffix.lower(): path.name for path in entries if path.is_file()}
    if others := sorted(set(names) & set(OTHER_VIDEOS)):
        example = names[others[0]]
        sentences.append(
            f"{', '.join(others)} files are not read. Convert {example!r} to .mp4"
            f" (ffmpeg -i {example!r} -crf 4 clip.mp4)."
        )
    return sentences


def picture_remedies(entries: Collection[Path]) -> list[str]:
    """Return how to turn pictures in unsupported formats into templates: one sentence, or [] if there are none."""
    names = {path.suffix.lower(): path.name for path in entries if path.is_file() and not path.name.startswith(".")}
    others = sorted(set(names) & set(OTHER_PICTURES))
    return [f"{', '.join(others)} files are not read. Save {names[others[0]]!r} as PNG or JPEG."] if others else []
