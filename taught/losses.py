"""Losses for training on exact motion (taught/trainer.py): on flow, points, jacobians, masks and pictures."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from megbench.nets.dense_motion import identity_motion
from megbench.nets.geometry import affine_grid, coordinate_grid, in_float32, inverse_2x2, product, resized_map

# Half the width of the 256-pixel picture: converts coordinates in [-1, 1] to pixels.
PIXELS = 127.5
# A pair without motion must remain still, but an error of 0.05 pixels is negligible.
TOLERANCE_PX = 0.05
# Weight of the background, which must remain at rest but matters less than the face.
BACKGROUND_WEIGHT = 0.1
# Width (sigma, in [-1, 1]) of the neighbourhood whose motion a given point should represent.
WINDOW = 0.12


@in_float32
def flow_losses(deformation: Tensor, grid: Tensor, face: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the error, direction and shortfall losses of a backward grid against the true one.

    deformation, grid: (B, h, w, 2) in [-1, 1]. face: (B, h, w). In all three losses, the face has full weight and the
    background has a tenth of it.

    error: the mean over the batch of mean|found - true| / (mean|true| + 0.05 px), so that a pair with micro-motion has
        the same weight as one with large motion.
    direction: 1 minus the cosine between the two flow fields.
    shortfall: how much the projection onto the true flow falls short of it. Without this loss, an uncertain network
        minimises its error by predicting too small a motion.
    """
    found, true = _pixels(deformation), _pixels(grid)
    return _field_losses(found, true, BACKGROUND_WEIGHT + (1 - BACKGROUND_WEIGHT) * face)


