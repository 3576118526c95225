"""Sample strips: the networks' pictures next to their inputs and targets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

# The largest number of rows of a strip.
MOST = 4


def write_strip(path: Path, given: Mapping[str, Tensor], made: Mapping[str, Tensor]) -> None:
    """Write a PNG with a row for each of the first samples: the inputs, then the networks' pictures.

    Pictures are (B, 3, H, W) RGB in [0, 1]; entries of another shape or size are left out.
    """
    named = [*given.values(), *made.values()]
    pictures = [value.detach().float().cpu() for value in named if value.ndim == 4 and value.shape[1] == 3]
    size = pictures[-1].shape[2:]
    columns = [value[:MOST] for value in pictures if value.shape[2:] == size]
    rows = torch.cat([torch.cat(list(column), 1) for column in columns], 2)  # 3 nH mW
    levels = (rows.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(".png", np.ascontiguousarray(levels[..., ::-1]))
    path.write_bytes(data.tobytes())
