"""Render a training set from a bundle (taught/bundle.py) with only numpy and cv2.

Simpler than the suite's own renderer: no wrinkles, no personal manner, no head motion. The flow is equally exact.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from megbench.core.clip import Float32s
from megbench.core.spline import Spline, as_type
from megbench.taught.rendered import AT_REST, SIZE, at, cells

# Intensities of an expression's one to three units, log-uniform; lips and lids fold beyond the cap.
WEAKEST, STRONGEST = 0.25, 2.0
CAP, CAPPED = 0.7, ("AU05", "AU07", "AU23", "AU24", "AU25", "AU43")
# Fixed-point iterations that invert a motion; each leaves less than a third of the error.
ROUNDS = 12


def render(bundle: Path, folder: Path, states: int, seed: int = 0) -> Path:
    """Write the set of all people in `states` states into `folder` (see taught/training_set.py); return the folder."""
    with np.load(bundle, allow_pickle=False) as data:
        given = {name: data[name] for name in data.files}
    people = len(given["frames"])
    amounts = _draw(given["units"], states, np.random.default_rng(seed))
    folder.mkdir(parents=True, exist_ok=True)
    shapes: dict[str, tuple[tuple[int, ...], npt.DTypeLike]] = {
        "frames": ((people, states, SIZE, SIZE, 3), np.uint8),
        "flow": ((people, states, *given["fields"].shape[2:]), np.float16),
        "inverse": ((people, states, *given["fields"].shape[2:]), np.float16),
        "mesh": ((people, states, *given["mesh"].shape[1:]), np.float32),
    }
    out = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, shape)
        for name, (shape, dtype) in shapes.items()
    }
    pixels = cells(SIZE)
    for person in range(people):
        fields, moves = (given[name][person].astype(np.float32) for name in ("fields", "moves"))
        picture = Spline(given["frames"][person])
        for state, amount in enumerate(amounts):
            flow = np.tensordot(amount, fields, 1)
            inverse = inverted(flow)
            source = pixels + at(inverse, pixels)
            out["flow"][person, state], out["inverse"][person, state] = flow, inverse
            out["mesh"][person, state] = given["mesh"][person] + np.tensordot(amount, moves, 1)
            out["frames"][person, state] = as_type(picture.at(source), np.uint8)
    for name in ("landmarks", "face"):
        np.save(folder / f"{name}.npy", given[name])
    described = [
        {"action_units": dict(zip(map(str, given["units"]), map(float, row), strict=True)), "head": AT_REST}
        for row in amounts
    ]
    (folder / "states.json").write_text(json.dumps(described))
    origin = {"bundle": bundle.name, "people": people, "states": states, "seed": seed}
    (folder / "set.json").write_text(json.dumps(origin))
    return folder


def inverted(flow: Float32s) -> Float32s:
    """Return the motion (64, 64, 2) that inverts `flow` (64, 64, 2), both in pixels of the 256-pixel picture."""
    grid = cells(len(flow))
    inverse = -flow
    for _ in range(ROUNDS):
        inverse = -at(flow, grid + inverse)
    return inverse


def _draw(units: npt.NDArray[np.str_], states: int, rng: np.random.Generator) -> Float32s:
    """Draw intensities (states, units); state 0 is neutral."""
    amounts = np.zeros((states, len(units)), np.float32)
    for row in amounts[1:]:
        number = int(rng.integers(1, 4))
        chosen = rng.choice(len(units), number, replace=False)
        row[chosen] = np.exp(rng.uniform(np.log(WEAKEST), np.log(STRONGEST / np.sqrt(number)), number))
    caps = [CAP if unit in CAPPED else STRONGEST for unit in units]
    return np.minimum(amounts, np.array(caps, np.float32))
