"""Inference in steps: a template is encoded once, a driver is read once, and frames are painted in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from megbench.nets.dense_motion import Motion
from megbench.nets.generator import Encoded

Frames = npt.NDArray[np.uint8]


class PointSet(Protocol):
    """Key points or regions of a batch of pictures."""

    def __getitem__(self, index: slice) -> Self:
        """Return the points of some of the pictures."""

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Join the points of several batches into one."""


Points = TypeVar("Points", bound=PointSet)


class Painter(Protocol):
    """A generator that can animate and be trained: megbench.nets.generator.Generator, or TPS's two networks as one."""

    def small(self, picture: Tensor) -> Tensor:
        """Return the picture as input to the dense motion network: (B, 3, H/4, W/4) with the published factor."""

    def features(self, picture: Tensor) -> tuple[Tensor, ...]:
        """Return the features of a source (B, 3, H, W) RGB in [0, 1], finest first."""

    def encode(self, picture: Tensor) -> Encoded:
        """Encode a source (B, 3, H, W) RGB in [0, 1], once for all frames."""

    def decode(self, encoded: Encoded, motion: Motion) -> Tensor:
        """Return the source moved by a motion: (B, 3, H, W) RGB in [0, 1]."""

    def occlusion_biases(self) -> list[Tensor]:
        """Return the biases of the layers that predict occlusion, as logits of visibility."""


@dataclass(frozen=True)
class Face(Generic[Points]):
    """A template prepared for animation: its features and its points, with batch size 1."""

    encoded: Encoded
    points: Points


@dataclass(frozen=True)
class Animator(Generic[Points]):
    """A generator with the two steps that differ between the methods.

    transfer: takes the points of the template, the driver and the driver's first frame, and returns the moved points of
    the template. motion: takes the small template, its points and its moved points, and returns the dense motion.
    Everything runs on `device` in eval mode.
    """

    generator: Painter
    transfer: Callable[[Points, Points, Points], Points]
    motion: Callable[[Tensor, Points, Points], Motion]
    device: str
    batch_size: int

    @torch.inference_mode()
    def face(self, image: Frames, detect: Callable[[Tensor], Points]) -> Face[Points]:
        """Encode a template, uint8 (H, W, 3) RGB; the result can be used with every driver."""
        picture = pictures(image[None], self.device)
        return Face(self.generator.encode(picture), detect(picture))

    @torch.inference_mode()
    def read(self, frames: Frames, detect: Callable[[Tensor], Points]) -> Points:
        """Return the points of a driver's frames, uint8 (T, H, W, 3) RGB; they can be used with every template."""
        found = [detect(pictures(frames[part], self.device)) for part in parts(len(frames), self.batch_size)]
        return type(found[0]).join(found)

    @torch.inference_mode()
    def animate(self, face: Face[Points], driver: Points, n_frames: int) -> Frames:
        """Return the template moved as the driver moves from its first frame: uint8 (T, H, W, 3) RGB."""
        frames = []
        for part in parts(n_frames, self.batch_size):
            frames.append(levels(self.paint(face, driver[part], driver[:1])))
        return np.concatenate(frames)

    def paint(self, face: Face[Points], driving: Points, first: Points) -> Tensor:
        """Return the template moved by one batch of the driver's points: (B, 3, H, W) RGB in [0, 1]."""
        motion = self.motion(face.encoded.small, face.points, self.transfer(face.points, driving, first))
        return self.generator.decode(face.encoded, motion)


def parts(count: int, size: int) -> Iterator[slice]:
    """Yield the slices that divide `count` frames into batches of `size`."""
    return (slice(start, start + size) for start in range(0, count, size))


def pictures(frames: Frames, device: str) -> Tensor:
    """Return frames uint8 (T, H, W, 3) as pictures float32 (T, 3, H, W) in [0, 1] on the device."""
    moved = torch.from_numpy(np.ascontiguousarray(frames)).to(device)
    return moved.permute(0, 3, 1, 2).float() / 255


def levels(painted: Tensor) -> Frames:
    """Return pictures (T, 3, H, W) in [0, 1] as rounded frames uint8 (T, H, W, 3)."""
    rounded = (painted.clamp(0, 1) * 255).round().to(torch.uint8)
    return rounded.permute(0, 2, 3, 1).cpu().numpy()
