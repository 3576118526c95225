"""Write networks as ONNX (opset 13), a format that OpenCV reads, without any further package.

An ONNX file is a protobuf message. This module supports only what a chain of convolutions needs; field numbers are
those of onnx.proto.
"""

import numpy as np
import numpy.typing as npt

OPSET, IR_VERSION = 13, 8
FLOAT, INT64 = 1, 7
INTEGERS = 7  # an attribute's type: a list of integers


class Graph:
    """A network under construction: values are referred to by name; `"pictures"` is the input."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []

    def constant(self, values: npt.NDArray[np.float32] | npt.NDArray[np.int64]) -> str:
        """Add weights or a list of integers; return their name."""
        name = f"c{len(self._constants)}"
        kind = FLOAT if values.dtype == np.float32 else INT64
        shape = [_number(1, side) for side in values.shape]
        self._constants.append(_message(5, *shape, _number(2, kind), _text(8, name), _message(9, values.tobytes())))
        return name

    def layer(self, kind: str, *inputs: str, **attributes: list[int]) -> str:
        """Add a layer of an ONNX type ("Conv") with lists of integers as attributes; return the name of its output."""
        name = f"v{len(self._nodes)}"
        names = [_text(1, value) for value in inputs]
        listed = [
            _message(5, _text(1, key), *(_number(8, value) for value in values), _number(20, INTEGERS))
            for key, values in attributes.items()
        ]
        self._nodes.append(_message(1, *names, _text(2, name), _text(3, name), _text(4, kind), *listed))
        return name

    def model(self, entering: tuple[int, ...], result: str, leaving: tuple[int, ...]) -> bytes:
        """Return the network as the bytes of an ONNX file.

        entering, leaving: the shapes of the input and of the value `result`.
        """
        ends = _value(11, "pictures", entering), _value(12, result, leaving)
        graph = _message(7, *self._nodes, _text(2, "network"), *self._constants, *ends)
        return _number(1, IR_VERSION) + graph + _message(8, _text(1, ""), _number(2, OPSET))


def _value(field: int, name: str, shape: tuple[int, ...]) -> bytes:
    sides = [_message(1, _number(1, side)) for side in shape]
    return _message(field, _text(1, name), _message(2, _message(1, _number(1, FLOAT), _message(2, *sides))))


def _message(field: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return _varint(field << 3 | 2) + _varint(len(body)) + body


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode())


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    """Return a number >= 0 in groups of seven bits, lowest first; all bytes but the last have their top bit set."""
    low = bytearray()
    while value > 127:
        low.append(value & 127 | 128)
        value >>= 7
    return bytes(low) + bytes([value])
