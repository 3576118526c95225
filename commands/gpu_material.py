"""The material for `bench.py gpu`: rendered people with various expressions and known landmarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from megbench.core.config import resolve
from megbench.core.frames import Frames
from megbench.core.generator import Generator, networks_at
from megbench.core.openface_units import LARGEST, UnitTable
from megbench.taught.rendered import RenderedSet, rendered_set
from megbench.taught.training_set import build
from megbench.training.command import TrainingSet

# The number of people, the number of states of each person, and the seed. The last person is held out, as in every
# rendered set.
PEOPLE, STATES, SEED = 3, 6, 0


@dataclass(frozen=True)
class Material:
    """A small rendered set in `folder`, rendered as for `train --clips demo`."""

    folder: Path

    @classmethod
    def rendered(cls, folder: Path) -> Material:
        """Render the people into `folder`, which takes about a second on one core."""
        return cls(build(folder, PEOPLE, STATES, SEED))

    def batches(self, training: str, points: int = 10) -> TrainingSet:
        """Return the data for "taught" or "published" training. points: the number of mesh points, 10 or 50."""
        source = rendered_set(lambda: self.folder)
        return source.open(resolve(source.settings, [{"held_out": 1, "points": points}], where="data"), training)

    def scene(self, n_frames: int) -> Scene:
        """Return the first person as the template and the second as the driver.

        The driver's frames are the person's states in turn, repeated until there are `n_frames`.
        """
        people = RenderedSet(self.folder, held_out=1)
        states: npt.NDArray[np.int_] = np.array([index % STATES for index in range(n_frames)])
        intensity = np.clip(LARGEST * people.units[states].astype(np.float64), 0, LARGEST)
        landmarks = people.landmarks.astype(np.float64)
        return Scene(np.array(people.frames[0, 0]), landmarks[0], people.frames[1][states], landmarks[1], intensity)


@dataclass(frozen=True)
class Scene:
    """A template, uint8 (256, 256, 3) RGB, and a driver, uint8 (T, 256, 256, 3) RGB.

    template_landmarks, driver_landmarks: (68, 2) each; those of the driver are from its frame 0. intensity: the
    driver's action units, (T, 17), 0 to 5.
    """

    template: Frames
    template_landmarks: npt.NDArray[np.float64]
    driver: Frames
    driver_landmarks: npt.NDArray[np.float64]
    intensity: UnitTable

    def animated(
        self, generator: Generator, mode: str, animator: Any, networks: Mapping[str, nn.Module], device: str
    ) -> Frames:
        """Read the template and the driver, paint every frame and return the frames: uint8 (T, 256, 256, 3) RGB."""
        if generator.driven_by == "action units":
            own = self.driver_landmarks if generator.modes[mode].driver_landmarks else None
            face = animator.face(self.template, self.template_landmarks if generator.landmarks else None)
            followed: Frames = animator.follow(face, self.intensity, np.asarray(self.intensity > 0, np.float64), own)
            return followed
        detector = networks_at(generator.model)[0].detector
        pairs = (self.template, self.template_landmarks), (self.driver, self.driver_landmarks)
        of_template, of_driver = (
            detector(networks, landmarks if generator.landmarks else None, device) for _, landmarks in pairs
        )
        points = animator.read(self.driver, of_driver)
        moved: Frames = animator.animate(animator.face(self.template, of_template), points, len(self.driver))
        return moved
