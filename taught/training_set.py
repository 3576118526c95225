"""A training set of rendered people: every person in the same states, with the exact motion of each.

Plain .npy files that can be mapped into memory; I people, S states, 64 x 64 grids whose corners are pixel centres
(align_corners=True: grid point j lies at pixel 255 j / 63):

    frames.npy     (I, S, 256, 256, 3) uint8    noise-free RGB; state 0 is neutral
    flow.npy       (I, S, 64, 64, 2)   float16  pixels, from neutral to the state
    inverse.npy    (I, S, 64, 64, 2)   float16  pixels, from the state back to neutral
    mesh.npy       (I, S, 478, 2)      float32  vertices, pixels
    landmarks.npy  (I, 68, 2)          float32  dlib's landmarks of the neutral picture
    face.npy       (I, 64, 64)         uint8    1 on the face
    states.json, identities.json, and set.json, which is written last

Until then begun.json says what is being made, and done/<person> which people are finished.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from megbench.clips.synthetic.distinct_people import cast
from megbench.clips.synthetic.parallel import in_parallel
from megbench.clips.synthetic.people import Role
from megbench.clips.synthetic.personal_basis import personal_basis
from megbench.clips.synthetic.render import AT_REST, Actor, hull
from megbench.core.clip import Float32s
from megbench.core.files.cache import read_json, write_json
from megbench.core.frames import SIZE, grey
from megbench.core.processors import usable
from megbench.core.progress import duration, note
from megbench.faces.facs import ACTION_UNITS, MICRO, Points
from megbench.faces.field import jacobian_determinant, sample, similarity
from megbench.faces.landmarks import landmarks
from megbench.faces.mesh import OVAL

VERSION = "3"
PORTRAIT, SERIES = "astronaut", "train"
BEGUN, DONE = "begun.json", "done"
GRID = 64
# People, states and seed of the demo weights' set.
DEMO_SET = (36, 180, 0)
# Candidates drawn for each person that is kept.
DRAWS = 3
# From micro to plain expressions (up to 12 pixels): nets that know micro-motion alone tear the mouth of a real smile.
# Lips and lids fold first.
WEAKEST, STRONGEST = 0.25, 6.0
CAPS = {"AU24": 0.84, "AU23": 1.3, "AU05": 1.7, "AU07": 1.7, "AU43": 1.7, "AU25": 0.7, "AU26": 1.2}
# Seconds of a processor for each person in each state, and for each who auditions; for estimates.
STATE_S, CASTING_S = 0.05, 0.5
# Every fourth state has a small head motion, every eighth nothing else.
HEAD_EVERY, ONLY_HEAD_EVERY = 4, 8
# A state in which any point of a typical face is squeezed below this is weakened until it is not.
LEAST_JACOBIAN = 0.3


@dataclass(frozen=True)
class State:
    """What every person is asked to do: unit intensities, a manner (by seed) and a head motion.

    `head`: scale, angle in radians, shift x and y in pixels, about the point between the eyes.
    """

    action_units: dict[str, float]
    manner: int
    head: tuple[float, float, float, float]

    def displacement(self) -> Points:
        """Vertex displacements (478, 2), face units."""
        units = personal_basis(np.random.default_rng([*SERIES.encode(), self.manner]))
        amounts = [self.action_units.get(unit, 0.0) for unit in ACTION_UNITS]
        return np.asarray(np.tensordot(amounts, units, axes=1) * MICRO)

    def matrix(self, centre: Points) -> Float32s:
        """The head's similarity (2, 3) about `centre`."""
        scale, angle, x, y = self.head
        return similarity(scale, angle, (x, y), centre)


def draw_states(count: int, seed: int) -> list[State]:
    """The first `count` states of a seed; state 0 is neutral."""
    rng = np.random.default_rng([*SERIES.encode(), seed])
    states = [State({}, 0, (1.0, 0.0, 0.0, 0.0))]
    typical = Actor(Role(PORTRAIT, SERIES, 0).person())
    while len(states) < count:
        index = len(states)
        moves = index % HEAD_EVERY == 0
        still_face = index % ONLY_HEAD_EVERY == 0
        head = (1 + rng.normal(0, 0.004), rng.normal(0, 0.005), *np.clip(rng.normal(0, 0.8, 2), -2, 2))
        units = {} if still_face else _draw_units(rng)
        state = State(units, index, tuple(map(float, head)) if moves else (1.0, 0.0, 0.0, 0.0))  # type: ignore[arg-type]
        while jacobian_determinant(typical.move(state.displacement())).min() < LEAST_JACOBIAN:
            weaker = {unit: 0.85 * amount for unit, amount in state.action_units.items()}
            state = State(weaker, index, state.head)
        states.append(state)
    return states


