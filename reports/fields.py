"""Motion fields for the page: how each block of the face moves, coded to preserve a tenth of a pixel.

A displacement v (pixels) is stored as 128 + 127 asinh(v / knee) / asinh(32 / knee), x in red and y in green of a
lossless WebP with one tile per frame. Displacements are measured and stored during scoring; a report measures nothing.
"""

import io
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

# In pixels. Near zero, one step of the code is 0.03 pixels.
KNEE, FARTHEST = 1.0, 32.0
COLUMNS = 32
# WebP allows pictures of up to 16383 pixels per side.
MOST_FRAMES = 8192
# The largest number of blocks along a side of a field that this suite makes.
MOST_BLOCKS = 64

Floats = npt.NDArray[np.floating]


def read_field(path: Path, count: int) -> Floats | None:
    """Return the motion that scoring stored for a clip of `count` frames: (T, G, G, 2), pixels since frame 0.

    Return None if scoring stored nothing or the file is damaged.
    """
    field = _kept(path, "field")
    if field is None:
        return None
    whole = field.ndim == 4 and len(field) == count and field.shape[1] == field.shape[2] <= MOST_BLOCKS
    return field if whole and field.shape[3] == 2 and np.issubdtype(field.dtype, np.floating) else None


def read_head(path: Path) -> Floats | None:
    """Return the head's stored motion since frame 0: (T, 2, 3), in pixels; None in the same cases as `read_field`."""
    head = _kept(path, "head")
    whole = head is not None and head.shape[1:] == (2, 3) and np.issubdtype(head.dtype, np.floating)
    return head if whole else None


def _kept(path: Path, name: str) -> Floats | None:
    try:
        with np.load(path, allow_pickle=False) as kept:
            return np.asarray(kept[name])
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile):
        return None


def encode_field(field: Floats) -> bytes:
    """Return a field (T, G, G, 2) as lossless WebP, G x G tiles in rows of 32, or b"" if one file cannot hold it."""
    count, grid = field.shape[:2]
    if count > MOST_FRAMES:
        return b""
    scaled = np.arcsinh(np.clip(field.astype(np.float32), -FARTHEST, FARTHEST) / KNEE) / np.arcsinh(FARTHEST / KNEE)
    rows = -(-count // COLUMNS)
    tiles = np.full((rows * COLUMNS, grid, grid, 3), 128, np.uint8)
    tiles[:count, ..., :2] = np.rint(128 + 127 * scaled)
    sheet = tiles.reshape(rows, COLUMNS, grid, grid, 3).transpose(0, 2, 1, 3, 4)
    out = io.BytesIO()
    Image.fromarray(sheet.reshape(rows * grid, COLUMNS * grid, 3)).save(out, "WEBP", lossless=True, method=4)
    return out.getvalue()


def decode_field(coded: bytes, count: int, grid: int) -> npt.NDArray[np.float32]:
    """Return what the page reads from `encode_field`'s file: (T, G, G, 2) float32."""
    with Image.open(io.BytesIO(coded)) as image:
        pixels = np.asarray(image.convert("RGB"), np.float32)
    tiles = pixels.reshape(-1, grid, COLUMNS, grid, 3).transpose(0, 2, 1, 3, 4).reshape(-1, grid, grid, 3)
    return (KNEE * np.sinh((tiles[:count, ..., :2] - 128) / 127 * np.arcsinh(FARTHEST / KNEE))).astype(np.float32)


def field_reach(field: Floats) -> float:
    """Return the 99th percentile of the displacements in the frame that moves most, in pixels; 0 if there are none."""
    lengths = np.linalg.norm(field.astype(np.float32), axis=3)  # (T, G, G)
    return float(max((np.percentile(frame, 99) for frame in lengths), default=0.0))
