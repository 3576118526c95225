"""Training batches from a rendered set: the same expressions on many faces, with their exact flow.

The set is a folder of plain arrays written by `megbench.taught.training_set` (I identities, S states): `frames.npy`
(I, S, 256, 256, 3) uint8 RGB, `flow.npy` and `inverse.npy` (I, S, 64, 64, 2) float16 in pixels of the 256-pixel
picture, `mesh.npy` (I, S, 478, 2), `landmarks.npy` (I, 68, 2), `face.npy` (I, 64, 64) and `set.json`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from megbench.core import openface_units
from megbench.core.clip import Float32s
from megbench.core.errors import BenchError
from megbench.core.frames import SIZE
from megbench.taught.cameras import Camera
from megbench.taught.clutter import around
from megbench.taught.mirror import MANY_VERTICES, POINT_PARTNERS
from megbench.taught.variation import Pose, Variation, bent, moved, placed, stirred
from megbench.training.command import PUBLISHED, TrainingSet, TrainingSource
from megbench.training.mirror import LANDMARK_PARTNERS
from megbench.training.variation import StoreSettings, people_held_out

# Scale, angle, shift x and y of a head that does not move.
AT_REST = (1.0, 0.0, 0.0, 0.0)
# Mesh vertices that FOMM's key points are trained to follow: brows, upper lids, nose tip, mouth corners, lips, chin.
POINT_VERTICES = (105, 334, 159, 386, 4, 61, 291, 0, 17, 152)


@dataclass(frozen=True)
class RenderedSettings(StoreSettings):
    """Settings for drawing from a rendered set. points: the number of mesh points, 50 for TPS. `prepared` is unused."""

    points: Literal[10, 50] = 10
    variation: Variation = Variation()


def rendered_set(folder: Callable[[], Path], people: int | None = None) -> TrainingSource:
    """Return the rendered set in `folder()`: the whole set for training on exact motion, otherwise only frame pairs.

    people: the number of people in it, if it is known before `folder` renders them.
    """

    def make(settings: RenderedSettings, training: str) -> TrainingSet:
        if people is not None:
            people_held_out(settings.held_out, people)
        rendered = RenderedSet(folder(), settings.held_out, settings.variation, settings.points)
        return FramePairs(rendered) if training == PUBLISHED else rendered

    return TrainingSource(RenderedSettings, make, (PUBLISHED, "taught"))


class RenderedSet:
    """Pairs of a driver (identity a, states s and t) and a source (identity b, state s; its true output is state t).

    The last `held_out` identities are used only for validation (None: as chosen by `people_held_out`). points: the
    number of mesh vertices that a batch follows, 10 or 50. Raises BenchError for an unfinished set.
    """

    def __init__(
        self,
        folder: Path,
        held_out: int | None = None,
        variation: Variation | None = None,
        points: int = len(POINT_VERTICES),
    ) -> None:
        if not (folder / "set.json").is_file():
            raise BenchError(f"{folder} is not a finished training set (no set.json). Render it again.")
        self.origin: dict[str, Any] = json.loads((folder / "set.json").read_text())
        self.states: list[dict[str, Any]] = json.loads((folder / "states.json").read_text())
        names = ("frames", "flow", "inverse", "mesh", "landmarks", "face")
        self.frames, self.flow, self.inverse, self.mesh, self.landmarks, self.face = (
            np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names
        )
        self.n_identities, self.n_states = self.frames.shape[:2]
        self.held_out = people_held_out(held_out, self.n_identities)
        self.variation = variation or Variation()
        self.vertices = {len(found): list(found) for found in (POINT_VERTICES, MANY_VERTICES)}[points]
        # Intensities of seventeen action units, (S, 17), as an estimator would read them from the states.
        self.units = np.stack([openface_units.shares(state["action_units"]) for state in self.states]).astype(
            np.float32
        )
        self.still = np.array([state["head"] == list(AT_REST) for state in self.states])

    def describe(self) -> str:
        """Return the size of the set, in words."""
        return (
            f"{self.n_identities} rendered people ({self.held_out} held out for validation) in {self.n_states} states"
            " each"
        )

    @property
    def videos(self) -> int:
        """The number of people in the training set, each of whom counts as one video."""
        return len(self.identities("train"))

    def facts(self) -> dict[str, Any]:
        """Return facts for the weights' card: how the set was rendered, and the people's numbers in both splits."""
        return self.origin | {
            "trained_on_identities": list(self.identities("train")),
            "validated_on_identities": list(self.identities("validation")),
        }

    def identities(self, split: str) -> range:
        """Return the identity numbers of "train" or "validation"."""
        first_held = self.n_identities - self.held_out
        return range(first_held) if split == "train" else range(first_held, self.n_identities)

    def batch(self, split: str, size: int, rng: np.random.Generator, driven: bool = True) -> dict[str, Tensor]:
        """Return a batch of `size` pairs drawn with `rng`; pictures are (B, 3, 256, 256) float32 RGB in [0, 1].

        source: b in state s. target: b in state t. initial: a in state s. driving: a in state t. grid: (B, 64, 64, 2),
        the position in source of every pixel of target, in [-1, 1] with align_corners=True. face: (B, 64, 64), 1 on the
        face in target. landmarks, landmarks_driving: (B, 68, 2), pixels in source and initial, without their
        expression. points_source, points_initial, points_driving: (B, 10 or 50, 2) in [-1, 1]. action_units_source,
        action_units_target: (B, 17) of states s and t, where 1 is the intensity of a micro-expression. driven: False
        omits the driver a, so that only source and target are drawn.
        """
        samples = [self._sample(split, rng, driven) for _ in range(size)]
        return {name: torch.from_numpy(np.stack([sample[name] for sample in samples])) for name in samples[0]}

    def _sample(self, split: str, rng: np.random.Generator, driven: bool) -> dict[str, Float32s]:
        """Return a pair: both people in random positions, each in their own lighting; the head may move from s to t."""
        settings = self.variation
        people = self.identities(split)
        a, b = int(rng.choice(people)), int(rng.choice(people))
        if rng.random() < 0.2:
            b = a
        s, t = self._states(rng)
        head = stirred(settings, rng)
        sample: dict[str, Float32s] = {}
        grey = rng.random() < settings.grey_share
        roles = ((b, "source", "target"), (a, "initial", "driving"))
        for person, first, second in roles if driven else roles[:1]:
            place = placed(settings, rng, self._between_eyes(person))
            landmarks = self.landmarks[person]
            turn = head.about(moved(self._between_eyes(person), place))
            bend = bent(settings, rng)
            poses = (
                Pose(place, np.eye(3), landmarks, bend),
                Pose(place, turn, landmarks, bend, head.turn, head.alone),
            )
            beyond = around(self.face[person], rng) if rng.random() < settings.clutter_share else None
            camera = Camera.draw(settings, rng, grey, template=first == "source")
            for name, state, pose in zip((first, second), (s, t), poses, strict=True):
                frame = np.asarray(self.frames[person, state])
                sample[name] = camera.record(pose.picture(beyond.put(frame) if beyond else frame), rng)
                sample[f"points_{name}"] = to_unit(pose.of(self._points(person, state)))
            found = poses[0].of(landmarks) + settings.landmark_px * rng.standard_normal((68, 2))
            sample["landmarks" if first == "source" else "landmarks_driving"] = np.rint(found).astype(np.float32)
            if first == "source":
                before = poses[1].before(cells(self.flow.shape[2]))
                sample["grid"] = to_unit(poses[0].of(self._backward(person, s, t, before)))
                sample["face"] = at(self.face[person][..., None], before)[..., 0]
        del sample["points_target"]
        sample["action_units_source"], sample["action_units_target"] = self.units[s], self.units[t]
        if rng.random() < settings.flip_share:
            sample = mirrored(sample, self.variation.flip_points)
        for name in ("source", "target", "initial", "driving") if driven else ("source", "target"):
            sample[name] = np.ascontiguousarray(sample[name].transpose(2, 0, 1))
        return sample

    def _states(self, rng: np.random.Generator) -> tuple[int, int]:
        """Draw two states, mostly starting at rest.

        In only a few of them does the head move, because head motion masks the expression.
        """
        pool = np.flatnonzero(self.still) if rng.random() < 1 - self.variation.turn_share else np.arange(self.n_states)
        s = 0 if rng.random() < self.variation.rest_share else int(rng.choice(pool))
        return s, int(rng.choice(pool))

    def _between_eyes(self, identity: int) -> Float32s:
        return np.asarray(self.landmarks[identity, 36:48].mean(0), np.float32)

    def _points(self, identity: int, state: int) -> Float32s:
        return np.asarray(self.mesh[identity, state][self.vertices], np.float32)

    def _backward(self, identity: int, s: int, t: int, where: Float32s) -> Float32s:
        """Return the positions in state s, in pixels, of points (64, 64, 2) in state t, by way of the neutral state."""
        neutral = where + at(self.inverse[identity, t], where)
        return neutral if s == 0 else neutral + at(self.flow[identity, s], neutral)


class FramePairs:
    """Pairs of states of one person, `source` and `driving`, like the frame pairs of published training procedures."""

    def __init__(self, rendered: RenderedSet) -> None:
        self.rendered = rendered
        self.videos, self.held_out = rendered.videos, rendered.held_out
        self.describe, self.facts = rendered.describe, rendered.facts

    def batch(self, split: str, size: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return source and driving (B, 3, 256, 256) float32 in [0, 1], with the same camera and place.

        landmarks: (B, 68, 2), pixels in source, without its expression. action_units_source, action_units_driving: (B,
        17), where 1 is the intensity of a micro-expression.
        """
        batch = self.rendered.batch(split, size, rng, driven=False)
        return {
            "source": batch["source"],
            "driving": batch["target"],
            "landmarks": batch["landmarks"],
            "action_units_source": batch["action_units_source"],
            "action_units_driving": batch["action_units_target"],
        }


