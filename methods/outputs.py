"""Outputs that somebody else made: `--methods outputs:DIR` scores folders of pictures or videos as they are.

DIR holds `<driver>__<template>` (a folder of pictures, or a video or GIF of that name), or other names and a
`mapping.csv` with the columns output, driver, template and, where frames were dropped, frames: the numbers of the
driver's frames that were kept, counted from 0, as "0-11 13 15".
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.clip import Cell, Clip, Template
from core.errors import BenchError, CellFailed, few
from core.file_kinds import HEAD_BYTES, JPEG, kind_of
from core.frames import SIZE, Frames
from core.names import check_name
from core.pictures import pictures_in
from core.sheet import Limits
from core.tables import local_path, read_sheet
from core.video import first_size, is_output_video, pixel_aspect, read_clip
from faces.crop import crop, display_size, whole_square
from methods.marks import counted

MAPPING = "mapping.csv"
RESIZED, PADDED, HELD = "resized", "padded", "held"
# Marks of outputs: the word for the tables and the sentence below them.
MARKS = {
    "GIF": "A GIF has 256 colours a frame; its palette jumps by more than a micro-expression moves.",
    "video": "Read from video files; compression alters motion of half a pixel.",
    "JPEG": "Pictures saved as JPEG; compression alters motion of half a pixel.",
    "WebP": "Pictures saved as lossy WebP; compression alters motion of half a pixel.",
    RESIZED: "Outputs of {sizes} pixels were scaled to {size}x{size}.",
    PADDED: "Outputs of {sizes} pixels were padded to squares, as pictures of such sizes are.",
    HELD: "Outputs lack frames of the driver; the frame before each gap is held through it.",
}
# Pictures saved with loss, whatever their names, by their first bytes.
LOSSY: dict[str, Callable[[bytes], bool]] = {
    "JPEG": lambda head: kind_of(head) == JPEG,
    "WebP": lambda head: head[8:12] == b"WEBP" and b"VP8 " in head,
}
LIMITS = Limits("a mapping of outputs", bytes=1_000_000, rows=20_000, columns=50)
LONGEST_CLIP = 5000
# Longer side over shorter: face crops reach 1.3, a strip of two pictures has 2.
LONGEST_SHAPE = 1.5


@dataclass(frozen=True)
class Output:
    """The path of one cell's output, and which of the driver's frames it shows; None for all of them."""

    path: Path
    frames: tuple[int, ...] | None = None

    def files(self) -> list[Path]:
        """Return the pictures in order, or the video."""
        return pictures_in(self.path) if self.path.is_dir() else [self.path]

    @functools.cached_property
    def marks(self) -> frozenset[str]:
        """Words for outputs that are compressed or resized. BenchError if files cannot be read."""
        if self.path.is_dir():
            heads = [_head(path) for path in self.files()]
            kinds = {word for word, is_so in LOSSY.items() if any(map(is_so, heads))}
        else:
            kinds = {"GIF" if self.path.suffix.lower() == ".gif" else "video"}
        width, height = self.size
        found = {RESIZED: self.size != (SIZE, SIZE), PADDED: width != height}
        return frozenset(kinds | {word for word, is_so in found.items() if is_so})

    def marks_on(self, driver: Clip) -> frozenset[str]:
        """Return the words of `marks`, and one if the output lacks frames of the driver."""
        lacks = self.frames is not None and len(self.frames) < driver.n_frames
        return self.marks | {HELD} if lacks else self.marks

    @functools.cached_property
    def size(self) -> tuple[int, int]:
        """Width and height of the first frame."""
        return first_size(self.path)


class Outputs:
    """Frames made elsewhere, scored as they are; compressed or resized outputs and those lacking frames are marked."""

    name = "outputs"
    is_control = False

    def __init__(self, variant: str, options: Mapping[str, str]) -> None:
        if not options.get("folder"):
            raise BenchError("outputs needs a folder: --methods outputs:DIR, with <driver>__<template> folders in it.")
        self.variant = variant
        self.folder = Path(options["folder"])
        self.outputs = _find(self.folder)

    def marks_on(self, cells: Sequence[Cell]) -> dict[str, str]:
        """Return what a reader of these cells' scores must know of their files: a word and a sentence each."""
        scored = [(self.outputs[place(cell)], cell.driver) for cell in cells if place(cell) in self.outputs]
        marks = {}
        for word, sentence in MARKS.items():
            concerned = [output for output, driver in scored if word in output.marks_on(driver)]
            if concerned:
                sizes = ", ".join(f"{width}x{height}" for width, height in sorted({o.size for o in concerned}))
                marks[counted(word, len(concerned), len(scored))] = sentence.format(sizes=sizes, size=SIZE)
        return marks

    def unused(self, cells: Sequence[Cell]) -> list[str]:
        """Return names in the folder that belong to no cell's output, without the mapping and hidden files."""
        used = {self.outputs[place(cell)].path for cell in cells if place(cell) in self.outputs}
        inside = {part for path in used for part in path.relative_to(self.folder).parts[:1]}
        names = sorted(path.name for path in self.folder.iterdir())
        return [name for name in names if name not in inside and name != MAPPING and not name.startswith(".")]

    def identity(self) -> Mapping[str, object]:
        """Return nothing: each cell is decided by its own files (`sources`) and the mapping's line for it."""
        return {}

    def sources(self, cell: Cell) -> Sequence[Path]:
        """Return the files of one cell's output, none where it has no output."""
        output = self.outputs.get(place(cell))
        return output.files() if output else []

    def identity_on(self, cell: Cell) -> Mapping[str, object]:
        """Return which of the driver's frames one cell's output shows, None for all of them."""
        output = self.outputs.get(place(cell))
        return {"frames": output.frames if output else None}

    def prepare(self, device: str) -> None:
        """Nothing to prepare."""

    def animate(self, template: Template, driver: Clip) -> Frames:
        """Return frames uint8 (T, 256, 256, 3) RGB. Raise CellFailed without output, or if its frames do not match."""
        output = self.outputs.get((driver.name, template.name))
        if output is None:
            raise CellFailed(self._absent(driver.name, template.name))
        try:
            frames = _squared(output.path)
        except BenchError as error:
            raise CellFailed(str(error)) from None
        if output.frames is not None:
            return _held(frames, output, driver.n_frames)
        if len(frames) != driver.n_frames:
            raise CellFailed(
                f"{output.path} has {len(frames)} frames, the driver has {driver.n_frames}. Give one for each of the"
                f" driver's, or say in {MAPPING} (column frames) which of them were kept"
            )
        return frames

    def _absent(self, driver: str, template: str) -> str:
        """Return why there is no output, with entries of the same name in another kind of file or other spelling."""
        missing = f"no output for {driver} on {template} in {self.folder}"
        if (self.folder / MAPPING).is_file():
            return f"{missing}: {MAPPING} has no line with both"
        wanted = f"{driver}__{template}"
        near = [path.name for path in sorted(self.folder.iterdir()) if _label(path).lower() == wanted.lower()]
        there = f", but {few(near)} is there" if near else ""
        return f"{missing}: no folder of pictures, video or GIF is called {wanted}{there}"


