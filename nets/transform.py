"""The random smooth transform of the equivariance losses: an affine map plus a thin plate spline.

Source: Siarohin et al., First Order Motion Model, NeurIPS 2019, section 3.1 and the published code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from megbench.core.config import Count
from megbench.core.draws import each
from megbench.nets.geometry import coordinate_grid, in_float32, warp

# Keeps the logarithm finite at the control points themselves.
EPSILON = 1e-6


@dataclass(frozen=True)
class TransformConfig:
    """Standard deviations of the affine part and of the spline's weights, and the number of control points per side."""

    sigma_affine: float = 0.05
    sigma_tps: float = 0.005
    points_tps: Count = 5


@dataclass(frozen=True)
class RandomTransform:
    """T(z) = A z + b + (1, 1) sum_j w_j U(|z - c_j|_1) with U(r) = r^2 log(r + 1e-6), one T per sample.

    theta: (B, 2, 3), [A | b]. control_params: (B, 1, P^2), the weights w of control points c on a P x P grid over
    [-1, 1]^2, in which x varies fastest. As published, the distance is L1, and x and y move by the same amount.
    """

    theta: Tensor
    control_params: Tensor

    @classmethod
    def draw(cls, config: TransformConfig, batch: int, rng: np.random.Generator, like: Tensor) -> RandomTransform:
        """Draw `batch` transforms on the device of `like`, at least float32, each with its own random generator."""
        draws = np.stack([own.standard_normal(6 + config.points_tps**2) for own in each(rng, batch)])
        theta = np.eye(2, 3) + draws[:, :6].reshape(batch, 2, 3) * config.sigma_affine
        weights = draws[:, None, 6:] * config.sigma_tps
        dtype = torch.promote_types(like.dtype, torch.float32)
        return cls(*(torch.from_numpy(part).to(dtype).to(like.device, non_blocking=True) for part in (theta, weights)))

    def _offsets(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return the offsets from the control points (B, N, P^2, 2) and their L1 lengths (B, N, P^2)."""
        side = round(self.control_params.shape[-1] ** 0.5)
        controls = coordinate_grid(side, side, points).flatten(0, 1)  # P^2 2
        offsets = points[:, :, None] - controls
        return offsets, offsets.abs().sum(-1)

    @in_float32
    def points(self, points: Tensor) -> Tensor:
        """Return the values (B, N, 2) of T at points (B, N, 2), in coordinates [-1, 1]."""
        affine = points @ self.theta[:, :, :2].transpose(1, 2) + self.theta[:, None, :, 2]
        _, length = self._offsets(points)
        lift = (self.control_params * length**2 * torch.log(length + EPSILON)).sum(-1, keepdim=True)
        return affine + lift

    @in_float32
    def jacobian(self, points: Tensor) -> Tensor:
        """Return dT/dz (B, N, 2, 2) at points (B, N, 2) in closed form; gradients flow through it to the points.

        dT/dz = A + (1, 1)^T sum_j w_j (2 r log(r + e) + r^2 / (r + e)) sign(z - c_j)^T.
        """
        offsets, length = self._offsets(points)
        slope = 2 * length * torch.log(length + EPSILON) + length**2 / (length + EPSILON)  # B N P^2
        lift = torch.einsum("bnp,bnpc->bnc", self.control_params * slope, torch.sign(offsets))  # B N 2
        return self.theta[:, None, :, :2] + lift[:, :, None, :]

    def frame(self, frame: Tensor, align_corners: bool) -> Tensor:
        """Return frames (B, 3, H, W) warped by T, reflected at the borders; the pixel at z is the frame's at T(z)."""
        height, width = frame.shape[2:]
        grid = coordinate_grid(height, width, frame).flatten(0, 1)  # HW 2
        grid = self.points(grid.expand(len(frame), -1, -1)).unflatten(1, (height, width))
        return warp(frame, grid, align_corners, padding="reflection")