@in_float32
def facial_losses(deformation: Tensor, grid: Tensor, face: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the losses of `flow_losses` for what remains on the face when each field's head motion is removed.

    A head moves by more than a micro-expression. In the losses of the whole flow, the error of a moving head therefore
    hides that of the face, and a network may take a part of the head's motion for facial motion.
    """
    return _field_losses(_without_head(_pixels(deformation), face), _without_head(_pixels(grid), face), face)


def _pixels(grid: Tensor) -> Tensor:
    """Return the motion (B, h, w, 2) of a backward grid in [-1, 1], in pixels."""
    return (grid - coordinate_grid(grid.shape[1], grid.shape[2], grid)) * PIXELS


def _without_head(motion: Tensor, face: Tensor) -> Tensor:
    """Return the motion (B, h, w, 2) minus the similarity transform that fits it best on the face (B, h, w).

    As in megbench.faces.head, a similarity moves a point z by c (z - mean z) + t, in complex numbers.
    """
    weight = (face / face.sum((1, 2), keepdim=True).clamp(min=1e-6)).flatten(1)  # B hw
    moved = torch.view_as_complex(motion.contiguous()).flatten(1)
    grid = coordinate_grid(motion.shape[1], motion.shape[2], motion)
    place = torch.view_as_complex(grid.contiguous()).flatten()[None]
    place = place - (weight * place).sum(1, keepdim=True)
    spread = (weight * place.abs().square()).sum(1, keepdim=True).clamp(min=1e-6)
    turn = (weight * place.conj() * moved).sum(1, keepdim=True) / spread
    rest = moved - turn * place - (weight * moved).sum(1, keepdim=True)
    return torch.view_as_real(rest).reshape(motion.shape)


def _field_losses(found: Tensor, true: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the three losses of motion (B, h, w, 2) in pixels against the true one, with weights (B, h, w)."""
    weight = weight / weight.sum((1, 2), keepdim=True).clamp(min=1e-6)
    # The square root of a sum of squares has no gradient at zero.
    error = (weight * ((found - true).square().sum(-1) + 1e-8).sqrt()).sum((1, 2))
    size = (weight * true.norm(dim=-1)).sum((1, 2))
    inner, found2, true2 = (
        (weight * (a * b).sum(-1)).sum((1, 2)) for a, b in ((found, true), (found, found), (true, true))
    )
    cosine = inner / ((found2 + 1e-4) * (true2 + 1e-4)).sqrt()  # 1e-4: a hundredth of a pixel counts as still
    moves = true2 > TOLERANCE_PX**2
    direction = torch.where(moves, 1 - cosine, torch.zeros_like(cosine)).mean()
    shortfall = torch.where(moves, F.relu(1 - inner / (true2 + 1e-4)), torch.zeros_like(inner)).mean()
    return (error / (size + TOLERANCE_PX)).mean(), direction, shortfall


@in_float32
def point_losses(found: tuple[Tensor, Tensor, Tensor], true: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
    """Return losses of key points (source, initial, driving), each (B, K, 2) in [-1, 1], against points on the mesh.

    place: 0.05 times the mean distance in pixels. step: the relative error of the displacement from initial to driving.
    """
    place = torch.stack([(f - t).norm(dim=-1).mean() for f, t in zip(found, true, strict=True)]).mean() * PIXELS
    moved, wanted = (found[2] - found[1]) * PIXELS, (true[2] - true[1]) * PIXELS  # B K 2
    error = (moved - wanted).norm(dim=-1).mean(-1)
    return {"place": 0.05 * place, "step": (error / (wanted.norm(dim=-1).mean(-1) + TOLERANCE_PX)).mean()}


@in_float32
def best_matrices(points: Tensor, grid: Tensor, sigma: float = WINDOW) -> Tensor:
    """Return the linear maps (B, K, 2, 2) about given points (B, K, 2) that best fit the true grid (B, h, w, 2).

    A given point cannot move. The best that it can do to represent the motion is therefore this map, the least-squares
    fit under a Gaussian window with `sigma`. With narrow windows, a suitable mask then leaves a fifth of the motion's
    error; with 0.2, it leaves two fifths.
    """
    rest = coordinate_grid(grid.shape[1], grid.shape[2], grid)
    offset = rest - points[:, :, None, None]  # B K h w 2
    window = torch.exp(-offset.square().sum(-1) / (2 * sigma**2))  # B K h w
    spread = torch.einsum("bkhw,bkhwi,bkhwj->bkij", window, offset, offset)
    moved = torch.einsum("bkhw,bhwi,bkhwj->bkij", window, grid - rest, offset)
    return product(moved, inverse_2x2(spread)) + torch.eye(2, device=grid.device, dtype=grid.dtype)


@in_float32
def jacobian_loss(matrix: Tensor, wanted: Tensor) -> Tensor:
    """Return the error of matrices (B, K, 2, 2) relative to the size of the target matrices minus the identity."""
    size = (wanted - torch.eye(2, device=wanted.device, dtype=wanted.dtype)).abs().mean((1, 2, 3))
    return ((matrix - wanted).abs().mean((1, 2, 3)) / (size + TOLERANCE_PX / PIXELS / WINDOW)).mean()


@in_float32
def best_mask_loss(mask: Tensor, points: Tensor, matrices: Tensor, grid: Tensor, face: Tensor) -> Tensor:
    """Return the cross-entropy of a motion mask (B, K+1, h, w) towards the points whose linear maps best fit the grid.

    Each cell can choose among the points (B, K, 2) with their best matrices (B, K, 2, 2) and the background. The face
    has full weight, the background a tenth.
    """
    height, width = grid.shape[1:3]
    moved = affine_grid(points, points, matrices, height, width)  # B K h w 2
    choices = torch.cat([identity_motion(moved), moved], dim=1)
    distance = (choices - grid[:, None]).norm(dim=-1) * PIXELS  # B K+1 h w
    wanted = torch.softmax(-distance / TOLERANCE_PX, dim=1)
    weight = BACKGROUND_WEIGHT + (1 - BACKGROUND_WEIGHT) * face
    return -(weight * (wanted * torch.log(mask + 1e-6)).sum(1)).sum() / weight.sum()


@in_float32
def attention_loss(heatmap: Tensor, points: Tensor, sigma: float = WINDOW) -> Tensor:
    """Return the divergence of heatmaps (B, K, h, w) from Gaussians at their points (B, K, 2).

    In FPB-FOMM, nothing else ties heatmap k to point k, and jacobians read from arbitrary places are learnt slowly.
    """
    grid = coordinate_grid(heatmap.shape[2], heatmap.shape[3], heatmap)
    distance = (grid - points[:, :, None, None]).square().sum(-1).flatten(2)  # B K hw
    wanted = torch.softmax(-distance / (2 * sigma**2), dim=-1)
    log_ratio = torch.log(wanted + 1e-12) - torch.log(heatmap.flatten(2) + 1e-12)
    return (wanted * log_ratio).sum(-1).mean()


@in_float32
def rest_loss(attention: Tensor, grid: Tensor) -> Tensor:
    """Return the cross-entropy of attention (B, 1, H, W), whose target is 1 where the true grid (B, h, w, 2) is at
    rest.

    Attention 1 keeps the source. If attention is learnt from pictures alone, it keeps the source wherever the motion is
    not exact, that is, everywhere.
    """
    moved = (grid - coordinate_grid(grid.shape[1], grid.shape[2], grid)).norm(dim=-1) * PIXELS
    wanted = torch.exp(-moved / TOLERANCE_PX)  # B h w
    return F.binary_cross_entropy(resized_map(attention, grid.shape[1], grid.shape[2])[:, 0], wanted)


@in_float32
def nearest_mask_loss(mask: Tensor, points: Tensor, face: Tensor) -> Tensor:
    """Return the cross-entropy of a dense motion mask (B, K+1, h, w) towards the nearest key point (B, K, 2).

    Outside the face, the target is the background. If a motion has several points, (B, nK, 2), they are adjacent. This
    loss is used only in the first part of training. Without it, the background mask, which is right almost everywhere,
    takes over before the key points have learnt to move, and the output never moves.
    """
    grid = coordinate_grid(mask.shape[2], mask.shape[3], mask)
    distance = (grid - points[:, :, None, None]).square().sum(-1)  # B K h w
    nearest = torch.softmax(-distance / (2 * 0.1**2), dim=1) * face[:, None]
    nearest = nearest.unflatten(1, (mask.shape[1] - 1, -1)).sum(2)  # B K h w
    wanted = torch.cat([1 - face[:, None], nearest], dim=1)  # B K+1 h w
    return -(wanted * torch.log(mask + 1e-6)).sum(1).mean()


@in_float32
def picture_losses(found: Tensor, true: Tensor, scales: int = 3) -> dict[str, Tensor]:
    """Return the losses of pictures (B, 3, H, W) in [0, 1]: 10 x L1 of pixels and of gradients, summed over scales.

    They do not require the weights of any network.
    """
    value, slope = found.new_zeros(()), found.new_zeros(())
    for _ in range(scales):
        value = value + (found - true).abs().mean()
        for axis in (2, 3):
            slope = slope + (found.diff(dim=axis) - true.diff(dim=axis)).abs().mean()
        found, true = F.avg_pool2d(found, 2), F.avg_pool2d(true, 2)
    return {"picture": 10 * value, "gradient": 10 * slope}
