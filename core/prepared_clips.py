"""A store of prepared clips for training: frames are memory-mapped, and everything else is stored once per clip.

    store.json            facts about the store and a hash of each clip's facts; written last
    <clip>/frames.npy     (T, 256, 256, 3) uint8 RGB, or (T, 256, 256) if the three channels are equal
    <clip>/clip.json      the rest (`StoredClip`), with the size and hash of frames.npy

`megbench.clips.prepare` writes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from megbench.core.clip import person
from megbench.core.errors import BenchError
from megbench.core.files.hashes import file_hash
from megbench.core.files.names import check_name
from megbench.core.frames import SIZE, Frames
from megbench.core.installation import COMMAND

# 2: crops keep the display's proportions, whereas faces in stores of version 1 may be stretched.
VERSION = "2"
STORE, CLIP, FRAMES = "store.json", "clip.json", "frames.npy"
LARGEST_JSON_BYTES = 50_000_000
Point = tuple[float, float]


class PreparedFacts(BaseModel):
    """A file of facts in a clip store. Entries that this version does not know are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class StoredClip(PreparedFacts):
    """One prepared clip. Fields not described here are as in megbench.core.clip.Clip.

    key: a hash of everything that the clip was made from. driver_of: the challenge that uses the clip as a driver, or
    "". landmarks, points: the 68 landmarks (iBUG) and FPB-FOMM's 18 points in frame 0, x and y in pixels. size,
    blake2b: the size in bytes and the hash of frames.npy.
    """

    key: str
    name: str
    database: str
    subject: str
    emotion: str
    recording: str
    n_frames: int = Field(ge=2)
    fps: float | None = None
    onset_frame: int | None = None
    apex_frame: int | None = None
    offset_frame: int | None = None
    action_units: str | None = None
    box: tuple[int, int, int, int]
    colour: Literal["rgb", "grey"]
    face: str = ""
    faces: tuple[int, ...] = ()
    medium: str = ""
    driver_of: str = ""
    landmarks: Annotated[tuple[Point, ...], Field(min_length=68, max_length=68)]
    points: Annotated[tuple[Point, ...], Field(min_length=18, max_length=18)]
    size: int
    blake2b: str

    @property
    def person(self) -> str:
        """The person shown: "smic/s11"."""
        return person(self.database, self.subject)


class StoreFacts(PreparedFacts):
    """The contents of `store.json`. clips: name to hash of clip.json. left_out: name to reason why it was left out."""

    version: str
    database: str
    colour: Literal["recorded", "luma", "swapped"]
    source: tuple[str, ...]
    corrected: tuple[str, ...]
    clips: dict[str, str]
    left_out: dict[str, str]


class ClipStore:
    """A finished clip store, opened for reading. Raises BenchError if it is unfinished, damaged or of another version.

    check: whether to compare all frames with their hashes, too, which requires reading the whole store once.
    """

    def __init__(self, folder: Path, check: bool = False) -> None:
        self.folder = folder
        self.facts = read_facts(folder / STORE, StoreFacts)
        if self.facts.version != VERSION:
            raise BenchError(
                f"{folder} is a clip store of version {self.facts.version!a}, but this suite reads only version"
                f" {VERSION!a} (faces in a store of version '1' may be stretched). Run `{COMMAND} prepare` again."
            )
        self.clips = tuple(self._clip(name, expected) for name, expected in self.facts.clips.items())
        if check:
            for clip in self.clips:
                if file_hash(folder / clip.name / FRAMES) != clip.blake2b:
                    raise self._altered(clip.name)

    def frames(self, clip: StoredClip) -> npt.NDArray[np.uint8]:
        """Return the frames of a clip, memory-mapped uint8: (T, 256, 256, 3), or (T, 256, 256) for a grey clip."""
        frames = np.load(self.folder / clip.name / FRAMES, mmap_mode="r", allow_pickle=False)
        channels = (3,) if clip.colour == "rgb" else ()
        if frames.dtype != np.uint8 or frames.shape != (clip.n_frames, SIZE, SIZE, *channels):
            raise self._altered(clip.name)
        return np.asarray(frames)

    def _clip(self, name: str, expected: str) -> StoredClip:
        place = self.folder / check_name("clip", name)
        if not (place / CLIP).is_file() or file_hash(place / CLIP) != expected:
            raise self._altered(name)
        clip = read_facts(place / CLIP, StoredClip)
        if clip.name != name or not whole(place, clip):
            raise self._altered(name)
        return clip

    def _altered(self, name: str) -> BenchError:
        return BenchError(f"{self.folder}: the clip {name} was altered or is damaged. Run `{COMMAND} prepare` again.")


def is_store(folder: Path) -> bool:
    """Return whether a folder is a finished clip store."""
    return (folder / STORE).is_file()


def whole(place: Path, clip: StoredClip) -> bool:
    """Return whether the frames of a clip in `place` are complete, judging by the size of their file."""
    frames = place / FRAMES
    return frames.is_file() and frames.stat().st_size == clip.size


def three_channels(frames: npt.NDArray[np.uint8]) -> Frames:
    """Return frames (..., 256, 256) or (..., 256, 256, 3) as RGB."""
    return np.asarray(frames if frames.shape[-1] == 3 else np.repeat(frames[..., None], 3, axis=-1))


Kind = TypeVar("Kind", bound=PreparedFacts)


def read_facts(path: Path, kind: type[Kind]) -> Kind:
    """Read a facts file and return its entries as a `kind`.

    Raise BenchError for a file that is unreadable or too large, or for the first entry that is missing or invalid.
    """
    try:
        if path.stat().st_size > LARGEST_JSON_BYTES:
            raise BenchError(
                f"{path} is larger than {LARGEST_JSON_BYTES} bytes, which is too large for a clip store."
                f" Run `{COMMAND} prepare` again."
            )
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BenchError(
            f"{path} cannot be read ({error.strerror}), but every finished clip store contains it."
            f" Run `{COMMAND} prepare` again."
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise BenchError(f"{path} is not valid ({place}: {first['msg']}). Run `{COMMAND} prepare` again.") from None