def cells(count: int) -> Float32s:
    """Return pixel coordinates (count, count, 2) of a coarse grid whose corners are the picture's corner pixels."""
    axis = np.linspace(0, SIZE - 1, count, dtype=np.float32)
    return np.stack(np.meshgrid(axis, axis), -1)


def at(values: npt.NDArray[Any], where: Float32s) -> Float32s:
    """Return values (h, w, C) of a coarse grid at pixels `where` (h, w, 2), interpolated linearly, with the border
    repeated.
    """
    index = where * np.float32((len(values) - 1) / (SIZE - 1))
    x, y = cv2.split(index)
    # One by one: for two-channel images, OpenCV 5 resolves only 32 positions per cell (findings/remap_two_channels.sh).
    planes = [
        cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for plane in cv2.split(values.astype(np.float32))
    ]
    return np.asarray(cv2.merge(planes).reshape(*where.shape[:2], -1), np.float32)


def to_unit(pixels: Float32s) -> Float32s:
    """Convert pixel coordinates to [-1, 1] (align_corners=True)."""
    return np.asarray(pixels * (2 / (SIZE - 1)) - 1, np.float32)


def mirrored(sample: dict[str, Float32s], points: bool = True) -> dict[str, Float32s]:
    """Return the mirrored sample: pictures, grid and points are flipped, and left and right partners are exchanged.

    points: False leaves landmarks and points unchanged, as in FPB-FOMM's published loader.
    """
    turn = np.array([-1, 1], np.float32)
    flipped = {}
    for name, value in sample.items():
        if not points and name.startswith(("landmarks", "points")):
            flipped[name] = value
        elif name.startswith("landmarks"):
            flipped[name] = np.array([SIZE - 1, 0], np.float32) + value[list(LANDMARK_PARTNERS)] * turn
        elif name.startswith("points"):
            flipped[name] = value[list(POINT_PARTNERS[len(value)])] * turn
        elif name.startswith("action_units"):
            flipped[name] = value  # every unit moves both sides
        else:
            flipped[name] = np.ascontiguousarray(value[:, ::-1]) * (turn if name == "grid" else np.float32(1))
    return flipped
