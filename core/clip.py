"""Clips (sequences of frames with their metadata), templates (still faces) and cells (pairs of a clip and a template).

On disk a clip is a folder: `frames/00000.png ...`, `known.npz` for rendered clips, and `clip.json`, written last.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from megbench.core.errors import BenchError, CellFailed
from megbench.core.files.cache import read_kept, write_kept
from megbench.core.files.hashes import file_facts, hash_if_readable, remember, unaltered
from megbench.core.files.names import check_name
from megbench.core.files.whole_files import whole_file
from megbench.core.frames import SIZE, Frames, check_frames, content_hash, read_frames, write_frames

Float32s = npt.NDArray[np.float32]
KNOWN = "known.npz"


@dataclass(frozen=True)
class KnownMotion:
    """The exact motion of a rendered clip. Frame 0 is neutral: all intensities are 0 and the head is at rest.

    action_units: the K units that move, such as "AU12".
    au_intensity: (T, K) float32; at 1, the vertex that moves farthest moves by 5 % of the distance between the eyes.
    bases: (K, 256, 256, 2) float16, x and y displacement in pixels of frame 0 at intensity 1.
    head: (T, 2, 3) float32, a similarity transform in pixels, applied after the action units.
    landmarks: (T, 68, 2) float32, exact landmark positions in pixels (iBUG order).
    """

    action_units: tuple[str, ...]
    au_intensity: Float32s
    bases: npt.NDArray[np.float16]
    head: Float32s
    landmarks: Float32s

    def flow(self, frame: int) -> Float32s:
        """Return the exact forward flow from frame 0 to `frame`: (256, 256, 2) float32, pixels, x then y."""
        moved = pixel_grid() + np.tensordot(self.au_intensity[frame], self.bases.astype(np.float32), axes=1)
        return np.asarray(moved @ self.head[frame, :, :2].T + self.head[frame, :, 2] - pixel_grid(), np.float32)


@functools.cache
def pixel_grid(size: int = SIZE) -> Float32s:
    """Return a read-only grid of pixel coordinates (size, size, 2) float32, x then y."""
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1).astype(np.float32)
    grid.flags.writeable = False
    return grid


@dataclass(frozen=True)
class Clip:
    """A sequence of prepared frames (256 x 256 RGB) in `folder`.

    Frame numbers count from 0 within the clip; onset, apex and offset are None if they were not coded. `emotion` is
    "negative", "positive", "surprise" or the database's own label. `action_units` is the coders' raw text ("4+L10").
    `content` is the hash of the frames. `rendered` is true for clips rendered by this suite.

    `box` is the square (left, top, right, bottom) that was cropped from the upright original picture, in display
    pixels. It may extend beyond the picture (megbench.faces.crop) and is None for rendered clips. `faces` lists the
    widths, in display pixels, of the faces in the original first frame, largest first. `face` is the user's choice
    among these faces ("left", "right" or a rank by size), or "" for the largest.

    `recording` is a name that is unique across all databases ("casme2/sub19_EP01_01f"), so that the suite can tell
    whether a model was trained on this clip; it is "" for clips that belong to no database. `medium` states how the
    file format affects motion (a GIF, an interlaced video), or "" for ordinary files. `problem` states why the frames
    cannot be used (no face was found, the video is damaged): cells with this clip fail with that reason and the run
    continues. It is "" for a usable clip.
    """

    folder: Path
    name: str
    database: str
    subject: str
    emotion: str
    n_frames: int
    content: str
    fps: float | None = None
    onset_frame: int | None = None
    apex_frame: int | None = None
    offset_frame: int | None = None
    action_units: str | None = None
    box: tuple[int, int, int, int] | None = None
    colour: str = "rgb"
    recording: str = ""
    rendered: bool = False
    face: str = ""
    faces: tuple[int, ...] = ()
    medium: str = ""
    problem: str = ""

    @property
    def person(self) -> str:
        """The name of the person shown in the clip, as returned by the function `person`."""
        return person(self.database, self.subject)

    def frames(self) -> Frames:
        """Return all frames, uint8 (T, 256, 256, 3) RGB.

        Raise BenchError if a file is missing or has been altered, and CellFailed if the clip has a problem.
        """
        if self.problem:
            raise CellFailed(self.problem)
        frames = check_frames(read_frames(self.folder / "frames", self.n_frames), f"Clip {self.name}")
        kept = load_clip(self.folder)  # hashes the files, whose size is a fifth of that of the pixels
        if (kept is None or kept.content != self.content) and content_hash(frames) != self.content:
            raise BenchError(f"{self.folder}: the frames were altered. Run the same command again to recreate them.")
        return frames

    def known(self) -> KnownMotion | None:
        """Return the exact motion of a rendered clip, or None for a recording."""
        if not self._known.exists():
            return None
        with np.load(self._known, allow_pickle=False) as data:
            return KnownMotion(
                action_units=tuple(str(unit) for unit in data["action_units"]),
                au_intensity=data["au_intensity"],
                bases=data["bases"],
                head=data["head"],
                landmarks=data["landmarks"],
            )

    def facts(self) -> dict[str, Any]:
        """Return every field except the folder, as JSON values."""
        return {name: value for name, value in vars(self).items() if name != "folder"}

    def state(self) -> dict[str, Any]:
        """Return everything that may change a number computed from this clip, as JSON values."""
        return {**self.facts(), "known": hash_if_readable(self._known)}

    @property
    def _known(self) -> Path:
        return self.folder / KNOWN


def several_faces(widths: Sequence[int], choice: str) -> str:
    """Return a note for readers about a clip that shows several faces, or "" for other clips.

    widths: the widths of the faces in pixels, largest first. choice: as returned by
    megbench.clips.chosen_face.check_face.
    """
    if len(widths) < 2:
        return ""
    taken = {"": "the largest", "left": "the left one", "right": "the right one"}
    told = taken.get(choice, f"number {choice} by size")
    return f"{len(widths)} faces in its first frame ({widths_in_words(widths)}), {told} was used"


def widths_in_words(widths: Sequence[int]) -> str:
    """Return widths in pixels as a phrase, such as "105, 105 and 73 px wide"."""
    *others, last = map(str, widths)
    return f"{', '.join(others)} and {last} px wide" if others else f"{last} px wide"


def family(database: str) -> str:
    """Return a database's name without the camera: "smic" for both smic and smic-vis."""
    return database.partition("-")[0]


