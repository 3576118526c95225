"""A training set of rendered people: every person in the same states, with the exact motion of each.

It consists of plain .npy files, which can be memory-mapped. There are I people and S states. The corners of the 64 x 64
grids are pixel centres (align_corners=True: grid point j is at pixel 255 j / 63):

    frames.npy     (I, S, 256, 256, 3) uint8    noise-free RGB; state 0 is neutral
    flow.npy       (I, S, 64, 64, 2)   float16  pixels, from neutral to the state
    inverse.npy    (I, S, 64, 64, 2)   float16  pixels, from the state back to neutral
    mesh.npy       (I, S, 478, 2)      float32  vertices, pixels
    landmarks.npy  (I, 68, 2)          float32  dlib's landmarks of the neutral picture, without glasses
    face.npy       (I, 64, 64)         uint8    1 on the face
    states.json, identities.json, and set.json, which is written last

The flow is that of the skin, lips and eyelids before anything is painted over them. The inside of an open mouth, closed
eyelids and glasses (worn by every fifth person) therefore do not appear in it.

Until set.json is written, begun.json states what is being rendered, and the files done/<person> record which people are
finished.
"""

import shutil
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from megbench.clips.synthetic.parallel import in_parallel
from megbench.clips.synthetic.render import hull
from megbench.core.errors import BenchError
from megbench.core.files.cache import read_json, write_json
from megbench.core.frames import SIZE
from megbench.core.processors import usable
from megbench.core.progress import duration, note
from megbench.faces.field import sample
from megbench.faces.mesh import OVAL
from megbench.taught.dressed_actor import DressedActor
from megbench.taught.people import read_people
from megbench.taught.states import Cue, draw_states

VERSION = "5"
BEGUN, DONE = "begun.json", "done"
GRID = 64
# The number of people, the number of states and the seed of the demo weights' set.
DEMO_SET = (55, 160, 0)
# One person in this many wears glasses.
WEARERS = 5
# Processor seconds per person and state, used for estimates.
STATE_S = 0.04


def build(folder: Path, identities: int, states: int, seed: int, progress: bool = False) -> Path:
    """Render `identities` people in `states` states into `folder` (new or overwritten) and return it.

    A complete set that was rendered with the same arguments is left unchanged. If rendering was interrupted, finished
    people are kept. The people are always the first ones in the file (taught/people.py); the seed determines only the
    states. Raise BenchError if the file has fewer people.
    """
    if identities > (most := len(read_people().roles)):
        raise BenchError(f"{identities} people were requested, but only {most} are available. Request {most} or fewer.")
    request = {"version": VERSION, "identities": identities, "states": states, "seed": seed}
    marker = folder / "set.json"
    if (read_json(marker) or {}).get("request") == request:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):  # several training runs may need it at the same time
        if (read_json(marker) or {}).get("request") == request:
            return folder
        goes_on = read_json(folder / BEGUN) == request
        kept = len(list((folder / DONE).glob("*"))) if goes_on else 0
        if progress:
            work = (identities - kept) * states * STATE_S
            size = sum(float(np.prod(shape)) * np.dtype(of).itemsize for _, shape, of in _arrays(identities, states))
            before = f" (already finished: {kept})" if kept else ""
            note(
                f"rendering {identities} people{before} in {states} states into {folder}: {size / 1e9:.1f} GB,"
                f" about {duration(work / usable())}. You can interrupt it; finished people are kept."
            )
        if not goes_on:
            _begin(folder, request)
        waiting = [index for index in range(identities) if not (folder / DONE / str(index)).exists()]
        wanted = draw_states(states, seed)
        cues = [state.cue() for state in wanted]
        in_parallel(partial(_film, folder, cues), waiting, "rendering people", progress)
        write_json(folder / "states.json", [asdict(state) for state in wanted])
        write_json(marker, {"request": request, "arrays": [name for name, _, _ in _arrays(identities, states)]})
        (folder / BEGUN).unlink()
        shutil.rmtree(folder / DONE)
    return folder


def _begin(folder: Path, request: dict[str, Any]) -> None:
    """Create the files of a new set."""
    (folder / "set.json").unlink(missing_ok=True)
    (folder / BEGUN).unlink(missing_ok=True)
    shutil.rmtree(folder / DONE, ignore_errors=True)
    count = request["identities"]
    write_json(folder / "identities.json", [asdict(role) for role in read_people().roles[:count]])
    for name, shape, dtype in _arrays(count, request["states"]):
        np.lib.format.open_memmap(folder / name, "w+", dtype, shape)
    (folder / DONE).mkdir()
    write_json(folder / BEGUN, request)


def demo_set(clips: Path) -> Path:
    """Return the training set of the demo networks, rendered in `clips` unless it already exists."""
    return build(clips / "training", *DEMO_SET, progress=True)


def _arrays(people: int, states: int) -> list[tuple[str, tuple[int, ...], npt.DTypeLike]]:
    both = (people, states)
    return [
        ("frames.npy", (*both, SIZE, SIZE, 3), np.uint8),
        ("flow.npy", (*both, GRID, GRID, 2), np.float16),
        ("inverse.npy", (*both, GRID, GRID, 2), np.float16),
        ("mesh.npy", (*both, 478, 2), np.float32),
        ("landmarks.npy", (people, 68, 2), np.float32),
        ("face.npy", (people, GRID, GRID), np.uint8),
    ]


def _film(folder: Path, cues: list[Cue], index: int) -> None:
    """Render one person in all states, writing directly into the memory-mapped files."""
    people = read_people()
    actor = DressedActor(people.roles[index], index % WEARERS == WEARERS // 2)
    face = actor.face
    out = {path.stem: np.load(path, mmap_mode="r+") for path in folder.glob("*.npy")}
    axis = np.linspace(0, SIZE - 1, GRID)
    grid = np.stack(np.meshgrid(axis, axis), -1)  # (64, 64, 2)
    for number, cue in enumerate(cues):
        shot = actor.shoot(cue)
        out["frames"][index, number] = shot.frame
        out["flow"][index, number] = sample(shot.forward, grid)
        out["inverse"][index, number] = sample(shot.backward, grid)
        out["mesh"][index, number] = face.vertices + sample(shot.forward, face.vertices)
    out["landmarks"][index] = people.landmarks[index]
    out["face"][index] = hull(face.vertices[OVAL])[np.ix_(np.round(axis).astype(int), np.round(axis).astype(int))]
    for array in out.values():
        array.flush()
    (folder / DONE / str(index)).touch()
