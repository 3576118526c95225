"""Grids, Gaussians, moments, 2 x 2 matrices and warps, always in float32.

Coordinates are (x, y) in [-1, 1]; -1 is the centre of the first pixel and +1 that of the last (the align_corners=True
convention). Micro-motion is 0.5 to 3 pixels of 256, and bfloat16 resolves coordinates near 1 to only half a pixel, so
nothing here may run at less than float32 precision: `in_float32` switches autocast off.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from megbench.nets.gather import gathered, suits

Sampling = Literal["bilinear", "bicubic"]
Function = TypeVar("Function", bound=Callable[..., Any])

# The magnitude of a determinant is raised to at least this, so that an inverse is large but finite.
SMALLEST_DETERMINANT = 1e-8


def widened(value: Any) -> Any:
    """Convert half-precision tensors to float32; return everything else unchanged."""
    return value.float() if isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16) else value


def in_float32(function: Function) -> Function:
    """Decorate a function so that half-precision tensor arguments become float32 and autocast is off inside it.

    Float64 tensors remain float64.
    """

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        tensor = next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), None)
        device = tensor.device.type if tensor is not None else "cpu"
        with torch.autocast(device, enabled=False):
            return function(*map(widened, args), **{key: widened(value) for key, value in kwargs.items()})

    return cast(Function, wrapped)


def coordinate_grid(height: int, width: int, like: Tensor) -> Tensor:
    """Return the coordinates of a map's cells: (H, W, 2), x before y, on the device of `like`, at least float32."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    y = torch.linspace(-1, 1, height, device=like.device, dtype=dtype)
    x = torch.linspace(-1, 1, width, device=like.device, dtype=dtype)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


@in_float32
def gaussians(mean: Tensor, height: int, width: int, variance: float | Tensor) -> Tensor:
    """Return unnormalised Gaussians exp(-(z - p)^T S^-1 (z - p) / 2): mean (B, K, 2) -> (B, K, H, W), 1 at the mean.

    `variance` is either one number for round Gaussians or the covariances (B, K, 2, 2).
    """
    offset = coordinate_grid(height, width, mean) - mean[:, :, None, None]  # B K H W 2
    if isinstance(variance, Tensor):
        weighted = torch.einsum("bkij,bkhwj->bkhwi", inverse_2x2(variance), offset)
    else:
        weighted = offset / variance
    return torch.exp(-0.5 * (offset * weighted).sum(-1))


@in_float32
def spatial_softmax(logits: Tensor, temperature: float) -> Tensor:
    """Return the softmax over all positions of a map: (B, K, H, W) -> (B, K, H, W); each map sums to 1."""
    return torch.softmax(logits.flatten(2) / temperature, dim=-1).view_as(logits)


@in_float32
def soft_argmax(heatmap: Tensor) -> Tensor:
    """Return the mean position under heatmaps that sum to 1: (B, K, H, W) -> (B, K, 2)."""
    grid = coordinate_grid(heatmap.shape[2], heatmap.shape[3], heatmap)  # H W 2
    # Pairwise sums here and below: a matrix product over 4096 cells is ten times less exact.
    return (heatmap[..., None] * grid).sum((2, 3))


@in_float32
def covariance(heatmap: Tensor, mean: Tensor) -> Tensor:
    """Return the covariance of position under heatmaps that sum to 1: (B, K, H, W), (B, K, 2) -> (B, K, 2, 2)."""
    offset = coordinate_grid(heatmap.shape[2], heatmap.shape[3], heatmap) - mean[:, :, None, None]  # B K H W 2
    return (heatmap[..., None, None] * offset[..., :, None] * offset[..., None, :]).sum((2, 3))