def person(database: str, subject: str) -> str:
    """Return the name of the person shown in a clip, such as "smic/s11"; it is the same for all cameras."""
    return f"{family(database)}/{subject}"


def without_camera(recording: str) -> str:
    """Return a recording's name without the camera, such as "smic/s11_ne_02": all cameras record the same moment."""
    database, slash, clip = recording.partition("/")
    return f"{family(database)}{slash}{clip}"


def save_clip(folder: Path, clip: Clip, frames: Frames, known: KnownMotion | None = None) -> Clip:
    """Write a clip's folder, `clip.json` last; return the clip with its folder, frame count and content hash."""
    check_name("clip", clip.name)
    check_frames(frames, f"Clip {clip.name}")
    clip = dataclasses.replace(clip, folder=folder, n_frames=len(frames), content=content_hash(frames))
    files = {f"frames/{name}": facts for name, facts in write_frames(folder / "frames", frames).items()}
    if known is not None:
        with whole_file(folder / KNOWN, lasting=False) as file:
            np.savez(
                file,
                action_units=np.array(known.action_units),
                au_intensity=known.au_intensity,
                bases=known.bases,
                head=known.head,
                landmarks=known.landmarks,
            )
        files[KNOWN] = file_facts(folder / KNOWN)
    keep_facts(folder, clip, files)
    remember(folder, files)
    return clip


def keep_facts(folder: Path, clip: Clip, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Write `clip.json` into a clip's folder: the clip's facts and the sizes and hashes of its files."""
    (folder / "clip.json").unlink(missing_ok=True)
    write_kept(folder / "clip.json", {**clip.facts(), "files": dict(files)})


def load_clip(folder: Path) -> Clip | None:
    """Return the clip in `folder`, or None if it is missing, incomplete or from another version of the suite."""
    facts = read_kept(folder / "clip.json") or {}
    try:
        files, box, faces = facts.pop("files"), facts.pop("box"), tuple(facts.pop("faces", ()))
        clip = Clip(folder=folder, box=box and tuple(box), faces=faces, **facts)
    except (KeyError, TypeError):
        return None
    return clip if unaltered(folder, files) else None


@dataclass(frozen=True)
class Template:
    """A still face. `image` is uint8 (256, 256, 3) RGB, prepared in the same way as frames; `content` is its hash."""

    name: str
    subject: str
    image: Frames
    content: str

    @classmethod
    def of(cls, name: str, subject: str, image: Frames) -> Template:
        """Return a template made from a prepared picture. Raise BenchError for an invalid name or picture."""
        check_name("template", name)
        check_frames(image[None], f"Template {name}")
        return cls(name, subject, image, content_hash(image))


@dataclass(frozen=True)
class Cell:
    """A driver whose motion is to be transferred to a template, as listed by a protocol.

    driver: the clip passed to methods.
    reference: the clip that outputs are scored against. For a rendered clip it shows the same motion with different
    camera noise, so that no method is rewarded for copying noise; for a recording it is the driver itself.
    truth: the template rendered with the driver's expression, or None if it is not known.
    foil: a different driver that moves another part of the face (in a folder of recordings, any other driver), or None
    if the protocol names none.
    known_as: other names of the cell, as pairs (driver, template); () if there are none.
    """

    protocol: str
    driver: Clip
    template: Template
    reference: Clip
    truth: Clip | None = None
    foil: Clip | None = None
    known_as: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """The name of the cell's folder: driver, two underscores, template."""
        return f"{self.driver.name}__{self.template.name}"

    @property
    def problem(self) -> str:
        """The reason why no method can process this cell; "" if there is none."""
        return self.driver.problem or self.reference.problem or (self.truth.problem if self.truth else "")


def affine_points(points: Float32s, matrix: Float32s) -> Float32s:
    """Return points (N, 2) transformed by a 2 x 3 matrix."""
    return np.asarray(cv2.transform(points[None], matrix)[0], np.float32)
