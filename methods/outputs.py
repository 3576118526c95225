"""Outputs made elsewhere: `--methods outputs:DIR` scores folders of pictures or videos as they are.

An output is a folder of pictures, a video or a GIF. It is named `<driver>__<template>` or as in a challenge's kit
(methods/outputs_folder.py). Other names are possible if DIR contains a `mapping.csv` with the columns output, driver,
template and frames. The column frames lists the driver's frames that the pictures show, counted from 0: "0-11 13 15" if
frames were dropped, "0 0 1 1 2" if they are repeated. It is empty if there is one picture per frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from megbench.core.clip import Cell
from megbench.core.errors import BenchError, CellFailed, NotSupplied, few, plural
from megbench.core.frames import SIZE, Frames
from megbench.core.video import pixel_aspect, read_clip
from megbench.faces.crop import crop, display_size, whole_square
from megbench.methods.marks import counted
from megbench.methods.outputs_folder import MAPPING, MARKS, Output, OutputsFolder

# The largest ratio of the longer side to the shorter one: face crops reach 1.3, and a strip of two pictures has 2.
LONGEST_SHAPE = 1.5


class Outputs:
    """Frames made elsewhere, scored as they are; compressed, resized and incomplete outputs are marked.

    The method receives the whole cell because it needs the kit's names for the driver and the template.
    """

    name = "outputs"
    is_control = False

    def __init__(self, variant: str, options: Mapping[str, str]) -> None:
        if not options.get("folder"):
            raise BenchError("outputs needs a folder: --methods outputs:DIR, with <driver>__<template> folders in it.")
        self.variant = variant
        self.folder = OutputsFolder(Path(options["folder"]))

    def marks_on(self, cells: Sequence[Cell]) -> dict[str, str]:
        """Return notes on these cells' files that a reader of the scores needs: a word and a sentence each."""
        scored = [(output, cell.driver) for cell in cells if (output := self.folder.of(cell))]
        marks = {}
        for word, sentence in MARKS.items():
            concerned = [output for output, driver in scored if word in output.marks_on(driver)]
            if concerned:
                sizes = ", ".join(f"{width}x{height}" for width, height in sorted({o.size for o in concerned}))
                marks[counted(word, len(concerned), len(scored))] = sentence.format(sizes=sizes, size=SIZE)
        return marks

    def unused(self, cells: Sequence[Cell]) -> list[str]:
        """Return the names in the folder that belong to no cell's output, except for the mapping and hidden files."""
        return self.folder.others({output.path for cell in cells if (output := self.folder.of(cell))})

    def identity(self) -> Mapping[str, object]:
        """Return {}, because each cell depends only on its own files (`sources`) and its line in the mapping."""
        return {}

    def sources(self, cell: Cell) -> Sequence[Path]:
        """Return the files of one cell's output, or [] if it has no output."""
        output = self.folder.of(cell)
        return output.files() if output else []

    def identity_on(self, cell: Cell) -> Mapping[str, object]:
        """Return which of the driver's frames one cell's output shows, or None for all of them."""
        output = self.folder.of(cell)
        return {"frames": output.frames if output else None}

    def check(self, cell: Cell) -> None:
        """Raise NotSupplied for a cell without an output, naming similar entries in the folder."""
        if self.folder.of(cell):
            return
        where = self.folder.folder
        missing = f"no output for {cell.driver.name} on {cell.template.name} in {where}"
        if self.folder.mapped:
            raise NotSupplied(f"{missing}: {MAPPING} has no line with both names")
        kit = f" or {'__'.join(cell.known_as[0])}" if cell.known_as else ""
        near = self.folder.near(cell)
        there = f"; similar names: {few(near)}" if near else ""
        raise NotSupplied(f"{missing}: no folder of pictures, video or GIF is called {cell.name}{kit}{there}")

    def animate_cell(self, cell: Cell) -> Frames:
        """Return frames uint8 (T, 256, 256, 3) RGB.

        Raise CellFailed if the number of frames is wrong, and NotSupplied if there is no output.
        """
        self.check(cell)
        output = self.folder.of(cell)
        assert output is not None
        try:
            frames = _squared(output.path)
        except CellFailed:
            raise
        except BenchError as error:
            raise CellFailed(str(error)) from None
        n_frames = cell.driver.n_frames
        if output.frames is not None:
            return _held(frames, output, n_frames)
        frames = _once_each(frames, n_frames)
        if len(frames) != n_frames:
            raise CellFailed(
                f"{output.path} has {plural(len(frames), 'frame')}, but the driver has {n_frames}. Give"
                f" one for each frame of the driver, or list in {MAPPING} (column frames) which of them the pictures"
                " show"
            )
        return frames


def _squared(path: Path) -> Frames:
    """Return all frames of an output as (T, 256, 256, 3), padded to squares in the same way as face crops.

    A method that was given face crops of 137x168 returns frames of that shape; its driver was padded in the same way
    (see megbench.faces.crop). Raise CellFailed for pictures whose shape is not that of a single face.
    """
    frames: list[Frames] = []
    aspect = pixel_aspect(path)
    for picture in read_clip(path):
        width, height = display_size(picture, aspect)
        if max(width, height) > LONGEST_SHAPE * min(width, height):
            raise CellFailed(
                f"{path}: {round(width)}x{round(height)} is not the shape of a single face. Crop the output from the"
                " strip or page"
            )
        frames.append(crop(picture, whole_square((width, height)), aspect))
    return np.stack(frames)


def _once_each(frames: Frames, n_frames: int) -> Frames:
    """Return each frame once if all frames are repeated equally often without change, as in published GIFs."""
    times, rest = divmod(len(frames), n_frames)
    if times < 2 or rest:
        return frames
    repeated = frames.reshape(n_frames, times, *frames.shape[1:])
    return repeated[:, 0] if (repeated[:, 1:] == repeated[:, :1]).all() else frames


def _held(frames: Frames, output: Output, n_frames: int) -> Frames:
    """Return a picture for every frame of the driver: the first picture of each kept frame, held until the next kept
    frame."""
    shown = np.array(output.frames)
    if len(shown) != len(frames):
        raise CellFailed(f"{output.path} has {plural(len(frames), 'frame')}, but its mapping lists {len(shown)}")
    if shown[-1] >= n_frames:
        raise CellFailed(
            f"{output.path}: the mapping lists frame {shown[-1]}, but the driver has {n_frames} frames, counted from 0."
            " Correct the column frames"
        )
    kept, first = np.unique(shown, return_index=True)
    return frames[first[np.searchsorted(kept, np.arange(n_frames), side="right") - 1]]
