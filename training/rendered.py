"""Training batches from a rendered set: the same expressions on many faces, with their exact flow.

The set is a folder of plain arrays written by `clips.synthetic.training_set` (I identities, S states):
`frames.npy` (I, S, 256, 256, 3) uint8 RGB, `flow.npy` and `inverse.npy` (I, S, 64, 64, 2) float16 in pixels of the
256 picture, `mesh.npy` (I, S, 478, 2), `landmarks.npy` (I, 68, 2), `face.npy` (I, 64, 64), `set.json`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from core.errors import BenchError
from training.mirror import LANDMARK_PARTNERS, POINT_PARTNERS

SIZE = 256
# Scale, angle, shift x and y of a head that does not move.
AT_REST = (1.0, 0.0, 0.0, 0.0)
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Mesh vertices that FOMM's key points are taught to follow: brows, upper lids, nose tip, mouth corners, lips, chin.
POINT_VERTICES = (105, 334, 159, 386, 4, 61, 291, 0, 17, 152)


@dataclass(frozen=True)
class Augmentation:
    """How pictures are varied: every identity of a pair its own draw, equal for all frames of that identity.

    Shares are probabilities, the rest standard deviations in the [0, 1] range of the pictures.
    """

    flip_share: float = 0.5
    grey_share: float = 0.4
    gain: float = 0.10
    channel: float = 0.05
    offset: float = 0.03
    noise: float = 0.008
    landmark_px: float = 0.7


class RenderedSet:
    """Pairs of a driver (identity a, states s and t) and a source (identity b, state s; its answer in state t).

    The last `held_out` identities are never trained on; they validate. Raises BenchError for an unfinished set.
    """

    def __init__(self, folder: Path, held_out: int = 4, augmentation: Augmentation | None = None) -> None:
        if not (folder / "set.json").is_file():
            raise BenchError(f"{folder} is not a finished training set (no set.json). Render it again.")
        self.facts: dict[str, Any] = json.loads((folder / "set.json").read_text())
        self.states: list[dict[str, Any]] = json.loads((folder / "states.json").read_text())
        names = ("frames", "flow", "inverse", "mesh", "landmarks", "face")
        self.frames, self.flow, self.inverse, self.mesh, self.landmarks, self.face = (
            np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names
        )
        self.n_identities, self.n_states = self.frames.shape[:2]
        if not 0 < held_out < self.n_identities:
            raise BenchError(f"held_out {held_out} must lie between 1 and {self.n_identities - 1} identities.")
        self.held_out = held_out
        self.augmentation = augmentation or Augmentation()
        self.still = np.array([state["head"] == list(AT_REST) for state in self.states])
        self._noise = np.random.default_rng(0).standard_normal((SIZE, SIZE, 3), dtype=np.float32)

    def describe(self) -> str:
        """The set in words."""
        return (
            f"{self.n_identities} rendered people ({self.held_out} held out to validate) in {self.n_states} states each"
        )

    def identities(self, split: str) -> range:
        """Identity numbers of "train" or "validation"."""
        first_held = self.n_identities - self.held_out
        return range(first_held) if split == "train" else range(first_held, self.n_identities)

    def batch(self, split: str, size: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """A batch of `size` pairs, every draw from `rng`; pictures (B, 3, 256, 256) float32 RGB in [0, 1].

        source: b in state s. target: b in state t. initial: a in state s. driving: a in state t.
        grid: (B, 64, 64, 2), where every pixel of target lies in source, in [-1, 1] with align_corners=True.
        face: (B, 64, 64), 1 in the face of target's identity. landmarks, landmarks_driving: (B, 68, 2) pixels of the
        neutral frames of b and a. points_source, points_initial, points_driving: (B, 10, 2) in [-1, 1].
        """
        samples = [self._sample(split, rng) for _ in range(size)]
        return {name: torch.from_numpy(np.stack([sample[name] for sample in samples])) for name in samples[0]}

    def _sample(self, split: str, rng: np.random.Generator) -> dict[str, npt.NDArray[np.float32]]:
        people = self.identities(split)
        a, b = int(rng.choice(people)), int(rng.choice(people))
        if rng.random() < 0.2:
            b = a
        s, t = self._states(rng)
        grid_px = self._backward(b, s, t)
        sample = {
            "source": self._picture(b, s),
            "target": self._picture(b, t),
            "initial": self._picture(a, s),
            "driving": self._picture(a, t),
            "grid": (grid_px * (2 / (SIZE - 1)) - 1).astype(np.float32),
            "face": self.face[b].astype(np.float32),
            "landmarks": self.landmarks[b].astype(np.float32),
            "landmarks_driving": self.landmarks[a].astype(np.float32),
            "points_source": self._points(b, s),
            "points_initial": self._points(a, s),
            "points_driving": self._points(a, t),
        }
        return self._augment(sample, rng)

    def _states(self, rng: np.random.Generator) -> tuple[int, int]:
        """Two states: mostly from neutral; head motion in a fifth of the pairs only (more drowns the expression)."""
        pool = np.flatnonzero(self.still) if rng.random() < 0.8 else np.arange(self.n_states)
        s = 0 if rng.random() < 0.6 else int(rng.choice(pool))
        return s, int(rng.choice(pool))

    def _picture(self, identity: int, state: int) -> npt.NDArray[np.float32]:
        return np.asarray(self.frames[identity, state], np.float32) * np.float32(1 / 255)

    def _points(self, identity: int, state: int) -> npt.NDArray[np.float32]:
        points = self.mesh[identity, state][list(POINT_VERTICES)]
        return np.asarray(points * (2 / (SIZE - 1)) - 1, np.float32)

    def _backward(self, identity: int, s: int, t: int) -> npt.NDArray[np.float32]:
        """Where the pixels of state t lie in state s: (64, 64, 2) in pixels, by way of the neutral state."""
        cells = self.flow.shape[2]
        axis = np.linspace(0, SIZE - 1, cells, dtype=np.float32)
        target = np.stack(np.meshgrid(axis, axis), -1)  # (64, 64, 2)
        neutral = np.asarray(target + self.inverse[identity, t], np.float32)
        if s == 0:
            return neutral
        field = torch.from_numpy(np.asarray(self.flow[identity, s], np.float32)).permute(2, 0, 1)[None]
        where = torch.from_numpy(neutral * (2 / (SIZE - 1)) - 1)[None]
        moved = F.grid_sample(field, where, align_corners=True, padding_mode="border")[0]
        return np.asarray(neutral + moved.permute(1, 2, 0).numpy(), np.float32)

    def _augment(
        self, sample: dict[str, npt.NDArray[np.float32]], rng: np.random.Generator
    ) -> dict[str, npt.NDArray[np.float32]]:
        settings = self.augmentation
        grey = rng.random() < settings.grey_share
        for pair in (("source", "target"), ("initial", "driving")):
            gain = 1 + settings.gain * rng.standard_normal() + settings.channel * rng.standard_normal(3)
            offset = settings.offset * rng.standard_normal()
            # Drivers come from cameras; a template is usually a clean portrait.
            noise = settings.noise * rng.random() * (0.3 if pair[0] == "source" else 1.0)
            for name in pair:
                picture = sample[name]
                if grey:
                    picture = np.repeat((picture @ LUMA)[..., None], 3, axis=2)
                roll = tuple(int(step) for step in rng.integers(0, SIZE, 2))
                grain = noise * np.roll(self._noise, roll, axis=(0, 1))
                picture = picture * gain + offset + (grain[..., :1] if grey else grain)
                sample[name] = np.clip(picture, 0, 1).astype(np.float32)
        for name in ("landmarks", "landmarks_driving"):
            jitter = settings.landmark_px * rng.standard_normal((68, 2))
            sample[name] = np.rint(sample[name] + jitter).astype(np.float32)
        if rng.random() < settings.flip_share:
            sample = mirrored(sample)
        for name in ("source", "target", "initial", "driving"):
            sample[name] = np.ascontiguousarray(sample[name].transpose(2, 0, 1))
        return sample


class FramePairs:
    """Two states of one person, `source` and `driving`, as the published trainings take two frames of one video."""

    def __init__(self, rendered: RenderedSet) -> None:
        self.rendered = rendered

    def batch(self, split: str, size: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """source and driving (B, 3, 256, 256) float32 in [0, 1], varied alike; landmarks (B, 68, 2) of frame 0."""
        batch = self.rendered.batch(split, size, rng)
        return {"source": batch["source"], "driving": batch["target"], "landmarks": batch["landmarks"]}


def mirrored(sample: dict[str, npt.NDArray[np.float32]]) -> dict[str, npt.NDArray[np.float32]]:
    """The sample seen in a mirror: pictures, grid and points flipped, left and right partners exchanged."""
    turn = np.array([-1, 1], np.float32)
    flipped = {}
    for name, value in sample.items():
        if name.startswith("landmarks"):
            flipped[name] = np.array([SIZE - 1, 0], np.float32) + value[list(LANDMARK_PARTNERS)] * turn
        elif name.startswith("points"):
            flipped[name] = value[list(POINT_PARTNERS)] * turn
        else:
            flipped[name] = np.ascontiguousarray(value[:, ::-1]) * (turn if name == "grid" else np.float32(1))
    return flipped
