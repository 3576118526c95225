"""Any folder of the user's: videos or folders of numbered pictures as clips, pictures as templates."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clips.stored import stored_clips
from clips.unread import remedies
from core.clip import Clip, Template, load_clip, save_clip
from core.clip_store import is_store
from core.errors import BenchError, CellFailed
from core.frames import Frames, grey, is_grey
from core.names import check_name
from core.progress import note, track
from core.store import digest, touch, whole_folder
from core.video import frame_rate, is_picture, is_video, pictures_in, read_clip, read_picture
from faces.landmarks import count_faces, crop, crop_box

PREPARATION = "crop-1"


@dataclass(frozen=True)
class Recording:
    """A clip in the making: where its frames are and what is known of it besides them, as core.clip.Clip has it.

    files: the pictures in the folder `path` that make the clip, in order; (): all of them.
    """

    path: Path
    name: str
    database: str
    subject: str
    emotion: str = "not coded"
    fps: float | None = None
    action_units: str | None = None
    onset_frame: int | None = None
    apex_frame: int | None = None
    offset_frame: int | None = None
    recording: str = ""
    files: tuple[Path, ...] = ()

    def facts(self) -> dict[str, Any]:
        """All that its clip takes over."""
        names = {field.name for field in dataclasses.fields(self)} - {"path", "files"}
        return {name: getattr(self, name) for name in sorted(names)}

    def pictures(self) -> list[Path]:
        """The files that hold the frames: pictures in order, or the video."""
        return list(self.files) or (pictures_in(self.path) if self.path.is_dir() else [self.path])


class Folder:
    """Adapter for a folder whose entries are videos or folders of pictures; what is neither is named and left out.

    It may also be a clip store (`bench.py prepare`).
    """

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        self.cache = cache

    def clips(self) -> list[Clip]:
        """All clips by name, prepared. BenchError for a missing folder, one without clips, or an unfit name."""
        if is_store(self.folder):
            return stored_clips(self.folder, self.cache)
        return prepare_all(self.recordings(), self.cache)

    def recordings(self) -> list[Recording]:
        """What there is, by name, not yet read."""
        listing = _listing("drivers", self.folder)
        paths = [path for path in listing if is_video(path) or (path.is_dir() and pictures_in(path))]
        if not paths:
            loose = sum(map(is_picture, listing))
            move = [f"Move the {loose} pictures into a folder of their own within it."] * bool(loose)
            remedy = " ".join(move + remedies(self.folder, listing)) or f"Add some{_holds(listing)}."
            raise BenchError(f"{self.folder}: no videos or folders of pictures in the drivers folder. {remedy}")
        _mention_others("drivers", listing, paths)
        for remedy in remedies(self.folder, [path for path in listing if path not in paths]):
            note(f"drivers: {remedy}")
        recordings = [Recording(path, _clip_name(path), "folder", _clip_name(path)) for path in paths]
        _check_unique("driver", self.folder, [recording.name for recording in recordings])
        return recordings


def _clip_name(path: Path) -> str:
    return check_name("driver", path.name if path.is_dir() else path.stem)


def _listing(role: str, folder: Path) -> list[Path]:
    """Entries of a folder by name, without hidden ones; BenchError if it is not a folder."""
    if not folder.exists():
        raise BenchError(f"The {role} folder {folder} does not exist. Give an existing folder with --{role}.")
    if not folder.is_dir():
        raise BenchError(f"The {role} path {folder} is a file. Give the folder that holds it with --{role}.")
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise BenchError(f"The {role} folder {folder} cannot be read ({error.strerror}). Check its rights.") from None


def _holds(listing: list[Path]) -> str:
    """Return what a folder holds instead, in brackets."""
    shown = ", ".join(ascii(path.name) for path in listing[:5]) + (", ..." if len(listing) > 5 else "")
    return f" (it holds {shown})" if listing else ""


def _mention_others(role: str, listing: Iterable[Path], used: list[Path]) -> None:
    others = [path.name for path in listing if path not in used]
    if others:
        shown = ", ".join(ascii(name) for name in others[:5]) + (", ..." if len(others) > 5 else "")
        note(f"{role}: {len(others)} entries are not {role} and are left out: {shown}")


def _check_unique(kind: str, folder: Path, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise BenchError(f"{folder}: {names.count(name)} {kind}s are called {name!r}. Rename all but one.")


def prepare_all(recordings: list[Recording], cache: Path) -> list[Clip]:
    """Clips of all recordings; those that cannot be used carry their problem. BenchError if none can be used."""
    clips = [prepare(recording, cache) for recording in track(recordings, "Preparing clips", "clip")]
    broken = [clip for clip in clips if clip.problem]
    if len(broken) == len(clips):
        more = f" (and {len(broken) - 1} more clips without a usable frame)" if len(broken) > 1 else ""
        raise BenchError(f"No driver can be used: {broken[0].problem}{more}")
    for clip in broken:
        note(f"driver {clip.name} cannot be used: {clip.problem}")
    return clips


def prepare(recording: Recording, cache: Path) -> Clip:
    """One recording as a clip of 256 x 256 frames, kept in `cache` by the content of its files.

    The box of the first frame cuts all frames. A recording that cannot be read, or without a face in its first frame,
    becomes a clip with a `problem` and without frames.
    """
    path = recording.path
    facts = recording.facts()
    try:
        folder = cache / digest([PREPARATION, facts, path.name, _files_hash(recording)])
    except OSError as error:
        problem = f"{error.filename or path}: the file cannot be read ({error.strerror}). Check its rights."
        return Clip(path, n_frames=0, content="", problem=problem, **facts)
    clip = load_clip(folder)
    if clip is not None:
        touch(folder)
        return clip
    try:
        frames, box = cut_frames(recording)
        facts["fps"] = recording.fps or frame_rate(path)
    except BenchError as error:
        return Clip(folder, n_frames=0, content="", problem=str(error), **facts)
    colourless = is_grey(frames)
    with whole_folder(folder) as temporary:
        clip = Clip(temporary, n_frames=0, content="", box=box, colour="grey" if colourless else "rgb", **facts)
        clip = save_clip(temporary, clip, frames)
    return dataclasses.replace(clip, folder=folder)


def cut_frames(recording: Recording) -> tuple[Frames, tuple[int, int, int, int] | None]:
    """All frames, cut to the box of the first one, and that box. BenchError as read_clip, CellFailed without a face."""
    box = None
    prepared = []
    for index, picture in enumerate(read_clip(recording.path, recording.files)):
        if index == 0:
            try:
                box = crop_box(grey(picture[None])[0], f"the first frame of {recording.path}")
            except CellFailed as error:
                raise CellFailed(f"{error}. Give a clip that begins with a frontal face") from None
        prepared.append(crop(picture, box))
    return np.stack(prepared), box


def _files_hash(recording: Recording) -> str:
    """Hash of a video file, or of the names and bytes of a folder's pictures in order."""
    state = hashlib.blake2b(digest_size=16)
    for file in recording.pictures():
        state.update(file.name.encode(errors="surrogateescape") + b"\0")
        with file.open("rb") as stream:
            state.update(hashlib.file_digest(stream, hashlib.blake2b).digest())
    return state.hexdigest()


def templates(folder: Path) -> list[Template]:
    """All pictures of a folder as templates, by name.

    BenchError for a missing folder, one without pictures, an unfit name, a picture without a face or with several:
    which face is meant only the user can say.
    """
    listing = _listing("templates", folder)
    paths = [path for path in listing if is_picture(path)]
    if not paths:
        raise BenchError(
            f"{folder}: no pictures in the templates folder{_holds(listing)}. Add portraits as PNG or JPEG."
        )
    _mention_others("templates", listing, paths)
    names = [check_name("template", path.stem) for path in paths]
    _check_unique("template", folder, names)
    return [template(path, name) for path, name in zip(paths, names, strict=True)]


def template(path: Path, name: str) -> Template:
    """One picture as a template. BenchError without a face or with several."""
    picture = read_picture(path)
    luma = grey(picture[None])[0]
    count = count_faces(luma)
    if count != 1:
        found = "no face" if count == 0 else f"{count} faces"
        remedy = "Give a frontal portrait" if count == 0 else "Cut the picture to the one that is meant"
        raise BenchError(f"{path}: {found} in the template. {remedy}.")
    return Template.of(name, name, crop(picture, crop_box(luma, str(path))))
