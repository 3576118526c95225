"""The people of the training set, drawn by seed from several portraits and read from a file; dlib is not needed.

`people.npz` contains the portraits and dlib's results, 1.8 MB in all. Shapes, colours, mouths and glasses are derived
from the people's numbers. For P portraits and N people:

    names      (P,)            str      the portraits' names
    <name>     (bytes,)        uint8    a portrait at twice the size of a frame, as a PNG or JPEG file
    vertices   (P, 478, 2)     float64  the portraits' face meshes, pixels of a 256 x 256 frame
    drawn_from (N,)            int64    the index of each person's portrait
    numbers    (N,)            int64    each person's number
    landmarks  (N, 68, 2)      float32  dlib's landmarks of each person's neutral picture, without glasses

`python -m megbench.commands.training_people HEADS` regenerates the file. One portrait is NASA's of Eileen Collins,
which is in the public domain (clips/portraits.py); the others are renderings of MakeHuman's heads
(docs/demo_weights.md).
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import cv2
import numpy as np
import numpy.typing as npt

from megbench.clips.portraits import TEXTURE, Portrait
from megbench.clips.synthetic.identities import Person
from megbench.clips.synthetic.people import Role
from megbench.core.clip import Float32s
from megbench.core.errors import BenchError
from megbench.core.files.whole_files import whole_file
from megbench.faces.mesh import VERTICES, FittedMesh

PORTRAIT, SERIES = "astronaut", "train"
# The series from which the people in the file are drawn; people of SERIES itself are used to test expressions.
CAST_SERIES = f"{SERIES}0."
FILE = Path(__file__).with_name("people.npz")
REMEDY = "Restore it with git, or regenerate it: python -m megbench.commands.training_people HEADS"


@dataclass(frozen=True)
class People:
    """The portraits' files and meshes by name, the people drawn from them, and their landmarks (N, 68, 2)."""

    pictures: Mapping[str, bytes]
    meshes: Mapping[str, FittedMesh]
    roles: tuple[Role, ...]
    landmarks: Float32s

    def portrait(self, name: str) -> Portrait:
        """Decode a portrait.

        Raise BenchError if there is none with that name, or if it is not a picture of 512 x 512 pixels.
        """
        decoded = cv2.imdecode(np.frombuffer(self.pictures.get(name, b"?"), np.uint8), cv2.IMREAD_COLOR)
        if decoded is None or decoded.shape != (TEXTURE, TEXTURE, 3):
            raise BenchError(f"{FILE} contains no portrait {name} of {TEXTURE} x {TEXTURE} pixels. {REMEDY}")
        return Portrait(name, np.ascontiguousarray(decoded[..., ::-1]), self.meshes[name])


def role(number: int, series: str = CAST_SERIES) -> Role:
    """Return the role of the person with this number, drawn from the astronaut's portrait."""
    return Role(PORTRAIT, series, number)


def person(one: Role) -> Person:
    """Return a person drawn from a portrait in the file. Raise BenchError in the same cases as `read_people`."""
    return one.person(read_people().portrait(one.portrait))


@functools.cache
def read_people(path: Path = FILE) -> People:
    """Read the file of people. Raise BenchError if it is missing or has unexpected contents."""
    try:
        with np.load(path, allow_pickle=False) as data:
            names = [str(name) for name in data["names"]]
            pictures = {name: bytes(data[name]) for name in names}
            vertices, drawn_from, numbers, landmarks = (
                data[name] for name in ("vertices", "drawn_from", "numbers", "landmarks")
            )
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise BenchError(f"{path}, the people of the training set, cannot be read ({error}). {REMEDY}") from None
    found = [(array.shape, array.dtype.str) for array in (vertices, drawn_from, numbers, landmarks)]
    expected = [
        ((len(names), VERTICES, 2), "<f8"),
        ((len(landmarks),), "<i8"),
        ((len(landmarks),), "<i8"),
        ((len(landmarks), 68, 2), "<f4"),
    ]
    if found != expected or not np.isin(drawn_from, np.arange(len(names))).all():
        raise BenchError(f"{path}, the people of the training set, contains {found} instead of {expected}. {REMEDY}")
    meshes = {name: FittedMesh(mesh) for name, mesh in zip(names, vertices, strict=True)}
    pairs = zip(numbers.tolist(), drawn_from.tolist(), strict=True)
    roles = tuple(Role(names[index], CAST_SERIES, number) for number, index in pairs)
    return People(pictures, meshes, roles, landmarks)


def write_people(path: Path, people: People) -> Path:
    """Write the file of people and return its path."""
    names = list(people.pictures)
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "names": np.array(names),
        "vertices": np.stack([people.meshes[name].vertices for name in names]),
        "drawn_from": np.array([names.index(one.portrait) for one in people.roles], np.int64),
        "numbers": np.array([one.number for one in people.roles], np.int64),
        "landmarks": people.landmarks.astype(np.float32),
    }
    arrays |= {name: np.frombuffer(picture, np.uint8) for name, picture in people.pictures.items()}
    with whole_file(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    return path
