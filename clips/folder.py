"""Any folder supplied by the user: videos or folders of numbered pictures as clips, and pictures as templates."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from megbench.clips.chosen_face import Framing, check_face, cut_portrait, darkness, frame_clip
from megbench.clips.prepared import stored_clips
from megbench.clips.unread import picture_remedies, remedies
from megbench.core.clip import Clip, Template, load_clip, save_clip, several_faces
from megbench.core.errors import BenchError, few, plural
from megbench.core.files.cache import digest, touch, whole_folder
from megbench.core.files.names import check_name
from megbench.core.frames import Frames, is_grey
from megbench.core.pictures import is_picture, missing_numbers, numbers_in, pictures_in, read_picture, stated_density
from megbench.core.prepared_clips import StoredClip, is_store
from megbench.core.progress import note, track
from megbench.core.provenance import package_versions
from megbench.core.video import frame_rate, is_video, medium_of, pixel_aspect, read_clip
from megbench.faces.crop import crop

# The number increases whenever clips are prepared differently. 2: crops have display proportions and surround a face
# chosen by its score; before, faces could be stretched. 3: mirrored videos are read as players display them. 5: the
# suite refuses truncated AVIs, and folders in which two pictures have the same number.
PREPARATION = "crop-5"


@dataclass(frozen=True)
class Recording:
    """A clip before preparation: the location of its frames, and its metadata as in megbench.core.clip.Clip.

    files: the pictures in the folder `path` that make up the clip, in order; () means all of them. face: the choice of
    a face if the first frame shows several, as returned by megbench.clips.chosen_face.check_face.
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
    face: str = ""
    files: tuple[Path, ...] = ()

    def facts(self) -> dict[str, Any]:
        """Return the facts that are stored with the recording's clip."""
        names = {field.name for field in dataclasses.fields(self)} - {"path", "files"}
        return {name: getattr(self, name) for name in sorted(names)}

    def pictures(self) -> list[Path]:
        """Return the files that contain the frames: the pictures in order, or the video."""
        return list(self.files) or (pictures_in(self.path) if self.path.is_dir() else [self.path])


class ClipFolder:
    """Adapter for a folder whose entries are videos or folders of pictures; other entries are reported and left out.

    The folder may also be a clip store (`bench.py prepare`). face: the choice of the driving face if a clip's first
    frame shows several.
    """

    def __init__(self, folder: Path, cache: Path, face: str = "") -> None:
        self.folder = folder
        self.cache = cache
        self.face = check_face(face)

    def clips(self) -> list[Clip]:
        """Return all clips, prepared and sorted by name.

        Raise BenchError if the folder is missing or empty, or if a name is invalid.
        """
        if not is_store(self.folder):
            return prepare_all(self.recordings(), self.cache)
        if self.face:
            raise BenchError(
                f"--face {self.face}: the clips in {self.folder} are already cropped. Prepare them again from a table"
                " whose column face says which face to use."
            )
        clips = stored_clips(self.folder, self.cache)
        mention_clips(clips)
        return clips

    def recordings(self) -> list[Recording]:
        """Return the recordings in the folder, sorted by name, without reading them.

        Raise BenchError in the same cases as `clips`.
        """
        listing = _listing("drivers", self.folder)
        paths = [path for path in listing if is_video(path) or (path.is_dir() and pictures_in(path))]
        if not paths:
            loose = sum(map(is_picture, listing))
            move = [f"Move the pictures ({loose}) into a subfolder."] * bool(loose)
            remedy = " ".join(move + remedies(self.folder, listing)) or f"Add some{_holds(listing)}."
            raise BenchError(f"The drivers folder {self.folder} contains no videos or folders of pictures. {remedy}")
        _mention_others("drivers", listing, paths)
        for remedy in remedies(self.folder, [path for path in listing if path not in paths]):
            note(f"drivers: {remedy}")
        for path in paths:
            if path.is_dir():
                _mention_order(path)
        recordings = [Recording(path, _clip_name(path), "folder", _clip_name(path), face=self.face) for path in paths]
        _check_unique("driver", self.folder, [recording.name for recording in recordings])
        return recordings


def _mention_order(folder: Path) -> None:
    """Print which numbers a folder of pictures lacks, or that its pictures have no numbers."""
    pictures = pictures_in(folder)
    if lacking := missing_numbers(pictures):
        note(f"{folder} has no picture with number {few(lacking)}; its other pictures are read as consecutive frames.")
    if len(pictures) > 1 and not any(map(numbers_in, pictures)):
        names = few([path.name for path in pictures])
        note(f"{folder}: no numbers in the names; the pictures are read in the order {names}.")


def _clip_name(path: Path) -> str:
    return check_name("driver", path.name if path.is_dir() else path.stem)


def _listing(role: str, folder: Path) -> list[Path]:
    """Return the entries of a folder, sorted by name, without hidden ones. Raise BenchError if it is not a folder."""
    if not folder.exists():
        raise BenchError(f"The {role} folder {folder} does not exist. Pass an existing folder with --{role}.")
    if not folder.is_dir():
        raise BenchError(f"The {role} path {folder} is a file. With --{role}, pass the folder that contains it.")
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise BenchError(
            f"The {role} folder {folder} cannot be read ({error.strerror}). Check its permissions."
        ) from None


def _holds(listing: list[Path]) -> str:
    """Return the first few names in a folder, in parentheses."""
    return f" (it contains {few([repr(path.name) for path in listing])})" if listing else ""


def _mention_others(role: str, listing: Iterable[Path], used: list[Path]) -> None:
    others = [repr(path.name) for path in listing if path not in used]
    if others:
        what = (
            f"{len(others)} entries are not {role} and are"
            if len(others) > 1
            else f"1 entry is not a {role[:-1]} and is"
        )
        note(f"{role}: {what} left out: {few(others)}")


