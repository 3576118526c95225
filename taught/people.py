"""The people of the training set, drawn by seed from one portrait. It is read from a file, so dlib is not needed.

`people.npz` holds dlib's results, 0.6 MB in all. Shapes, colours, mouths and glasses follow from the people's numbers:

    texture    (512, 512, 3) uint8    the portrait at twice the size of a frame, RGB, its mouth closed
    vertices   (478, 2)      float64  the portrait's face mesh, pixels of a 256 x 256 frame
    numbers    (36,)         int64    the people who differ most in dlib's embedding, most distinct first
    landmarks  (36, 68, 2)   float32  dlib's landmarks of each person's neutral picture, without glasses

`python -m megbench.commands.training_people` regenerates the file. The portrait is NASA's portrait of Eileen Collins,
which is in the public domain (clips/portraits.py).
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
# The series from which the people in the file are drawn; expressions are tried on people of SERIES itself.
CAST_SERIES = f"{SERIES}0."
FILE = Path(__file__).with_name("people.npz")


@dataclass(frozen=True)
class People:
    """The portrait from which all people are drawn, and the chosen people's numbers and landmarks (N, 68, 2)."""

    portrait: Portrait
    numbers: tuple[int, ...]
    landmarks: Float32s


def role(number: int, series: str = CAST_SERIES) -> Role:
    """Return the role of the person with a number."""
    return Role(PORTRAIT, series, number)


def person(one: Role) -> Person:
    """Return a person drawn from the portrait in the file. Raise BenchError in the same cases as `read_people`."""
    return one.person(read_people().portrait)


@functools.cache
def read_people(path: Path = FILE) -> People:
    """Read the file. Raise BenchError if it is missing or has other contents."""
    remedy = "Restore it with git, or regenerate it: python -m megbench.commands.training_people"
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
    """Write the file of people and return its path."""
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "texture": people.portrait.texture,
        "vertices": people.portrait.face.vertices,
        "numbers": np.array(people.numbers, np.int64),
        "landmarks": people.landmarks.astype(np.float32),
    }
    with whole_file(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    return path
