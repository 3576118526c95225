"""`python -m megbench.commands.training_people [FILE]` writes taught/people.npz, the people of the training set.

This is the only step in rendering a training set that requires dlib, to find the portrait's face and choose the people.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from megbench.clips.portraits import read_portrait
from megbench.clips.synthetic.distinct_people import cast
from megbench.clips.synthetic.people import Role
from megbench.clips.synthetic.render import Actor
from megbench.core.errors import BenchError
from megbench.core.frames import SIZE, grey
from megbench.faces.landmarks import landmarks
from megbench.taught.people import CAST_SERIES, FILE, PORTRAIT, People, write_people

PEOPLE = 36
# Candidates drawn for each person that is kept.
DRAWS = 3


def chosen(count: int, draws: int) -> People:
    """Return `count` of `draws` people, chosen to differ. Raise BenchError if too few pass the audition."""
    roles = cast(PORTRAIT, CAST_SERIES, count, draws, progress=True)
    found = np.stack([_landmarks(role) for role in roles])
    return People(read_portrait(PORTRAIT), tuple(role.number or 0 for role in roles), found.astype(np.float32))


def _landmarks(role: Role) -> np.ndarray:
    """Return dlib's landmarks (68, 2) of a person's neutral picture."""
    picture = Actor(role.person()).shoot(np.zeros((SIZE, SIZE, 2), np.float32)).frame
    return landmarks(grey(picture[None])[0], f"{role.series}{role.number}")


if __name__ == "__main__":
    try:
        print(write_people(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE, chosen(PEOPLE, DRAWS * PEOPLE)))
    except BenchError as error:
        raise SystemExit(str(error)) from None