def _draw_units(rng: np.random.Generator) -> dict[str, float]:
    """One to four units; the more there are, the weaker each (log-uniform between the bounds)."""
    number = rng.integers(1, 5)
    units = rng.choice(ACTION_UNITS, number, replace=False)
    strongest = STRONGEST / np.sqrt(number)
    amounts = np.exp(rng.uniform(np.log(WEAKEST), np.log(strongest), number))
    return {
        str(unit): float(min(amount, CAPS.get(unit, STRONGEST))) for unit, amount in zip(units, amounts, strict=True)
    }


def build(folder: Path, identities: int, states: int, seed: int, progress: bool = False) -> Path:
    """Render `identities` people in `states` states into `folder` (new or overwritten) and return it.

    A complete set made with the same arguments is left as it is; of one that was stopped, the finished people are kept.
    The people are chosen apart from each other among DRAWS times as many; all stem from one portrait.
    """
    request = {"version": VERSION, "identities": identities, "states": states, "seed": seed}
    marker = folder / "set.json"
    if (read_json(marker) or {}).get("request") == request:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):  # several trainings may want it at a time
        if (read_json(marker) or {}).get("request") == request:
            return folder
        goes_on = read_json(folder / BEGUN) == request
        kept = len(list((folder / DONE).glob("*"))) if goes_on else 0
        if progress:
            work = (identities - kept) * states * STATE_S + (0 if goes_on else DRAWS * identities * CASTING_S)
            size = sum(float(np.prod(shape)) * np.dtype(of).itemsize for _, shape, of in _arrays(identities, states))
            before = f", {kept} of them finished before," if kept else ""
            note(
                f"rendering {identities} people{before} in {states} states into {folder}: {size / 1e9:.1f} GB,"
                f" about {duration(work / usable())}. It may be stopped; finished people are kept."
            )
        if not goes_on:
            _begin(folder, request, progress)
        people = [Role(**role) for role in json.loads((folder / "identities.json").read_text())]
        waiting = [(index, role) for index, role in enumerate(people) if not (folder / DONE / str(index)).exists()]
        wanted = draw_states(states, seed)
        motion = np.stack([state.displacement() for state in wanted])
        in_parallel(partial(_film, folder, wanted, motion), waiting, "rendering people", progress)
        write_json(folder / "states.json", [asdict(state) for state in wanted])
        write_json(marker, {"request": request, "arrays": [name for name, _, _ in _arrays(identities, states)]})
        (folder / BEGUN).unlink()
        shutil.rmtree(folder / DONE)
    return folder


def _begin(folder: Path, request: dict[str, Any], progress: bool) -> None:
    """Choose the people of a new set and make room for them."""
    (folder / "set.json").unlink(missing_ok=True)
    (folder / BEGUN).unlink(missing_ok=True)
    shutil.rmtree(folder / DONE, ignore_errors=True)
    count = request["identities"]
    people = cast(PORTRAIT, f"{SERIES}{request['seed']}.", count, DRAWS * count, progress)
    write_json(folder / "identities.json", [asdict(role) for role in people])
    for name, shape, dtype in _arrays(count, request["states"]):
        np.lib.format.open_memmap(folder / name, "w+", dtype, shape)
    (folder / DONE).mkdir()
    write_json(folder / BEGUN, request)


def demo_set(clips: Path) -> Path:
    """The set that the demo weights learnt from, rendered under `clips` unless it is there."""
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


def _film(folder: Path, states: list[State], motion: Points, task: tuple[int, Role]) -> None:
    """Render one person in all states, straight into the mapped files."""
    index, role = task
    actor = Actor(role.person())
    face = actor.person.face
    centre = face.landmarks[36:48].mean(0)
    out = {path.stem: np.load(path, mmap_mode="r+") for path in folder.glob("*.npy")}
    axis = np.linspace(0, SIZE - 1, GRID)
    grid = np.stack(np.meshgrid(axis, axis), -1)  # (64, 64, 2)
    for number, (state, displacement) in enumerate(zip(states, motion, strict=True)):
        head = state.matrix(centre) if state.head[0] != 1 else AT_REST
        shot = actor.shoot(actor.move(displacement), head)
        out["frames"][index, number] = shot.frame
        out["flow"][index, number] = sample(shot.forward, grid)
        out["inverse"][index, number] = sample(shot.backward, grid)
        out["mesh"][index, number] = face.vertices + sample(shot.forward, face.vertices)
    neutral = out["frames"][index, 0]
    out["landmarks"][index] = landmarks(grey(neutral[None])[0], f"training person {index}")
    out["face"][index] = hull(face.vertices[OVAL])[np.ix_(np.round(axis).astype(int), np.round(axis).astype(int))]
    for array in out.values():
        array.flush()
    (folder / DONE / str(index)).touch()
