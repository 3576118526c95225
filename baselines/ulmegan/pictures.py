"""Pictures as input to ULME-GAN's networks, and frames made from their output."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from megbench.nets.inference import Frames


def inside(picture: Tensor, size: int) -> Tensor:
    """Return pictures (B, 3, H, W) in [0, 1] as input to the networks: (B, 3, size, size) in [-1, 1], area-averaged."""
    if picture.shape[-1] != size:
        picture = F.interpolate(picture, (size, size), mode="area")
    return (picture - 0.5) / 0.5


def outside(picture: Tensor, as_published: bool = False) -> Frames:
    """Return pictures (B, 3, H, W) in [-1, 1] as uint8 (B, H, W, 3), rounded or, if `as_published`, truncated."""
    levels = (picture / 2 + 0.5) * 255
    levels = levels.clamp(0, 255) if as_published else levels.clamp(0, 255).round()
    frames: Frames = levels.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return frames


def enlarged(frame: Frames, size: int) -> Frames:
    """Return a frame (H, W, 3) uint8 enlarged to (size, size) with bilinear interpolation.

    The published code asks for nearest-neighbour interpolation but gets bilinear interpolation.
    """
    return np.asarray(cv2.resize(frame, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)


def through_jpeg(frame: Frames, quality: int = 75) -> Frames:
    """Return a frame (H, W, 3) RGB uint8 after JPEG compression at the given quality (75 is Pillow's default)."""
    _, coded = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR_RGB), np.uint8)
