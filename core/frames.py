"""Frames as the suite passes them on: uint8 (T, 256, 256, 3) RGB, lossless PNG files on disk.

Videos and stranger pictures enter through `core.video`; this file only knows the suite's own frame folders.
"""

import functools
import hashlib
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from core.errors import BenchError
from core.file_hashes import bytes_facts

SIZE = 256
Frames = npt.NDArray[np.uint8]


def check_frames(frames: Frames, what: str) -> Frames:
    """Return `frames` if they are uint8 (T, 256, 256, 3) with T >= 1; raise BenchError naming `what` otherwise."""
    if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8:
        kind = getattr(frames, "dtype", type(frames).__name__)
        raise BenchError(f"{what}: frames must be uint8, got {kind}.")
    if frames.ndim != 4 or frames.shape[0] < 1 or frames.shape[1:] != (SIZE, SIZE, 3):
        raise BenchError(f"{what}: frames must be (T, {SIZE}, {SIZE}, 3) with T >= 1, got {frames.shape}.")
    return frames


def content_hash(frames: Frames) -> str:
    """Hash of shape and pixels (blake2b, 32 hexadecimal digits); equal pixels give equal hashes."""
    digest = hashlib.blake2b(str(frames.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(frames).data)
    return digest.hexdigest()


def grey(frames: Frames) -> npt.NDArray[np.uint8]:
    """Luma of RGB frames (..., 3) -> (...), uint8: .299 R + .587 G + .114 B, rounded (ITU-R BT.601)."""
    flat = np.ascontiguousarray(frames).reshape(-1, frames.shape[-2], 3)
    return np.asarray(cv2.cvtColor(flat, cv2.COLOR_RGB2GRAY), np.uint8).reshape(frames.shape[:-1])


def is_grey(frames: Frames) -> bool:
    """Whether the three channels of frames (..., 3) are the same."""
    return bool((frames[..., 0] == frames[..., 1]).all() and (frames[..., 1] == frames[..., 2]).all())


def frame_path(folder: Path, index: int) -> Path:
    """Path of frame `index`, counted from 0."""
    return folder / f"{index:05d}.png"


def write_frames(folder: Path, frames: Frames) -> dict[str, dict[str, Any]]:
    """Write frames as `00000.png`, ... into a new folder; return size and hash of each file by its name.

    A process that is killed leaves whole files or none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [frame_path(folder, index) for index in range(len(frames))]
    return {path.name: write_png(path, frame) for path, frame in zip(paths, frames, strict=True)}


# Twice as fast as zlib's search for repeats, of which noisy pictures have none, and a tenth smaller. A filter for all
# rows, where libpng would try five for each, takes half the time in writing and two thirds in reading, for 5 % more.
PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY]
PNG += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_AVG]


def write_png(path: Path, image: npt.NDArray[np.uint8]) -> dict[str, Any]:
    """Write one RGB picture (H, W, 3) uint8 as PNG: temporary file, then rename. Return the file's size and hash."""
    encoded = encode_png(image)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(encoded)
    os.replace(temporary, path)
    return bytes_facts(encoded)


def encode_png(image: npt.NDArray[np.uint8]) -> bytes:
    """Return one RGB picture (H, W, 3) uint8 as the bytes of a PNG file."""
    return _encoded(image.tobytes(), image.shape)


@functools.lru_cache(maxsize=1)  # a still face's frames are all the same
def _encoded(pixels: bytes, shape: tuple[int, ...]) -> bytes:
    image = np.frombuffer(pixels, np.uint8).reshape(shape)
    ok, encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), PNG)
    if not ok:
        raise BenchError(f"A picture of shape {shape} could not be encoded as PNG.")
    return encoded.tobytes()


def read_frames(folder: Path, count: int) -> Frames:
    """Read `count` frames written by `write_frames`: uint8 (T, 256, 256, 3) RGB. BenchError if one is missing."""
    return np.stack([_read(frame_path(folder, index)) for index in range(count)])


def read_png(path: Path) -> Frames:
    """Read one picture of the suite's own as RGB uint8 (H, W, 3). BenchError if missing or damaged."""
    return _read(path).copy()


def _read(path: Path) -> Frames:
    try:
        image = _decoded(path.read_bytes())
    except OSError as error:
        raise BenchError(f"{path}: cannot be read ({error.strerror}). Run the same command again.") from None
    if image is None:
        raise BenchError(f"{path}: not a readable PNG. Delete it and run the same command again.")
    return image


@functools.lru_cache(maxsize=1)
def _decoded(data: bytes) -> Frames | None:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) if data else None
    return None if image is None else np.asarray(image, np.uint8)
