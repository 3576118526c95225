"""Drivers that are altered as if recorded under other conditions, to test whether a ranking holds (`--perturb`).

Each altered driver is a separate clip with its own content. Truths remain unchanged, with one exception: frames that
are dropped from a driver are dropped from its truths, too.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from megbench.core.clip import Cell, Clip, KnownMotion, load_clip, save_clip
from megbench.core.errors import BenchError, unknown_name
from megbench.core.files.cache import digest, touch, whole_folder
from megbench.core.frames import SIZE, Frames, grey
from megbench.core.progress import track
from megbench.core.provenance import recipe
from megbench.core.video_writing import reencode

# The frame rate assumed for clips whose own is unknown; H.264 compression hardly depends on it.
USUAL_FPS = 25.0


@dataclass(frozen=True)
class Kind:
    """One way of altering a driver.

    says: what is done, in words, with a placeholder for the strength. alter: a function of frames uint8 (T, 256, 256,
    3), their clip and a strength that returns altered frames; None if frames are only dropped. strength: the usual
    strength, or None if there is none to choose. least, most: the limits of the strength. whole: whether the strength
    must be a whole number. nothing: the strength that alters nothing, or None if every strength alters something.
    """

    says: str
    alter: Callable[[Frames, Clip, float], Frames] | None
    strength: float | None = None
    least: float = 0.0
    most: float = 0.0
    whole: bool = False
    nothing: float | None = None


def _jpeg(frames: Frames, clip: Clip, quality: float) -> Frames:
    files = (cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1] for frame in frames)
    return np.stack([np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR_RGB), np.uint8) for file in files])


def _h264(frames: Frames, clip: Clip, crf: float) -> Frames:
    return reencode(frames, clip.fps or USUAL_FPS, {"crf": f"{crf:g}"})


def _noise(frames: Frames, clip: Clip, sigma: float) -> Frames:
    """Return frames with noise that is seeded by the clip's content.

    A driver and its reference thus have different noise, but a given clip always has the same.
    """
    drawn = np.random.default_rng(int(clip.content[:16], 16)).standard_normal(frames.shape, dtype=np.float32)
    return _rounded(frames + np.float32(sigma) * (drawn[..., :1] if clip.colour == "grey" else drawn))


def _brightness(frames: Frames, clip: Clip, factor: float) -> Frames:
    return _rounded(frames * np.float32(factor))


def _half_size(frames: Frames, clip: Clip, _: float) -> Frames:
    half, whole = (SIZE // 2, SIZE // 2), (SIZE, SIZE)
    small = (cv2.resize(frame, half, interpolation=cv2.INTER_AREA) for frame in frames)
    return np.stack([cv2.resize(frame, whole, interpolation=cv2.INTER_CUBIC) for frame in small]).astype(np.uint8)


def _shift(frames: Frames, clip: Clip, by: float) -> Frames:
    return _moved(frames, int(by))


def _rounded(values: np.ndarray) -> Frames:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def _moved(maps: np.ndarray, by: int) -> np.ndarray:
    """Return maps (N, 256, 256, C) shifted right and down by a whole number of pixels; the border is repeated."""
    came_from = np.clip(np.arange(SIZE) - by, 0, SIZE - 1)
    return np.ascontiguousarray(maps[:, came_from][:, :, came_from])


KINDS = {
    "jpeg": Kind("every frame was saved as JPEG of quality {:g}", _jpeg, 50, 1, 100, whole=True),
    "h264": Kind("the clip was saved as H.264 at crf {:g}, with x264's usual settings", _h264, 23, 0, 51),
    "noise": Kind("Gaussian noise of {:g} grey levels was added to every frame", _noise, 4, 0, 50, nothing=0),
    "brightness": Kind("every value was multiplied by {:g}", _brightness, 0.7, 0.1, 3, nothing=1),
    "half_size": Kind("frames were shrunk to 128 x 128 and enlarged again", _half_size),
    "shift": Kind("the face was moved {:g} pixels to the right and down", _shift, 8, -64, 64, whole=True, nothing=0),
    "half_rate": Kind("every second frame was left out", None),
}


@dataclass(frozen=True)
class Perturbation:
    """A kind of alteration and its strength, which is None for a kind without one."""

    kind: str
    strength: float | None

    @property
    def label(self) -> str:
        """The alteration as written on the command line, such as "jpeg=50"."""
        return self.kind if self.strength is None else f"{self.kind}={self.strength:g}"

    @property
    def says(self) -> str:
        """What was done to the drivers, in words."""
        return KINDS[self.kind].says.format(self.strength)


def perturbations(given: Sequence[str]) -> list[Perturbation]:
    """Return the perturbations listed in `--perturb`, each as "name" or "name=strength".

    Raise BenchError for an unknown name or an invalid strength.
    """
    return list(dict.fromkeys(map(_perturbation, given)))


def _perturbation(text: str) -> Perturbation:
    name, equals, number = (part.strip() for part in text.partition("="))
    if name not in KINDS:
        raise unknown_name("perturbation", name, KINDS)
    kind = KINDS[name]
    if not equals:
        return Perturbation(name, kind.strength)
    if kind.strength is None:
        raise BenchError(f"--perturb {text}: {name} takes no strength. Write just {name}.")
    try:
        strength = float(number)
    except ValueError:
        strength = math.nan
    if not kind.least <= strength <= kind.most or (kind.whole and strength != int(strength)):
        what = "a whole number" if kind.whole else "a number"
        raise BenchError(f"--perturb {text}: the strength must be {what} from {kind.least:g} to {kind.most:g}.")
    if strength == kind.nothing:
        usual = f"such as the usual {name}={kind.strength:g}"
        raise BenchError(f"--perturb {text}: this strength alters nothing. Choose another, {usual}.")
    return Perturbation(name, strength + 0.0)  # turns -0 into 0


def perturbed_cells(cells: Sequence[Cell], perturbation: Perturbation, cache: Path) -> list[Cell]:
    """Return the cells with altered drivers, references and foils, creating the clips that are not in `cache`.

    If every second frame of a driver is dropped, its truth loses the same frames; otherwise truths remain unchanged.
    """
    made: dict[tuple[str, str], Clip] = {}

    def altered(clip: Clip) -> Clip:
        place = clip.name, clip.content
        if place not in made:
            made[place] = _altered(clip, perturbation, cache)
        return made[place]

    def alike(cell: Cell) -> Cell:
        truth = cell.truth and (altered(cell.truth) if perturbation.kind == "half_rate" else cell.truth)
        foil = cell.foil and altered(cell.foil)
        return dataclasses.replace(
            cell, driver=altered(cell.driver), reference=altered(cell.reference), truth=truth, foil=foil
        )

    return [alike(cell) for cell in track(cells, f"Altering drivers, {perturbation.label}", "cell")]


def _altered(clip: Clip, perturbation: Perturbation, cache: Path) -> Clip:
    if clip.problem:
        return clip
    if perturbation.kind == "half_rate" and clip.n_frames < 3:
        return dataclasses.replace(clip, problem=f"{clip.name}: half_rate leaves 1 of its {clip.n_frames} frames")
    how = [perturbation.kind, perturbation.strength]
    folder = cache / digest(["perturbed", recipe(__name__), clip.state(), how])
    if kept := load_clip(folder):
        touch(folder)
        return kept
    frames, facts, known = clip.frames(), clip, clip.known()
    if perturbation.kind == "half_rate":
        frames, facts, known = frames[::2], _at_half_rate(clip), known and _every_second(known)
    elif alter := KINDS[perturbation.kind].alter:
        frames = alter(frames, clip, perturbation.strength or 0.0)
        if clip.colour == "grey":
            frames = np.repeat(grey(frames)[..., None], 3, axis=-1)
        if perturbation.kind == "shift":
            known = known and _known_moved(known, int(perturbation.strength or 0))
    with whole_folder(folder, load_clip) as temporary:
        made = save_clip(temporary, facts, np.ascontiguousarray(frames), known)
    return dataclasses.replace(made, folder=folder)


def _at_half_rate(clip: Clip) -> Clip:
    onset, apex, offset = (
        None if frame is None else frame // 2 for frame in (clip.onset_frame, clip.apex_frame, clip.offset_frame)
    )
    return dataclasses.replace(
        clip, fps=clip.fps and clip.fps / 2, onset_frame=onset, apex_frame=apex, offset_frame=offset
    )


def _every_second(known: KnownMotion) -> KnownMotion:
    over_time = ("au_intensity", "head", "landmarks")
    return dataclasses.replace(known, **{name: getattr(known, name)[::2] for name in over_time})


def _known_moved(known: KnownMotion, by: int) -> KnownMotion:
    """Return the motion of a picture shifted to the right and down by `by` pixels."""
    head = known.head.copy()
    head[:, :, 2] += by - by * known.head[:, :, :2].sum(-1)  # the head rotates about the moved position
    return dataclasses.replace(known, bases=_moved(known.bases, by), head=head, landmarks=known.landmarks + by)
