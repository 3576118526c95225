"""Thin plate splines: smooth maps of the plane that bend at control points.

Source: Zhao and Zhang, Thin-Plate Spline Motion Model for Image Animation, CVPR 2022, section 3.2, and the published
code, whose kernel of the squared distance is U(r^2) = r^2 log(r^2 + 1e-9).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from megbench.nets.geometry import coordinate_grid, in_float32, warp
from megbench.nets.transform import TransformConfig

# Keeps the logarithm finite at the control points themselves.
EPSILON = 1e-9
# Added to the whole diagonal of the system that is solved, as published. The map then misses its targets slightly, and
# even equal points do not give the identity: for five points spread over a face of 256 pixels, the error is two pixels
# on average.
PUBLISHED_RIDGE = 0.01


@dataclass(frozen=True)
class ThinPlate:
    """K maps T(z) = A z + b + sum_i w_i U(|z - c_i|^2) for each sample.

    theta: (B, K, 2, 3), [A | b]. controls: (B or 1, K, N, 2), the points c. weights: (B, K, N, 2), or (B, K, N, 1) if x
    and y bend by the same amount.
    """

    theta: Tensor
    controls: Tensor
    weights: Tensor

    @classmethod
    @in_float32
    def fitted(cls, controls: Tensor, targets: Tensor, ridge: float = PUBLISHED_RIDGE) -> ThinPlate:
        """Return the maps that send control points (B, K, N, 2) to targets (B, K, N, 2), approximately if `ridge` > 0.

        The system is solved in float64: for points that nearly coincide it is almost singular, and float32 would be off
        by a pixel.
        """
        p, q = controls.double(), targets.double()
        count = p.shape[2]
        ones = torch.ones_like(p[..., :1])
        affine = torch.cat([p, ones], dim=-1)  # B K N 3
        bend = _kernel((p[:, :, :, None] - p[:, :, None]).square().sum(-1))  # B K N N
        corner = torch.zeros_like(affine[:, :, :3, :3])
        system = torch.cat(
            [torch.cat([bend, affine], -1), torch.cat([affine.transpose(-1, -2), corner], -1)], -2
        )  # B K N+3 N+3
        system = system + ridge * torch.eye(count + 3, dtype=p.dtype, device=p.device)
        wanted = torch.cat([q, torch.zeros_like(q[:, :, :3])], dim=2)  # B K N+3 2
        solution = torch.linalg.solve(system, wanted).to(controls.dtype)
        return cls(solution[:, :, count:].transpose(-1, -2), controls, solution[:, :, :count])

    @classmethod
    def draw(cls, config: TransformConfig, own: Sequence[np.random.Generator], like: Tensor) -> ThinPlate:
        """Draw one random map near the identity from each sample's generator, on the device of `like`, in float32.

        The control points form a grid over [-1, 1]^2 in which x varies fastest. As published, x and y move by the same
        amount.
        """
        noise = np.stack([one.standard_normal((2, 3)) for one in own]) * config.sigma_affine
        weights = np.stack([one.standard_normal((1, config.points_tps**2)) for one in own]) * config.sigma_tps
        tensors = (torch.from_numpy(values).to(like.device, torch.float32) for values in (noise, weights))
        return cls.near_identity(*tensors)

    @classmethod
    def near_identity(cls, noise: Tensor, weights: Tensor) -> ThinPlate:
        """Return maps near the identity, constructed from random numbers.

        noise: (B, 2, 3), added to the identity. weights: (B, 1, P^2), for a P x P grid of control points.
        """
        side = round(weights.shape[-1] ** 0.5)
        controls = coordinate_grid(side, side, noise).flatten(0, 1)[None, None]  # 1 1 P^2 2
        theta = torch.eye(2, 3, device=noise.device, dtype=noise.dtype) + noise
        return cls(theta[:, None], controls, weights[..., None])

    @in_float32
    def __call__(self, points: Tensor) -> Tensor:
        """Return the values (B, K, M, 2) of the maps at points (B or 1, K or 1, M, 2)."""
        affine = points @ self.theta[..., :2].transpose(-1, -2) + self.theta[..., 2][:, :, None]
        distance = (points[:, :, :, None] - self.controls[:, :, None]).square().sum(-1)  # B K M N
        return affine + _kernel(distance) @ self.weights

    @in_float32
    def grids(self, height: int, width: int) -> Tensor:
        """Return the values of the maps at the cells of a picture, as backward grids: (B, K, H, W, 2)."""
        cells = coordinate_grid(height, width, self.theta).flatten(0, 1)[None, None]  # 1 1 HW 2
        return self(cells).unflatten(2, (height, width))

    def points(self, points: Tensor) -> Tensor:
        """Return the values (B, M, 2) of the only map (K = 1) at points (B, M, 2)."""
        return self(points[:, None])[:, 0]

    def frame(self, frame: Tensor) -> Tensor:
        """Return frames (B, 3, H, W) warped by the only map, reflected at the borders.

        The pixel at z is the frame's pixel at T(z).
        """
        return warp(frame, self.grids(*frame.shape[2:])[:, 0], align_corners=True, padding="reflection")


def _kernel(squared: Tensor) -> Tensor:
    """Return the kernel U of squared distances."""
    return squared * torch.log(squared + EPSILON)
