"""The people of the training set: drawn by seed from one portrait that lies in a file, so that dlib is not needed.

`people.npz` holds what dlib found, 0.6 MB in all; shapes, colours, mouths and glasses follow from the people's numbers:

    texture    (512, 512, 3) uint8    the portrait at twice the size of a frame, RGB, its mouth closed
    vertices   (478, 2)      float64  the portrait's face mesh, pixels of a 256 x 256 frame
    numbers    (36,)         int64    the people that dlib's embedding sets apart most, furthest first
    landmarks  (36, 68, 2)   float32  dlib's landmarks of each one's neutral picture, without glasses

`python -m megbench.commands.training_people` makes it again. The portrait is NASA's of Eileen Collins, which is in the
public domain (clips/portraits.py).
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

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
# The series that the people in the file are drawn from; expressions are tried on people of SERIES itself.
CAST_SERIES = f"{SERIES}0."
FILE = Path(__file__).with_name("people.npz")


@dataclass(frozen=True)
class People:
    """The portrait that all people are drawn from, the numbers of those chosen, and their landmarks (N, 68, 2)."""

    portrait: Portrait
    numbers: tuple[int, ...]
    landmarks: Float32s


def role(number: int, series: str = CAST_SERIES) -> Role:
    """Return the person of a number."""
    return Role(PORTRAIT, series, number)


def person(one: Role) -> Person:
    """Return a person drawn from the portrait in the file. BenchError as `read_people`."""
    return one.person(read_people().portrait)


@functools.cache
def read_people(path: Path = FILE) -> People:
    """Read the file. BenchError if it is missing or holds something else."""
    remedy = "Restore it with git, or make it again: python -m megbench.commands.training_people"
    try:
        with np.load(path, allow_pickle=False) as data:
            texture, vertices, numbers, landmarks = (
                data[name] for name in ("texture", "vertices", "numbers", "landmarks")
            )
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise BenchError(f"{path}, the people of the training set, cannot be read ({error}). {remedy}") from None
    found = [(array.shape, array.dtype.str) for array in (texture, vertices, numbers, landmarks)]
    expected = [
        ((TEXTURE, TEXTURE, 3), "|u1"),
        ((VERTICES, 2), "<f8"),
        ((len(landmarks),), "<i8"),
        ((len(landmarks), 68, 2), "<f4"),
    ]
    if found != expected:
        raise BenchError(f"{path}, the people of the training set, holds {found} instead of {expected}. {remedy}")
    return People(Portrait(PORTRAIT, texture, FittedMesh(vertices)), tuple(numbers.tolist()), landmarks)


def write_people(path: Path, people: People) -> Path:
    """Write such a file and return its path."""
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "texture": people.portrait.texture,
        "vertices": people.portrait.face.vertices,
        "numbers": np.array(people.numbers, np.int64),
        "landmarks": people.landmarks.astype(np.float32),
    }
    with whole_file(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    return path
