"""Render nine drivers of 30 to 126 frames and two templates as folders of pictures, as in MEGC2021.

Usage: long_drivers.py FOLDER [COUNT]. COUNT of the nine drivers are rendered, evenly from the shortest to the longest.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from megbench.clips.synthetic.rendered_clips import shoot
from megbench.core.files.cache import link_folder
from megbench.core.frames import write_png
from megbench.protocols.demo import SHEET, Demo, Driver

LENGTHS = np.linspace(30, 126, 9).round().astype(int)


def stretched(driver: Driver, frames: int) -> Driver:
    """Return a driver of the demo whose expression takes `frames` frames."""
    ratio = (frames - 1) / (driver.frames - 1)
    units = {unit: tuple((frame * ratio, value) for frame, value in keys) for unit, keys in driver.units.items()}
    return driver.model_copy(update={"frames": frames, "units": units})


def main(folder: Path, count: int = len(LENGTHS)) -> None:
    """Write `drivers/NAME/00000.png ...` for `count` of the drivers, and `templates/NAME.png`."""
    demo = Demo(folder / "store")
    chosen = np.linspace(0, len(LENGTHS) - 1, count).round().astype(int)
    scenes = [
        replace(demo._driver(index), performance=stretched(SHEET.drivers[index], frames).performance(), takes=1)
        for index, frames in zip(chosen.tolist(), LENGTHS[chosen].tolist(), strict=True)
    ]
    for clip in (takes[0] for takes in shoot(scenes, folder / "store")):
        link_folder(clip.folder / "frames", folder / "drivers" / clip.name)
    (folder / "templates").mkdir()
    for name, template in {cell.template.name: cell.template for cell in demo.cells()}.items():
        write_png(folder / "templates" / f"{name}.png", template.image)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), *map(int, sys.argv[2:]))
