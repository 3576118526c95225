"""Measurements of clips from onset to apex, one flow per clip, stored by content."""

from __future__ import annotations

import functools
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from megbench.clips.synthetic.parallel import in_parallel
from megbench.core.clip import Float32s
from megbench.core.errors import BenchError
from megbench.core.files.cache import digest
from megbench.core.files.whole_files import whole_file
from megbench.core.frames import content_hash, frame_path, grey, read_png
from megbench.core.provenance import recipe
from megbench.faces.dis import coarse_flow
from megbench.faces.head import fit_head, head_flow
from megbench.faces.landmarks import Grey, Points, landmarks
from megbench.faces.regions import face_regions
from megbench.recognition.flow_picture import flow_picture

# The maximum number of frames that are searched for the largest motion.
LOOKED_AT = 64


@dataclass(frozen=True)
class Moment:
    """A clip whose motion from onset to apex is to be measured.

    what: the clip's name in messages.
    content: a hash of everything that determines its frames.
    read: a function that returns a frame, grey (256, 256) uint8.
    apex: None if the apex was not coded.
    points: the landmarks (68, 2) of the onset frame, or None if they are unknown.
    """

    what: str
    content: str
    read: Callable[[int], Grey]
    n_frames: int
    onset: int
    apex: int | None
    points: Points | None = None

    def key(self) -> str:
        """Return the content key of the measurement."""
        return digest([recipe(__name__), self.content, self.n_frames, self.onset, self.apex])


@dataclass(frozen=True, eq=False)
class Measured:
    """The measurement of a clip.

    picture: u, v, strain (3, 28, 28) float32. apex: the apex frame. pixels: hashes of the two frames after conversion
    to grey.
    """

    picture: Float32s
    apex: int
    pixels: tuple[str, str]


def grey_frame(folder: Path, index: int) -> Grey:
    """Return a frame from a folder of PNG files in grey, (256, 256) uint8."""
    return grey(read_png(frame_path(folder, index))[None])[0]


def why_guessed(onset: int, apex: int | None, n_frames: int) -> str:
    """Return why the frame with the largest motion replaces a clip's coded apex, or "" if the coded apex is usable."""
    if apex is None:
        return "no coded apex"
    if apex <= onset:
        return "an apex at or before the onset"
    return "" if apex < n_frames else "an apex outside the clip"


def guessed_notes(whys: Sequence[str], things: str) -> list[str]:
    """Return a line for each reason to replace apexes of `things` ("clips", "drivers"), with the number replaced."""
    return [
        f"{why} in {count} of {len(whys)} {things}; the frame with the largest motion is used there instead"
        for why, count in Counter(filter(None, whys)).items()
    ]


def measure(moments: Sequence[Moment], cache: Path | None, title: str, workers: int = 1) -> list[Measured | str]:
    """Return the measurements of the clips, in order.

    In place of a measurement that is impossible, the list contains a string that states why. Measurements in `cache`
    are reused. workers: the number of processes; 0 means one per processor that may be used.
    """
    found: dict[int, Measured | str] = {
        index: kept for index, moment in enumerate(moments) if (kept := _kept(moment, cache))
    }
    waiting = [index for index in range(len(moments)) if index not in found]
    made = in_parallel(functools.partial(_keep, cache), [moments[index] for index in waiting], title, workers=workers)
    found.update(zip(waiting, made, strict=True))
    return [found[index] for index in range(len(moments))]


def _keep(cache: Path | None, moment: Moment) -> Measured | str:
    """Measure a clip and store the result at once, so that nothing has to be measured again after an interruption."""
    result = _measured(moment)
    if cache is not None and isinstance(result, Measured):
        with whole_file(_path(moment, cache), lasting=False) as file:
            np.savez(file, picture=result.picture, apex=np.array(result.apex), pixels=np.array(result.pixels))
    return result


def _path(moment: Moment, cache: Path) -> Path:
    key = moment.key()
    return cache / "features" / key[:2] / f"{key}.npz"


def _kept(moment: Moment, cache: Path | None) -> Measured | None:
    if cache is None:
        return None
    try:
        with np.load(_path(moment, cache), allow_pickle=False) as stored:
            first, later = map(str, stored["pixels"])
            return Measured(stored["picture"], int(stored["apex"]), (first, later))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _measured(moment: Moment) -> Measured | str:
    if moment.onset + 1 >= moment.n_frames:
        return f"{moment.what}: no frame follows its onset"
    try:
        first = moment.read(moment.onset)
        points = landmarks(first, f"the onset of {moment.what}") if moment.points is None else moment.points
        apex = moment.apex
        if apex is None or why_guessed(moment.onset, apex, moment.n_frames):
            apex = _largest_motion(moment, first, points)
        later = moment.read(apex)
    except BenchError as error:
        return str(error)
    return Measured(flow_picture(first, later, points), apex, (content_hash(first), content_hash(later)))


def _largest_motion(moment: Moment, first: Grey, points: Points) -> int:
    """Return the frame in which the face has moved furthest from the onset, with head motion removed."""
    regions = face_regions(points)

    def moved(index: int) -> float:
        flow = coarse_flow(first, moment.read(index))
        facial = flow - head_flow(fit_head(flow, regions.stable))
        return float(np.linalg.norm(facial[regions.face], axis=-1).mean())

    later = np.arange(moment.onset + 1, moment.n_frames)
    looked_at = later[np.unique(np.linspace(0, len(later) - 1, min(len(later), LOOKED_AT)).round().astype(int))]
    return max(map(int, looked_at), key=moved)
