"""Find an external program's output, crop it to the result, and return one frame for each frame of the driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path, PurePath

import numpy as np

from megbench.core.errors import BenchError, CellFailed, few, plural
from megbench.core.frames import SIZE, Frames
from megbench.core.pictures import Picture, is_picture, numbers_in, pictures_in
from megbench.core.video import TooShort, is_video, read_clip
from megbench.faces.crop import resized
from megbench.methods.external_description import IN_CHECKOUT, Description

# The largest share of a driver's frames that a program may omit if omitted frames are filled in (`skipped: repeat`).
MOST_SKIPPED = 0.1


def place_of(work: Path, described: Description) -> Path:
    """Return the path that {output} stands for: a video to be written, or a folder."""
    return work / ("output.mp4" if described.output == "video" and not described.found else "output")


def results_folder(described: Description) -> PurePath | None:
    """Return the checkout's folder of outputs, or None if they are elsewhere or in the checkout itself."""
    inside = PurePath(described.found.removeprefix(IN_CHECKOUT)).parts[:-1]
    fixed = tuple(takewhile(lambda part: not set(part) & set("*?["), inside))
    return PurePath(*fixed) if described.leaves_in_checkout and fixed else None


def there_already(described: Description) -> dict[Path, int]:
    """Return the paths in the checkout that match `found` before a run, with their modification times.

    Return {} if outputs are in {output}.
    """
    if not described.leaves_in_checkout:
        return {}
    return {path: _changed(path) for path in _candidates(Path(described.checkout), described)}


def output_of(work: Path, described: Description, before: Mapping[Path, int]) -> Path:
    """Return a program's only output or, if outputs are in the checkout, the one changed most recently since `before`.

    Raise CellFailed if there is no output, if there are several, or if the output contains links to places outside its
    folder.
    """
    kind = "video" if described.output == "video" else "folder of pictures"
    if described.leaves_in_checkout:
        home = Path(described.checkout)
        written = [path for path in _candidates(home, described) if _changed(path) != before.get(path)]
        if not written:
            older = f" (older matches: {len(before)})" if before else ""
            raise CellFailed(f"{described.system} wrote no {kind} that matches {described.found}{older}")
        output = max(written, key=_changed)
    else:
        home = work
        candidates = _candidates(place_of(work, described), described)
        if len(candidates) != 1:
            message = f"{described.system} left {len(candidates)} outputs, but one {kind} is needed"
            raise CellFailed(message + _left(place_of(work, described), candidates, described))
        output = candidates[0]
    files = [output, *(output.iterdir() if output.is_dir() else [])]
    if any(not path.resolve().is_relative_to(home.resolve()) for path in files):
        raise CellFailed(f"{described.system} left links that point outside its folder. Make it write files")
    return output


def _left(place: Path, candidates: Sequence[Path], described: Description) -> str:
    """Return, for an error message, the names of several outputs or, if there are none, of other files."""
    shown = candidates or sorted(path for path in place.rglob("*") if path.is_file())
    names = few([path.relative_to(place).as_posix() for path in shown]) or "nothing"
    if candidates:  # only a pattern can match several
        return f"; `found` matches {names}"
    return f"; {{output}} contains {names}: correct `{'found' if described.found else 'output'}`"


def frames_of(output: Path, described: Description, n_frames: int) -> Frames:
    """Return an output as (n_frames, 256, 256, 3) uint8 RGB. Raise CellFailed unless it matches the description."""
    pictures: list[Picture] = []
    try:
        for picture in read_clip(output):
            pictures.append(_panel(picture, described))
    except TooShort:
        if not pictures:
            raise CellFailed(f"{described.system} wrote a video without frames") from None
        # a video of one frame is reported below, with the driver's number of frames
    except CellFailed:
        raise
    except BenchError as error:
        raise CellFailed(f"{described.system}: {error}") from None
    size = described.size
    if pictures[0].shape[:2] != (size, size):
        height, width = pictures[0].shape[:2]
        raise CellFailed(f"{described.system} made {width}x{height} pictures, but its description says {size}x{size}")
    shown = range(n_frames) if len(pictures) == n_frames else _filled(output, len(pictures), n_frames, described)
    return np.stack([resized(pictures[index], SIZE, SIZE) for index in shown])


def _candidates(place: Path, described: Description) -> list[Path]:
    """Return the possible outputs that match in a place, or the place itself, sorted by name."""
    found = sorted(place.glob(described.found.removeprefix(IN_CHECKOUT))) if described.found else [place]
    if described.output == "video":
        return [path for path in found if is_video(path)]
    return [path for path in found if path.is_dir() and any(map(is_picture, path.iterdir()))]


def _changed(path: Path) -> int:
    """Return the time, in nanoseconds, at which a file or anything in a folder was last changed."""
    return max(each.stat().st_mtime_ns for each in [path, *(path.iterdir() if path.is_dir() else [])])


def _panel(picture: Picture, described: Description) -> Picture:
    which, count = described.panels
    height, width = picture.shape[:2]
    if width % count:
        raise CellFailed(
            f"{described.system} made {width}x{height} pictures, which cannot be split into {count} panels of equal"
            f" width (panel: {described.panel})"
        )
    part = width // count
    return picture[:, (which - 1) * part : which * part]


def _filled(output: Path, count: int, n_frames: int, described: Description) -> Sequence[int]:
    """Return, for each frame of the driver, the index of the picture to show: the last one not later than that frame.

    Numbers in the pictures' names show which frames are missing; if there are no numbers, the pictures are spaced
    evenly.
    """
    made = f"{described.system} made {plural(count, 'frame')}, but the driver has {n_frames}"
    if described.driver_fps:
        made += f" and was passed at {described.driver_fps:g} frames per second (driver_fps)"
    if described.skipped == "refuse" or count > n_frames:
        raise CellFailed(made)
    if count < (1 - MOST_SKIPPED) * n_frames:
        raise CellFailed(f"{made}; at most {MOST_SKIPPED:.0%} can be filled in (skipped: repeat)")
    numbers = _numbers(output, n_frames)
    at = np.linspace(0, n_frames - 1, count).round() if numbers is None else numbers
    last = np.searchsorted(at, np.arange(n_frames), side="right") - 1
    return [int(index) for index in last.clip(0)]  # frames before the first picture repeat it


def _numbers(output: Path, n_frames: int) -> np.ndarray | None:
    """Return the indices of the driver's frames shown by a folder's pictures, from the numbers in their names.

    The names may be numbered from 0 or 1. Return None for a video, or if the frames cannot be derived from the names.
    """
    if not output.is_dir():
        return None
    named = [numbers_in(path) for path in pictures_in(output)]
    if not all(named):
        return None
    numbers = np.array([found[-1] for found in named])
    numbers -= 0 if 0 in numbers else 1
    tell = (np.diff(numbers) > 0).all() and numbers[-1] < n_frames
    return numbers if tell else None
