"""A folder of outputs: which file or folder in it belongs to which cell, and what readers must know about them.

Outputs are named `<driver>__<template>` or listed in a `mapping.csv`. Those for the cells of a challenge's kit are also
found by the kit's own names, whatever their case and separators: `Positive_022_3_3-normalized_asianFemale.mp4`, or
nested folders such as `SAMM_challenge/Positive_022_3_3/asianFemale`.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from megbench.core.clip import Cell, Clip
from megbench.core.errors import BenchError, few
from megbench.core.files.kinds import HEAD_BYTES, JPEG, kind_of
from megbench.core.files.names import check_name
from megbench.core.frames import SIZE
from megbench.core.pictures import frames_folder, pictures_in
from megbench.core.tables.reading import local_path, read_sheet
from megbench.core.tables.sheet import SheetLimits
from megbench.core.video import first_size, is_video

MAPPING = "mapping.csv"
RESIZED, PADDED, HELD = "resized", "padded", "held"
# Marks of outputs: a word for the tables and a sentence below them.
MARKS = {
    "GIF": "A GIF has 256 colours per frame; its palette alters pixels more than a micro-expression does.",
    "video": "Read from video files; compression alters motion of half a pixel.",
    "JPEG": "Pictures saved as JPEG; compression alters motion of half a pixel.",
    "WebP": "Pictures saved as lossy WebP; compression alters motion of half a pixel.",
    RESIZED: "Outputs of {sizes} pixels were scaled to {size}x{size}.",
    PADDED: "Outputs of {sizes} pixels were padded to squares, like face crops of these sizes.",
    HELD: "Outputs lack frames of the driver; the frame before each gap is held throughout the gap.",
}
# Lossy pictures, recognised by their first bytes, whatever their names.
LOSSY: dict[str, Callable[[bytes], bool]] = {
    "JPEG": lambda head: kind_of(head) == JPEG,
    "WebP": lambda head: head[8:12] == b"WEBP" and b"VP8 " in head,
}
LIMITS = SheetLimits("a mapping of outputs", bytes=1_000_000, rows=20_000, columns=50)
LONGEST_CLIP = 5000
# Published outputs are at most as deep as a driver's folder within a database's folder. The search does not go far
# beyond that depth, and it ends after MOST_FOLDERS folders.
DEEPEST, MOST_FOLDERS = 3, 2000
Place = tuple[str, str]


@dataclass(frozen=True)
class Output:
    """The path of one cell's output, and the driver's frames that it shows, or None for all of them."""

    path: Path
    frames: tuple[int, ...] | None = None

    def files(self) -> list[Path]:
        """Return the pictures in order, or the video."""
        return pictures_in(self.path) if self.path.is_dir() else [self.path]

    @functools.cached_property
    def marks(self) -> frozenset[str]:
        """Return the words of MARKS for a compressed or resized output. Raise BenchError if a file cannot be read."""
        if self.path.is_dir():
            heads = [_head(path) for path in self.files()]
            kinds = {word for word, is_so in LOSSY.items() if any(map(is_so, heads))}
        else:
            kinds = {"GIF" if self.path.suffix.lower() == ".gif" else "video"}
        width, height = self.size
        found = {RESIZED: self.size != (SIZE, SIZE), PADDED: width != height}
        return frozenset(kinds | {word for word, is_so in found.items() if is_so})

    def marks_on(self, driver: Clip) -> frozenset[str]:
        """Return the words in `marks`, and also HELD if the output lacks frames of the driver."""
        lacks = self.frames is not None and len(set(self.frames)) < driver.n_frames
        return self.marks | {HELD} if lacks else self.marks

    @functools.cached_property
    def size(self) -> tuple[int, int]:
        """Return the width and height of the first frame."""
        return first_size(self.path)


class OutputsFolder:
    """A folder of outputs. Raise BenchError if it is missing, contains no outputs or has an invalid mapping."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise BenchError(f"outputs: {folder} is not a folder. Pass a folder of outputs named <driver>__<template>.")
        self.folder = folder
        self.mapped = (folder / MAPPING).is_file()
        self._named = _mapped(folder, folder / MAPPING) if self.mapped else _named(folder)
        if not self._named and not self._keyed:
            raise BenchError(
                f"outputs: {folder} contains no outputs. Name them <driver>__<template> (a folder of pictures, a video"
                f" or a GIF), or say in {MAPPING} which is which (columns output, driver, template)."
            )

    def of(self, cell: Cell) -> Output | None:
        """Return a cell's output, found by the cell's name or else by a kit's names.

        Raise BenchError if there are two.
        """
        if found := self._named.get((cell.driver.name, cell.template.name)):
            return found
        keys = {_key(*names) for pair in cell.known_as for names in (pair, pair[::-1])}
        others = list({output.path: output for key in sorted(keys) for output in self._keyed.get(key, ())}.values())
        if len(others) > 1:
            both = few([output.path.relative_to(self.folder).as_posix() for output in others])
            raise BenchError(f"outputs: {self.folder} contains {cell.name} twice: {both}. Remove one of them.")
        return others[0] if others else None

    def near(self, cell: Cell) -> list[str]:
        """Return the entries whose names differ from that of a cell's output only in case or file type."""
        return [path.name for path in sorted(self.folder.iterdir()) if _label(path).lower() == cell.name.lower()]

    def others(self, used: set[Path]) -> list[str]:
        """Return everything in the folder except the outputs in `used`, the mapping and hidden files.

        The result contains entries of the folder, and unused outputs inside entries that contain a used one.
        """
        inside = {path.relative_to(self.folder).parts[0] for path in used}
        names = [path.name for path in self.folder.iterdir() if path.name not in {*inside, MAPPING}]
        deeper = {output.path for outputs in self._keyed.values() for output in outputs} if not self.mapped else set()
        places = [path.relative_to(self.folder) for path in deeper - used]
        names += [place.as_posix() for place in places if len(place.parts) > 1 and place.parts[0] in inside]
        return sorted(name for name in names if not name.startswith("."))

    @functools.cached_property
    def _keyed(self) -> dict[str, list[Output]]:
        """Return outputs by the keys of all their possible names: the file's name, alone or with parent folders."""
        found: dict[str, list[Output]] = {}
        if self.mapped:
            for names, output in self._named.items():
                found.setdefault(_key(*names), []).append(output)
            return found
        for path in _deeper(self.folder):
            parts = path.relative_to(self.folder).with_name(_label(path)).parts
            parts = parts[:-1] if parts[-1] == "frames" else parts
            for key in {_key(*parts[-count:]) for count in range(1, len(parts) + 1)}:
                found.setdefault(key, []).append(Output(_inside(self.folder, path)))
        return found


