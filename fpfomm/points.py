"""The 18 given key points of FPB-FOMM, derived from 68 landmarks.

Source: Zhang et al., MM '21, figure 2b, and the published code.
"""

from __future__ import annotations

import torch
from torch import Tensor

NUM_POINTS = 18

# iBUG landmarks, 0-based: brows, nose bridge, eyes, mouth, then six points that are moved outwards.
LANDMARKS = (19, 24, 27, 38, 41, 43, 46, 48, 54, 55, 57, 59, 31, 35, 41, 46, 48, 54)
# How far the last six points are moved, (x, y) in halves of the distance between the inner eye corners: nostrils and
# mouth corners sideways, lower lids downwards. As published, they follow the picture's axes, not the head's tilt.
PUSHES = {12: (-1, 0), 13: (1, 0), 14: (0, 1), 15: (0, 1), 16: (-1, 0), 17: (1, 0)}
INNER_EYE_RIGHT, INNER_EYE_LEFT = 39, 42

# Points that swap when a picture is mirrored (derived from the iBUG symmetry; the published flip does not swap them).
MIRROR = (1, 0, 2, 5, 6, 3, 4, 8, 7, 11, 10, 9, 13, 12, 15, 14, 17, 16)


def given_points(landmarks: Tensor) -> Tensor:
    """Return points (B, 18, 2) float32 for landmarks (B, 68, 2), in pixels x, y; they may lie outside the picture."""
    landmarks = landmarks.to(torch.float32)
    pushes = torch.tensor([PUSHES.get(index, (0, 0)) for index in range(NUM_POINTS)], dtype=torch.float32)
    pushes = pushes.to(landmarks.device, non_blocking=True)
    eyes = landmarks[:, INNER_EYE_LEFT, 0] - landmarks[:, INNER_EYE_RIGHT, 0]  # B
    return landmarks[:, list(LANDMARKS)] + pushes * (eyes / 2)[:, None, None]


def mirrored_points(points: Tensor, width: int = 256) -> Tensor:
    """Return points (B, 18, 2) for the horizontally mirrored picture: partners are swapped, and x -> width - 1 - x.

    The published training procedure mirrors pictures but not their points. This function corrects the omission.
    """
    swapped = points[:, list(MIRROR)]
    return torch.stack([width - 1 - swapped[..., 0], swapped[..., 1]], dim=-1)
