"""A small clip with exact motion for tests: a public-domain face whose mouth corner (or brow) moves out and back."""

import functools
from pathlib import Path

import numpy as np
from skimage import data

from megbench.core.clip import Cell, Clip, KnownMotion, Template, pixel_grid, save_clip
from megbench.core.frames import Frames, grey
from megbench.faces.crop import crop
from megbench.faces.field import invert, sample, warp
from megbench.faces.landmarks import landmarks

T = 7
# For each push: where it is strongest, its displacement in pixels, and the frame at which it peaks.
MOUTH = ((98.0, 167.0), (-2.6, -2.0), 4)
BROW = ((100.0, 93.0), (0.0, -3.0), 6)
Push = tuple[tuple[float, float], tuple[float, float], int]


def face() -> Frames:
    """Return the face at rest: uint8 (256, 256, 3) RGB."""
    return crop(np.ascontiguousarray(data.astronaut()), (133, 22, 313, 202))


def push_field(push: Push) -> np.ndarray:
    """Return the displacement from frame 0 at full strength: (256, 256, 2) float32, pixels."""
    place, move, _ = push
    distance = np.square(pixel_grid() - np.array(place, np.float32)).sum(-1, keepdims=True)
    return np.exp(-distance / (2 * 16.0**2)).astype(np.float32) * np.array(move, np.float32)


def strengths(push: Push, n_frames: int = T) -> np.ndarray:
    """Return the strength at every frame, 0 in the first: (n_frames,) float32."""
    frames, peak = np.arange(n_frames), push[2]
    fall = np.maximum(1 - 0.5 * (frames - peak) / max(n_frames - peak, 1), 0)
    return np.where(frames <= peak, frames / peak, fall).astype(np.float32)


def render(push: Push, noise_seed: int | None = None, n_frames: int = T) -> tuple[Frames, KnownMotion]:
    """Return the frames and their exact motion; with a seed, add camera noise of sigma 2."""
    frames, known = moved(push, n_frames)
    if noise_seed is not None:
        noise = np.random.default_rng(noise_seed).normal(0, 2, frames.shape)
        return np.clip(np.round(frames + noise), 0, 255).astype(np.uint8), known
    return frames.copy(), known


@functools.cache
def moved(push: Push, n_frames: int) -> tuple[Frames, KnownMotion]:
    """Return the frames without noise, and their motion."""
    field, strength = push_field(push), strengths(push, n_frames)
    frames = np.stack([warp(face(), invert(amount * field)) for amount in strength]).astype(np.uint8)
    head = np.repeat(np.eye(2, 3, dtype=np.float32)[None], n_frames, axis=0)
    rest = landmarks(grey(face()[None])[0], "test face").astype(np.float32)
    places = np.stack([rest + amount * sample(field, rest) for amount in strength])
    return frames, KnownMotion(("AU12",), strength[:, None], field[None].astype(np.float16), head, places)


def make_clip(
    folder: Path, name: str, push: Push, noise_seed: int | None = None, known: bool = True, n_frames: int = T
) -> Clip:
    """Render and save a clip."""
    frames, motion = render(push, noise_seed, n_frames)
    clip = Clip(folder, name, "tests", "astronaut", "positive", 0, "", apex_frame=push[2], rendered=known)
    return save_clip(folder / name, clip, frames, motion if known else None)


def make_cell(folder: Path, n_frames: int = T) -> Cell:
    """Make a cell in which the face drives itself.

    Driver and reference differ only in noise, the truth has no noise, and the foil moves a brow.
    """
    return Cell(
        protocol="tests",
        driver=make_clip(folder, "driver", MOUTH, 1, n_frames=n_frames),
        template=Template.of("face", "astronaut", face()),
        reference=make_clip(folder, "reference", MOUTH, 2, n_frames=n_frames),
        truth=make_clip(folder, "truth", MOUTH, n_frames=n_frames),
        foil=make_clip(folder, "foil", BROW, 3, n_frames=n_frames),
    )
