"""Convert what a program passes (clips, portraits and outputs, as arrays or paths) to folders that the suite reads."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from megbench.core.errors import BenchError
from megbench.core.files.names import check_name
from megbench.core.frames import write_frames, write_png
from megbench.core.pictures import is_picture, pictures_in
from megbench.core.video import is_video

Pixels = npt.NDArray[np.uint8]
Place = str | os.PathLike[str]
Given = Place | Pixels | Mapping[Any, Place | Pixels]
# The names given to a clip and a portrait that are passed as single arrays.
DRIVER, TEMPLATE = "driver", "template"
JOINT = "__"
WAYS = "a folder, a mapping of names to paths or arrays, or one array"


def drivers_folder(given: Given, target: Path) -> Path:
    """Return a folder of clips: either the folder that was passed, or `target`, filled with one clip per name.

    A clip is a video, a folder of pictures or an array uint8 (T, H, W, 3) RGB. Raise BenchError for anything else.
    """
    return _folder("drivers", given, target, DRIVER)


def templates_folder(given: Given, target: Path) -> Path:
    """Do the same as `drivers_folder` for portraits. A portrait is a picture or an array uint8 (H, W, 3) RGB."""
    return _folder("templates", given, target, TEMPLATE)


def outputs_folder(given: Given, target: Path) -> Path:
    """Do the same as `drivers_folder` for outputs. Their names are (driver, template) or "driver__template"."""
    if isinstance(given, Mapping):
        cells = {_cell_name(name): one for name, one in given.items()}
        if len(cells) < len(given):
            raise BenchError("outputs: a cell is named twice, as (driver, template) and as a string. Keep one of them.")
        return _folder("outputs", cells, target, "")
    return _folder("outputs", given, target, f"{DRIVER}{JOINT}{TEMPLATE}")


def _cell_name(name: object) -> str:
    parts = name.split(JOINT) if isinstance(name, str) else name
    if not isinstance(parts, tuple | list) or len(parts) != 2 or not all(isinstance(part, str) for part in parts):
        raise BenchError(f"outputs: {name!r} is not a cell. Write (driver, template) or 'driver{JOINT}template'.")
    return JOINT.join(check_name(role, part) for role, part in zip((DRIVER, TEMPLATE), parts, strict=True))


def _folder(role: str, given: Given, target: Path, alone: str) -> Path:
    """Return `given` if it is a path; otherwise fill `target` and return that. alone: the name of a single array."""
    if isinstance(given, str | os.PathLike):
        return Path(given).expanduser().resolve()
    named = {alone: given} if isinstance(given, np.ndarray) else given
    if not isinstance(named, Mapping):
        raise BenchError(f"{role}: {type(given).__name__} cannot be read. Pass {WAYS}.")
    if not named:
        raise BenchError(f"{role}: the mapping is empty. Pass {WAYS}.")
    target.mkdir(parents=True)
    for name, one in named.items():
        place = target / (name if role == "outputs" else _name(role, name))
        if isinstance(one, np.ndarray):
            _write(role, str(name), one, place)
        elif isinstance(one, str | os.PathLike):
            _copy(role, str(name), Path(one).expanduser(), place)
        else:
            raise BenchError(f"{role}: {name} is of type {type(one).__name__}. Pass a path or an array.")
    return target


def _name(role: str, name: object) -> str:
    if not isinstance(name, str):
        raise BenchError(f"{role}: the name {name!r} is not a string. Pass names as strings.")
    return check_name(role.removesuffix("s"), name)


def _write(role: str, name: str, pixels: Pixels, place: Path) -> None:
    """Write an array as lossless PNG files."""
    shape = ("H", "W", "3") if role == "templates" else ("T", "H", "W", "3")
    if pixels.dtype != np.uint8 or pixels.ndim != len(shape) or pixels.shape[-1] != 3 or not pixels.size:
        raise BenchError(
            f"{role}: {name} is an array of type {pixels.dtype} and shape {pixels.shape}. Pass uint8"
            f" ({', '.join(shape)}), RGB from 0 to 255."
        )
    if role == "templates":
        write_png(place.with_name(f"{name}.png"), pixels)
    else:
        write_frames(place, pixels)


def _copy(role: str, name: str, path: Path, place: Path) -> None:
    """Copy a picture, a video or a folder's pictures, because outputs are read only from within their own folder."""
    pictures = pictures_in(path) if path.is_dir() and role != "templates" else []
    if pictures:
        place.mkdir()
        for picture in pictures:
            shutil.copyfile(picture, place / picture.name)
    elif (is_picture if role == "templates" else is_video)(path):
        shutil.copyfile(path, place.with_name(f"{place.name}{path.suffix}"))
    else:
        wanted = "a picture" if role == "templates" else "a video or a folder of pictures"
        raise BenchError(f"{role}: {name}: {path} is not {wanted}, or does not exist. Pass another path.")
