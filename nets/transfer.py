"""Transfer the motion of a driver's key points to a source's (Siarohin et al. 2019, section 3.4)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.spatial import ConvexHull, QhullError
from torch import Tensor

from megbench.nets.geometry import inverse_2x2, product
from megbench.nets.keypoints import KeyPoints

TransferMode = Literal["relative", "relative_scale", "relative_value", "absolute"]


def transfer_key_points(source: KeyPoints, driving: KeyPoints, first: KeyPoints, mode: TransferMode) -> KeyPoints:
    """Return key points that move the source as the driver moves from `first` to `driving`.

    source and first have batch size 1; driving may have any. The modes are:

    "relative" (published default): p = p_s + (p_d - p_d0), J = J_d J_d0^-1 J_s.
    "relative_scale": like "relative", but the displacement is multiplied by the ratio of the faces' sizes.
    "relative_value": like "relative", but with J = J_d.
    "absolute": the unchanged driving key points, for a driver with the same face.
    """
    if mode == "absolute":
        return driving
    scale = hull_scale(source.value, first.value) if mode == "relative_scale" else 1.0
    value = source.value + scale * (driving.value - first.value)
    if mode == "relative_value":
        return KeyPoints(value, driving.jacobian)
    return KeyPoints(value, product(driving.jacobian, inverse_2x2(first.jacobian), source.jacobian))


def hull_scale(source: Tensor, first: Tensor) -> Tensor:
    """Return the ratio (B, 1, 1) of the sizes of two sets of points (B, K, 2).

    The size is the square root of the area of the convex hull. The ratio is 1 if a hull has no area (all points on a
    line). The published code uses the first sample's ratio for all samples.
    """
    sizes = [(hull_size(s), hull_size(f)) for s, f in zip(source, first, strict=True)]
    ratios = [s / f if s and f else 1.0 for s, f in sizes]
    return source.new_tensor(ratios)[:, None, None]


def hull_size(points: Tensor) -> float:
    """Return the square root of the area of the convex hull of points (K, 2); 0 if the hull has no area."""
    try:
        return float(np.sqrt(ConvexHull(points.detach().cpu().numpy()).volume))  # in 2-D scipy's volume is the area
    except QhullError:
        return 0.0
