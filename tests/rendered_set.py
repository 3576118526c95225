"""A small look-alike of a rendered training set, exact by construction."""

import json
from pathlib import Path

import cv2
import numpy as np

from megbench.core.spline import Spline, as_type
from megbench.taught.people import read_people


def write_rendered_set(folder: Path) -> Path:
    """Write a set of three "people" (smooth textures) in four states, each with a different shift of the middle."""
    rng = np.random.default_rng(0)
    people, states = 3, 4
    shifts = np.array([[0, 0], [3, 0], [0, -2], [-2, 2]], np.float32)
    axis = np.linspace(0, 255, 64)
    grid = np.stack(np.meshgrid(axis, axis), -1)
    pixels = np.stack(np.meshgrid(np.arange(256), np.arange(256)), -1).astype(np.float32)

    def bump(at):
        return np.exp(-((at - 128) ** 2).sum(-1) / (2 * 50**2))[..., None].astype(np.float32)

    frames = np.zeros((people, states, 256, 256, 3), np.uint8)
    flow = np.zeros((people, states, 64, 64, 2), np.float16)
    inverse = np.zeros_like(flow)
    for person in range(people):
        texture = cv2.GaussianBlur(rng.uniform(0, 255, (256, 256, 3)).astype(np.float32), (0, 0), 6)
        texture = Spline(cv2.normalize(texture, None, 20, 235, cv2.NORM_MINMAX))
        for state, shift in enumerate(shifts):
            back = pixels - shift * bump(pixels)
            for _ in range(20):
                back = pixels - shift * bump(back)
            frames[person, state] = as_type(texture.at(back.astype(np.float32)), np.uint8)
            flow[person, state] = shift * bump(grid)
            inverse[person, state] = cv2.remap(
                back - pixels, *np.moveaxis(grid.astype(np.float32), -1, 0), cv2.INTER_LINEAR
            )
    arrays = {
        "frames": frames,
        "flow": flow,
        "inverse": inverse,
        "mesh": rng.uniform(60, 200, (people, states, 478, 2)).astype(np.float32),
        "landmarks": read_people().landmarks[:people],
        "face": np.ones((people, 64, 64), np.uint8),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    listed = [{"head": [1, 0, 0, 0], "action_units": {"AU12": float(state)}} for state in range(states)]
    (folder / "states.json").write_text(json.dumps(listed))
    (folder / "set.json").write_text("{}")
    return folder
