"""Portable rendered people: python -m megbench.taught.bundle BUNDLE [PEOPLE]

A training set of rendered people is over a gigabyte, and rendering it needs dlib and the portraits. A bundle holds what
a machine without these needs to render people on its own (taught/bundle_render.py), about 0.4 MB per person.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from megbench.clips.synthetic.distinct_people import cast
from megbench.clips.synthetic.people import Role
from megbench.clips.synthetic.render import Actor, hull
from megbench.core.files.whole_files import whole_file
from megbench.core.frames import SIZE, grey
from megbench.faces.facs import ACTION_UNITS, MICRO, basis
from megbench.faces.field import sample
from megbench.faces.landmarks import landmarks
from megbench.faces.mesh import OVAL
from megbench.taught.people import CAST_SERIES, PORTRAIT
from megbench.taught.training_set import GRID

PEOPLE = 24


def write_bundle(path: Path, people: Sequence[Role]) -> Path:
    """Write `path` (.npz) and return it; P people, U action units at intensity 1, 64 x 64 grids as in a training set.

    frames (P, 256, 256, 3) uint8 RGB, neutral. mesh (P, 478, 2) and moves (P, U, 478, 2), in pixels. fields
    (P, U, 64, 64, 2) float16, in pixels, from neutral. landmarks (P, 68, 2), face (P, 64, 64) uint8, units (U,) names.
    """
    axis = np.linspace(0, SIZE - 1, GRID)
    grid = np.stack(np.meshgrid(axis, axis), -1)
    nearest = np.round(axis).astype(int)
    rows: dict[str, list[np.ndarray]] = {}
    for role in people:
        actor = Actor(role.person())
        vertices = actor.person.face.vertices
        frame = actor.shoot(np.zeros((SIZE, SIZE, 2), np.float32)).frame
        fields = [actor.move(unit * MICRO) for unit in basis()]
        person = {
            "frames": frame,
            "mesh": vertices.astype(np.float32),
            "fields": np.stack([sample(field, grid) for field in fields]).astype(np.float16),
            "moves": np.stack([sample(field, vertices) for field in fields]).astype(np.float16),
            "landmarks": landmarks(grey(frame[None])[0], role.series).astype(np.float32),
            "face": hull(vertices[OVAL])[np.ix_(nearest, nearest)],
        }
        for name, value in person.items():
            rows.setdefault(name, []).append(value)
    arrays = {name: np.stack(values) for name, values in rows.items()} | {"units": np.array(ACTION_UNITS)}
    with whole_file(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return path


if __name__ == "__main__":
    count = int(sys.argv[2]) if len(sys.argv) > 2 else PEOPLE
    print(write_bundle(Path(sys.argv[1]), cast(PORTRAIT, CAST_SERIES, count, 3 * count, progress=True)))
