"""Golden files, their reduced form, and the bounds on every entry."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from tests.golden.bounds import MOST, PICKED_SUFFIX, STATISTICS_SUFFIX, Bound, Bounds, kind_of

# A reduced file keeps arrays of up to WHOLE values and SAMPLES evenly spaced values of larger ones.
WHOLE, SAMPLES = 2048, 128
PICTURES = ("source", "driving", "driving_video", "batch_source", "batch_driving")
# The suffix of the second family's pictures, (N, H, W, 3) uint8.
LEVELS = "_u8"
# Indices of the stored values of a large entry of the second family, modulo its size.
PICKED = np.arange(16384) * 1000003


class Golden:
    """A golden file: inputs as tensors and expected entries as arrays, complete or reduced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with np.load(path, allow_pickle=False) as data:
            self.arrays = {name: data[name] for name in data.files}
        self.reduced = "reduced" in self.arrays
        self.arrays.pop("reduced", None)
        self.arrays = {name: array for name, array in self.arrays.items() if not name.startswith("_err64")}
        self.names = set(self.arrays)

    def __getitem__(self, name: str) -> Tensor:
        """Return an input. A reduced file only names its pictures, which are stored beside it."""
        array = self.arrays[name]
        if array.dtype.kind == "U" and name.endswith(LEVELS):
            array = np.stack([read_picture(self.path.parent / file).transpose(1, 2, 0) for file in array])
        elif array.dtype.kind == "U":
            pictures = [read_picture(self.path.parent / file) for file in array]
            array = np.stack(pictures).astype(np.float32) / np.float32(255)
        given = torch.from_numpy(array).to(torch.get_default_device())
        return given.to(torch.get_default_dtype()) if given.dtype == torch.float32 else given

    def any(self, prefix: str) -> bool:
        """Return whether the file has entries with this prefix, so that work for absent ones can be skipped."""
        return any(name.startswith(prefix) for name in self.names)

    def difference(self, name: str, found: np.ndarray, bound: Bound) -> float:
        """Return the difference of an entry, as its bound's kind defines it; infinite for another shape or NaN."""
        expected = self.arrays[name].astype(np.float64)
        found = np.asarray(found, np.float64)
        if name.endswith(STATISTICS_SUFFIX):
            found = np.array([found.mean(), found.std(), found.min(), found.max(), *found.shape])
        elif name.endswith(PICKED_SUFFIX):
            found = found.reshape(-1)[PICKED % found.size]
        if self.reduced:
            found = sampled(found)
        if found.shape != expected.shape or not np.isfinite(found).all():
            return float("inf")
        return off_by(bound.kind, found, expected)

    def reduce(self, folder: Path, left_out: str) -> Path:
        """Write the reduced form, an npz and its pictures, into `folder`, without entries that match `left_out`."""
        kept: dict[str, np.ndarray] = {"reduced": np.array(1)}
        for name, array in self.arrays.items():
            if name.endswith(LEVELS):
                kept[name] = np.array([write_levels(folder, picture) for picture in array])
            elif name in PICTURES:
                kept[name] = np.array([write_picture(folder, picture) for picture in array])
            elif not re.fullmatch(left_out, name):
                kept[name] = array if kind_of(name, self.path.stem) == "input" else sampled(array)
        path = folder / self.path.name
        np.savez_compressed(path, **kept)  # type: ignore[arg-type]
        return path


def off_by(kind: str, found: np.ndarray, expected: np.ndarray) -> float:
    """Return the difference of two float64 arrays, as a bound's kind defines it."""
    error = np.abs(found - expected)
    if kind == "relative":
        error = error / np.maximum(np.abs(expected), 1e-12)
    if kind == "gradient":
        error = error / max(np.abs(expected).max(), 1e-12)
    if not error.size:
        return 0.0
    # No interpolation, so that MOST of the values are within a bound if and only if this one is.
    return float(np.quantile(error, MOST, method="inverted_cdf") if kind in ("gradient", "step") else error.max())


def sampled(array: np.ndarray) -> np.ndarray:
    """Return the array if it is small, otherwise evenly spaced values of it as a one-dimensional array."""
    if array.size <= WHOLE:
        return array
    return array.reshape(-1)[np.linspace(0, array.size - 1, SAMPLES).astype(np.int64)]


def write_picture(folder: Path, picture: np.ndarray) -> str:
    """Write (3, H, W) float32, exact multiples of 1/255, as lossless WebP named by its content; return the name."""
    levels = np.rint(picture * 255).astype(np.uint8)
    if not np.array_equal(levels.astype(np.float32) / np.float32(255), picture):
        raise ValueError("pictures of golden files must be exact multiples of 1/255")
    return write_levels(folder, levels.transpose(1, 2, 0))


def write_levels(folder: Path, levels: np.ndarray) -> str:
    """Write (H, W, 3) uint8 RGB as lossless WebP named by its content; return the name."""
    name = f"{hashlib.blake2b(levels.tobytes(), digest_size=4).hexdigest()}.webp"
    cv2.imwrite(str(folder / name), levels[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 101])
    return name


def read_picture(path: Path) -> np.ndarray:
    """Read a picture written by `write_picture`: (3, H, W) uint8 RGB."""
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)).transpose(2, 0, 1)


def compare(golden: Golden, entries: Iterator[tuple[str, Tensor]]) -> Iterator[tuple[str, float | None, Bound]]:
    """Yield the difference of every entry: None if it is an input or ignored, infinite if it was not computed."""
    bounds = Bounds()
    wanted = {name: bounds.of(name, golden.path.stem) for name in sorted(golden.names)}
    compared = {name for name, bound in wanted.items() if bound.kind not in ("input", "ignored")}
    done = set()
    for name, value in entries:
        for stored in (name, name + PICKED_SUFFIX, name + STATISTICS_SUFFIX):
            if stored in compared and stored not in done:
                done.add(stored)
                yield stored, golden.difference(stored, value.detach().cpu().numpy(), wanted[stored]), wanted[stored]
    for name in sorted(compared - done):
        yield name, float("inf"), wanted[name]
    for name in sorted(golden.names - compared):
        yield name, None, wanted[name]