def _check_unique(kind: str, folder: Path, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise BenchError(f"{folder} contains {names.count(name)} {kind}s named {name!r}. Rename all but one.")


def prepare_all(recordings: list[Recording], cache: Path) -> list[Clip]:
    """Return clips of all recordings; an unusable clip has a `problem`. Raise BenchError if no clip is usable."""
    clips = [prepare(recording, cache) for recording in track(recordings, "Preparing clips", "clip")]
    broken = [clip for clip in clips if clip.problem]
    if len(broken) == len(clips):
        more = f" (and {plural(len(broken) - 1, 'more clip')} without a usable frame)" if len(broken) > 1 else ""
        raise BenchError(f"No driver can be used: {broken[0].problem}{more}")
    for clip in broken:
        note(f"driver {clip.name} cannot be used: {clip.problem}")
    mention_clips(clips)
    return clips


def mention_clips(clips: Iterable[Clip | StoredClip]) -> None:
    """Print which clips show several faces, how to choose another face, and which clips come from lossy files."""
    media: dict[str, list[str]] = {}
    for clip in clips:
        if clip.medium:
            media.setdefault(clip.medium, []).append(clip.name)
        if told := several_faces(clip.faces, clip.face):
            note(
                f"{clip.name}: {told}; choose another with --face left, right or a number, or in a table's face column"
            )
    for medium, names in media.items():
        note(f"{few(names)}: each is {medium}. Results are marked.")


def prepare(recording: Recording, cache: Path) -> Clip:
    """Return one recording as a clip of 256 x 256 frames, stored in `cache` by the contents of its files.

    All frames are cropped to the square around a face in the first frame. A recording that cannot be read, or whose
    first frame shows no face, becomes a clip with a `problem` and without frames.
    """
    path = recording.path
    facts = recording.facts()
    try:
        # The packages that decode a video and find the face in it determine the frames as much as our own code does.
        folder = cache / digest([PREPARATION, package_versions(__name__), facts, path.name, _files_hash(recording)])
    except OSError as error:
        problem = f"{error.filename or path}: the file cannot be read ({error.strerror}). Check its permissions."
        return Clip(path, n_frames=0, content="", problem=problem, **facts)
    clip = load_clip(folder)
    if clip is not None:
        touch(folder)
        return clip
    try:
        frames, framing = cut_frames(recording)
        facts["fps"] = recording.fps or frame_rate(path)
        facts["medium"] = medium_of(path)
    except BenchError as error:
        return Clip(folder, n_frames=0, content="", problem=str(error), **facts)
    facts |= {"box": framing.box, "faces": framing.widths, "colour": "grey" if is_grey(frames) else "rgb"}
    with whole_folder(folder, load_clip) as temporary:
        clip = save_clip(temporary, Clip(temporary, n_frames=0, content="", **facts), frames)
    return dataclasses.replace(clip, folder=folder)


def cut_frames(recording: Recording) -> tuple[Frames, Framing]:
    """Return all frames, cropped to a face in the first one: (T, 256, 256, 3) uint8. Also return their framing.

    Raise BenchError in the same cases as `read_clip`, and CellFailed in the same cases as `frame_clip`.
    """
    aspect = pixel_aspect(recording.path)
    for file in recording.pictures()[:1]:
        _mention_density(file)
    pictures = read_clip(recording.path, recording.files)
    first = next(pictures)
    framing = frame_clip(first, pictures, recording.face, f"the first frame of {recording.path}", aspect)
    _mention_darkness(recording.path, first)
    return np.stack([crop(picture, framing.box, aspect) for picture in chain([first], pictures)]), framing


def _mention_darkness(path: Path, picture: Frames) -> None:
    if told := darkness(picture):
        note(f"{path}: {told[0].lower()}{told[1:]}.")


def _mention_density(path: Path) -> None:
    if is_picture(path) and (density := stated_density(path)):
        note(
            f"{path}: its header states different horizontal and vertical densities ({density}), but pixels are read"
            " as square. If the face looks squeezed, save the picture in its true proportions."
        )


def _files_hash(recording: Recording) -> str:
    """Return the hash of a video file, or of the names and bytes of a folder's pictures, in order."""
    state = hashlib.blake2b(digest_size=16)
    for file in recording.pictures():
        state.update(file.name.encode(errors="surrogateescape") + b"\0")
        with file.open("rb") as stream:
            state.update(hashlib.file_digest(stream, hashlib.blake2b).digest())
    return state.hexdigest()


def templates(folder: Path) -> list[Template]:
    """Return all pictures in a folder as templates, sorted by name.

    Raise BenchError if the folder is missing or contains no pictures, or if a name is invalid. Raise it also for a
    picture with no face, and for one with several, because only the user knows which face is meant.
    """
    listing = _listing("templates", folder)
    paths = [path for path in listing if is_picture(path)]
    if not paths:
        remedy = " ".join(picture_remedies(listing)) or "Add portraits as PNG or JPEG."
        raise BenchError(f"The templates folder {folder} has no pictures{_holds(listing)}. {remedy}")
    _mention_others("templates", listing, paths)
    for remedy in picture_remedies(listing):
        note(f"templates: {remedy}")
    names = [check_name("template", path.stem) for path in paths]
    _check_unique("template", folder, names)
    return [template(path, name) for path, name in zip(paths, names, strict=True)]


def template(path: Path, name: str) -> Template:
    """Return a picture as a template. Raise BenchError unless it shows exactly one face."""
    picture = read_picture(path)
    _mention_density(path)
    portrait = cut_portrait(picture, str(path), "template")
    _mention_darkness(path, picture)
    return Template.of(name, name, portrait)