def _key(*names: str) -> str:
    """Return names joined in a form that ignores case and separators."""
    return re.sub(r"[\W_]+", "_", " ".join(names)).strip("_").casefold()


def _deeper(folder: Path) -> list[Path]:
    """Return the folders of pictures, videos and GIFs within a folder, in order, except those in hidden folders."""
    found = []
    for where, folders, files in itertools.islice(os.walk(folder), MOST_FOLDERS):
        here = Path(where)
        depth = len(here.relative_to(folder).parts)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if depth <= DEEPEST else []
        if depth and pictures_in(here):
            found.append(here)
            folders[:] = [name for name in folders if here / name != frames_folder(here)]
        found += [path for name in sorted(files) if is_video(path := here / name)]
    return found


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _named(folder: Path) -> dict[Place, Output]:
    found: dict[Place, Output] = {}
    for path in sorted(folder.iterdir()):
        is_folder = path.is_dir() and not path.name.startswith(".")
        driver, separator, template = _label(path).partition("__")
        if not separator or not (is_folder or is_video(path)):
            continue
        if (driver, template) in found:
            both = f"{found[driver, template].path.name} and {path.name}"
            raise BenchError(f"outputs: {folder} contains {driver}__{template} twice: {both}. Remove one of them.")
        found[driver, template] = Output(_inside(folder, path))
    return found


def _label(path: Path) -> str:
    return path.name if path.is_dir() else path.stem


def _mapped(folder: Path, mapping: Path) -> dict[Place, Output]:
    sheet = read_sheet(mapping, LIMITS)
    header = [cell.strip().lower() for cell in sheet.rows[0]] if sheet.rows else []
    if missing := sorted({"output", "driver", "template"} - set(header)):
        raise BenchError(
            f"{mapping} lacks the column {missing[0]!r}; it has: {few(header) or 'nothing'}. Add the column."
        )
    found: dict[Place, Output] = {}
    for number, cells in enumerate(sheet.filled()[1:], 2):
        row = dict.fromkeys(header, "") | dict(zip(header, map(str.strip, cells), strict=False))
        if not any(row.values()):
            continue
        where = f"{mapping}, line {number}"
        if not row["output"]:
            raise BenchError(f"{where} names no output. Name the folder of pictures or the video in {folder}.")
        try:
            path = _inside(folder, folder / local_path(row["output"]))
            cell = check_name("driver", row["driver"]), check_name("template", row["template"])
        except BenchError as error:
            raise BenchError(f"{where}: {error}") from None
        if not (path.is_dir() or is_video(path)):
            raise BenchError(
                f"{where}: {row['output']!r} is neither a folder of pictures nor a video in {folder}. Correct the name."
            )
        if cell in found:
            raise BenchError(f"{where}: {cell[0]} on {cell[1]} is mapped twice. Remove one of the lines.")
        found[cell] = Output(path, kept_frames(row.get("frames", ""), where))
    return found


def kept_frames(text: str, where: str) -> tuple[int, ...] | None:
    """Return the frame numbers in "0-11 13 15" or "0 0 1 1 2", or None if the text is empty.

    A repeated number means that there are several pictures of that frame. Raise BenchError if a part is not a number or
    range, or if the numbers decrease or do not begin with 0.
    """
    if not text.strip():
        return None
    numbers: list[int] = []
    for part in re.split(r"[\s;]+", text.strip()):
        match = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", part)
        if not match:
            raise BenchError(f"{where}: {part!r} is not a frame number. Write the kept frames in the form 0-11 13 15.")
        first, last = int(match[1]), int(match[2] or match[1])
        if last > LONGEST_CLIP:
            raise BenchError(f"{where}: frame {last} is beyond the longest clip allowed ({LONGEST_CLIP} frames).")
        numbers += range(first, last + 1)
    if numbers[:1] != [0] or any(b < a for a, b in itertools.pairwise(numbers)):
        raise BenchError(
            f"{where}: the kept frames {text!r} must begin with 0 and never decrease; repeats are allowed."
        )
    return tuple(numbers)


def _inside(folder: Path, path: Path) -> Path:
    """Return `path`. Raise BenchError if it is outside `folder`, either itself or through a link."""
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BenchError(f"outputs: {str(path)!r} is outside {folder}. Put the outputs into the folder itself.")
    return path