def _squared(path: Path) -> Frames:
    """Return all frames of an output as (T, 256, 256, 3), each padded to a square as `faces.crop` pads a face crop.

    A method that was given face crops of 137x168 returns frames of that shape; its driver was padded in the same way.
    Raise CellFailed for pictures that cannot be a single face.
    """
    frames: list[Frames] = []
    aspect = pixel_aspect(path)
    for picture in read_clip(path):
        width, height = display_size(picture, aspect)
        if max(width, height) > LONGEST_SHAPE * min(width, height):
            raise CellFailed(
                f"{path}: {round(width)}x{round(height)} is not a single face. Crop the output from the strip or page"
            )
        frames.append(crop(picture, whole_square((width, height)), aspect))
    return np.stack(frames)


def place(cell: Cell) -> tuple[str, str]:
    """Return the names of driver and template, by which outputs are found."""
    return cell.driver.name, cell.template.name


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _find(folder: Path) -> dict[tuple[str, str], Output]:
    """Outputs by driver and template. BenchError for a missing folder, one without outputs, or a faulty mapping."""
    if not folder.is_dir():
        raise BenchError(f"outputs: {folder} is not a folder. Give one that holds <driver>__<template> outputs.")
    mapping = folder / MAPPING
    found = _mapped(folder, mapping) if mapping.is_file() else _named(folder)
    if not found:
        raise BenchError(
            f"outputs: {folder} holds no outputs. Name them <driver>__<template> (a folder of pictures, a video or a"
            f" GIF), or say in {MAPPING} which is which (columns output, driver, template)."
        )
    return found