@in_float32
def inverse_2x2(matrix: Tensor) -> Tensor:
    """Return the inverse in closed form: (..., 2, 2) -> (..., 2, 2). It is finite even for singular matrices."""
    a, b, c, d = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 0], matrix[..., 1, 1]
    determinant = a * d - b * c
    sign = torch.where(determinant < 0, -1.0, 1.0)
    determinant = sign * determinant.abs().clamp_min(SMALLEST_DETERMINANT)
    adjugate = torch.stack([torch.stack([d, -b], -1), torch.stack([-c, a], -1)], -2)
    return adjugate / determinant[..., None, None]


@in_float32
def product(*matrices: Tensor) -> Tensor:
    """Return the product of 2 x 2 matrices from left to right, in float32 even under autocast: (..., 2, 2)."""
    return functools.reduce(torch.matmul, matrices)


@in_float32
def affine_grid(centre: Tensor, target: Tensor, matrix: Tensor, height: int, width: int) -> Tensor:
    """Return the maps z -> target + matrix (z - centre): points (B, K, 2), matrix (B, K, 2, 2) -> (B, K, H, W, 2)."""
    grid = coordinate_grid(height, width, centre)
    offset = (grid - centre[:, :, None, None]).flatten(2, 3)  # B K HW 2
    moved = offset @ matrix.transpose(-1, -2) + target[:, :, None]  # B K HW 2
    return moved.unflatten(2, (height, width))


@in_float32
def warp(
    picture: Tensor, grid: Tensor, align_corners: bool, padding: str = "zeros", sampling: Sampling = "bilinear"
) -> Tensor:
    """Sample a picture at a backward grid: (B, C, H, W), (B, h, w, 2) -> (B, C, h, w).

    A picture of batch size 1 can be used with a grid of any batch size. align_corners=True agrees with this file's
    coordinates. False is the default of torch >= 1.3; an identity grid then shrinks the picture by half a pixel at each
    border. The result has the picture's memory layout. Torch always samples into a planar map. Combined with maps in
    the channels-last layout, a planar map would make every later operation several times slower.
    """
    layout = memory_layout(picture)
    plainly = (sampling, padding) == ("bilinear", "zeros")
    if plainly and layout is torch.channels_last and suits(picture, grid):
        return gathered(picture, grid, align_corners)
    picture = picture.expand(grid.shape[0], -1, -1, -1)
    sampled = F.grid_sample(picture, grid, mode=sampling, padding_mode=padding, align_corners=align_corners)
    return sampled.contiguous(memory_format=layout)


def memory_layout(maps: Tensor) -> torch.memory_format:
    """Return the memory layout of maps (B, C, H, W): channels last or planar; planar if they could be either."""
    last = not maps.is_contiguous() and maps.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


@in_float32
def resized_grid(grid: Tensor, height: int, width: int, align_corners: bool = False) -> Tensor:
    """Return a backward grid at another resolution, interpolated bilinearly: (B, h, w, 2) -> (B, H, W, 2).

    With align_corners False, as published, an identity grid magnifies the picture by about 1 %; with True it remains an
    identity.
    """
    if grid.shape[1:3] == (height, width):
        return grid
    return resized_map(grid.permute(0, 3, 1, 2), height, width, align_corners).permute(0, 2, 3, 1)


@in_float32
def resized_map(maps: Tensor, height: int, width: int, align_corners: bool = False) -> Tensor:
    """Return maps at another resolution, interpolated bilinearly: (B, C, h, w) -> (B, C, H, W)."""
    if maps.shape[2:] == (height, width):
        return maps
    # Planar: in channels last, torch takes seven times as long for maps of few channels.
    return F.interpolate(maps.contiguous(), size=(height, width), mode="bilinear", align_corners=align_corners)


def aligned(matrix: Tensor) -> Tensor:
    """Return the matrix (..., 2, 2) times the sign of its first entry; 0 counts as positive (MRAA's axis rule)."""
    return matrix * first_sign(matrix)


def first_sign(matrix: Tensor) -> Tensor:
    """Return the sign of the first entry of (..., 2, 2), without gradient; 0 counts as positive: (..., 1, 1)."""
    return torch.where(matrix[..., :1, :1] < 0, -1.0, 1.0)
