"""`python -m megbench.commands.training_people HEADS [FILE]` writes taught/people.npz, the people of the training set.

HEADS is a folder of further portraits. Here, dlib finds the portraits' faces and helps to choose the people; no other
step in rendering a training set requires dlib.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import cv2
import numpy as np

from megbench.clips.portraits import portraits_in, read_portrait
from megbench.clips.synthetic.distinct_people import cast
from megbench.clips.synthetic.identities import Person
from megbench.clips.synthetic.render import Actor
from megbench.core.errors import BenchError
from megbench.core.frames import SIZE, Frames, grey
from megbench.core.progress import note
from megbench.faces.landmarks import landmarks
from megbench.taught.people import CAST_SERIES, FILE, PORTRAIT, People, write_people

# Number of people made from the astronaut's portrait, and of candidates drawn for each that is kept.
PEOPLE, DRAWS = 20, 3
# Number of candidates drawn from each further portrait, one of whom is kept.
HEAD_DRAWS = 4
# Every ninth head, starting with the fifth, is reserved for validation, which thus uses portraits unseen in training.
VALIDATION = slice(4, None, 9)
# The astronaut's photograph is stored losslessly; the other portraits are stored as JPEG files of this quality.
JPEG_QUALITY = 92


def chosen(count: int, draws: int, heads: list[Path]) -> People:
    """Return `count` dissimilar people, chosen of `draws` made from the astronaut, and one from each further portrait.

    The people from the portraits for validation come last. Raise BenchError if too few candidates made from the
    astronaut are suitable; another portrait without a suitable candidate is left out with a note.
    """
    astronauts = cast(PORTRAIT, CAST_SERIES, count, draws, progress=True)
    others = {}
    for path in heads:
        try:
            others[path] = cast(str(path), CAST_SERIES, 1, HEAD_DRAWS)[0]
        except BenchError as error:
            note(f"{path.name} is left out: {error}")
    validation = list(others)[VALIDATION]
    training = [one for path, one in others.items() if path not in validation]
    mixed = [one for pair in zip_longest(astronauts, training) for one in pair if one]
    roles = mixed + [others[path] for path in validation]
    named = tuple(replace(one, portrait=_name(one.portrait)) for one in roles)
    portraits = {_name(source): read_portrait(source) for source in dict.fromkeys(one.portrait for one in roles)}
    found = np.stack([_landmarks(one.person(portraits[one.portrait])) for one in named])
    pictures = {name: _encoded(portrait.texture, name) for name, portrait in portraits.items()}
    return People(pictures, {name: one.face for name, one in portraits.items()}, named, found.astype(np.float32))


def _name(portrait: str) -> str:
    return Path(portrait).stem


def _encoded(texture: Frames, name: str) -> bytes:
    """Return a texture as a PNG file for the astronaut, and as a JPEG file for the others."""
    suffix, options = (".png", []) if name == PORTRAIT else (".jpg", [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return cv2.imencode(suffix, texture[..., ::-1], options)[1].tobytes()


def _landmarks(person: Person) -> np.ndarray:
    """Return dlib's landmarks (68, 2) of a person's neutral picture."""
    picture = Actor(person).shoot(np.zeros((SIZE, SIZE, 2), np.float32)).frame
    return landmarks(grey(picture[None])[0], person.name)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise SystemExit("Usage: python -m megbench.commands.training_people HEADS [FILE]")
    try:
        people = chosen(PEOPLE, DRAWS * PEOPLE, portraits_in(Path(sys.argv[1])))
        print(write_people(Path(sys.argv[2]) if len(sys.argv) > 2 else FILE, people))
    except BenchError as error:
        raise SystemExit(str(error)) from None
