"""Inference in parts: a template is encoded once, a driver is read once, frames are painted in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nets.dense_motion import Motion
from nets.generator import Encoded, Generator

Frames = npt.NDArray[np.uint8]


class PointSet(Protocol):
    """Key points or regions of a batch of pictures."""

    def __getitem__(self, index: slice) -> Self:
        """Those of some of the pictures."""

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Those of several batches."""


Points = TypeVar("Points", bound=PointSet)


@dataclass(frozen=True)
class Face(Generic[Points]):
    """A template, ready to be moved: its features and its points, batch 1."""

    encoded: Encoded
    points: Points


@dataclass(frozen=True)
class Animator(Generic[Points]):
    """A generator with the two steps in which the methods differ.

    transfer: points of template, driver and driver's first frame -> the template's points, moved. motion: the small
    template, its points and the moved ones -> dense motion. Everything runs on `device` in eval mode.
    """

    generator: Generator
    transfer: Callable[[Points, Points, Points], Points]
    motion: Callable[[Tensor, Points, Points], Motion]
    device: str
    batch_size: int

    @torch.inference_mode()
    def face(self, image: Frames, detect: Callable[[Tensor], Points]) -> Face[Points]:
        """A template, uint8 (H, W, 3) RGB; the same for every driver."""
        picture = self._pictures(image[None])
        return Face(self.generator.encode(picture), detect(picture))

    @torch.inference_mode()
    def read(self, frames: Frames, detect: Callable[[Tensor], Points]) -> Points:
        """Points of a driver's frames, uint8 (T, H, W, 3) RGB; the same for every template."""
        parts = [detect(self._pictures(frames[part])) for part in self._parts(len(frames))]
        return type(parts[0]).join(parts)

    @torch.inference_mode()
    def animate(self, face: Face[Points], driver: Points, n_frames: int) -> Frames:
        """The template moved as the driver moves from its first frame: uint8 (T, H, W, 3) RGB."""
        frames = []
        for part in self._parts(n_frames):
            moved = self.transfer(face.points, driver[part], driver[:1])
            motion = self.motion(face.encoded.small, face.points, moved)
            painted = self.generator.decode(face.encoded, motion)  # B 3 H W
            levels = (painted.clamp(0, 1) * 255).round().to(torch.uint8)
            frames.append(levels.permute(0, 2, 3, 1).cpu().numpy())
        return np.concatenate(frames)

    def _parts(self, count: int) -> Iterator[slice]:
        return (slice(start, start + self.batch_size) for start in range(0, count, self.batch_size))

    def _pictures(self, frames: Frames) -> Tensor:
        pictures = torch.from_numpy(np.ascontiguousarray(frames)).to(self.device)
        return pictures.permute(0, 3, 1, 2).float() / 255  # B 3 H W