def _named(folder: Path) -> dict[tuple[str, str], Output]:
    found: dict[tuple[str, str], Output] = {}
    for path in sorted(folder.iterdir()):
        is_folder = path.is_dir() and not path.name.startswith(".")
        driver, separator, template = _label(path).partition("__")
        if not separator or not (is_folder or is_output_video(path)):
            continue
        if (driver, template) in found:
            both = f"{found[driver, template].path.name} and {path.name}"
            raise BenchError(f"outputs: {folder} holds {driver}__{template} twice: {both}. Remove one of them.")
        found[driver, template] = Output(_inside(folder, path))
    return found


def _label(path: Path) -> str:
    return path.name if path.is_dir() else path.stem


def _mapped(folder: Path, mapping: Path) -> dict[tuple[str, str], Output]:
    sheet = read_sheet(mapping, LIMITS)
    header = [cell.strip().lower() for cell in sheet.rows[0]] if sheet.rows else []
    if missing := sorted({"output", "driver", "template"} - set(header)):
        raise BenchError(f"{mapping} lacks the column {missing[0]!r}; it has: {few(header) or 'nothing'}.")
    found: dict[tuple[str, str], Output] = {}
    for number, cells in enumerate(sheet.filled()[1:], 2):
        row = dict.fromkeys(header, "") | dict(zip(header, map(str.strip, cells), strict=False))
        if not any(row.values()):
            continue
        where = f"{mapping}, line {number}"
        if not row["output"]:
            raise BenchError(f"{where}: no output. Name the folder of pictures or the video in {folder}.")
        try:
            path = _inside(folder, folder / local_path(row["output"]))
            cell = check_name("driver", row["driver"]), check_name("template", row["template"])
        except BenchError as error:
            raise BenchError(f"{where}: {error}") from None
        if not (path.is_dir() or is_output_video(path)):
            raise BenchError(f"{where}: {row['output']!r} is neither a folder of pictures nor a video in {folder}.")
        if cell in found:
            raise BenchError(f"{where}: {cell[0]} on {cell[1]} is mapped twice. Remove one of the lines.")
        found[cell] = Output(path, kept_frames(row.get("frames", ""), where))
    return found


def kept_frames(text: str, where: str) -> tuple[int, ...] | None:
    """Frame numbers in "0-11 13 15", None for an empty text. BenchError unless they rise from 0 on."""
    if not text.strip():
        return None
    numbers: list[int] = []
    for part in re.split(r"[\s;]+", text.strip()):
        match = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", part)
        if not match:
            raise BenchError(f"{where}: {part!r} is no frame number. Write the kept frames as 0-11 13 15.")
        first, last = int(match[1]), int(match[2] or match[1])
        if last > LONGEST_CLIP:
            raise BenchError(f"{where}: frame {last} lies beyond the longest clip ({LONGEST_CLIP} frames).")
        numbers += range(first, last + 1)
    if numbers[:1] != [0] or any(b <= a for a, b in itertools.pairwise(numbers)):
        raise BenchError(f"{where}: the kept frames {text!r} must rise from frame 0 on.")
    return tuple(numbers)


def _inside(folder: Path, path: Path) -> Path:
    """`path`, which must not lead out of `folder`, by its name or by a link."""
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BenchError(f"outputs: {str(path)!a} leads out of {folder}. Put the outputs into the folder itself.")
    return path


def _held(frames: Frames, output: Output, n_frames: int) -> Frames:
    """All frames of the driver's time: each kept frame stands until the next one."""
    kept = np.array(output.frames)
    if len(kept) != len(frames):
        raise CellFailed(f"{output.path} has {len(frames)} frames, its mapping names {len(kept)}")
    if kept[-1] >= n_frames:
        raise CellFailed(f"{output.path}: the mapping names frame {kept[-1]}, the driver has {n_frames} frames")
    return frames[np.searchsorted(kept, np.arange(n_frames), side="right") - 1]
