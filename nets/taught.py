"""Learning from exact motion, for the demo weights. This is not the published training.

Rendered clips come with their true flow, and the micro-motion of 0.5 to 3 pixels is so small that a still picture is
a strong optimum of every photometric loss. So the demo weights are taught: the motion part by the true backward grid,
the pictures by the true answer on another face. Real databases have neither and use the published losses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.contracts import OptimiserSpec, Phase
from nets.dense_motion import Motion, identity_motion
from nets.generator import Encoded, Generator
from nets.geometry import affine_grid, coordinate_grid, in_float32, inverse_2x2, product

# Half the width of the 256-pixel picture: coordinates in [-1, 1] to pixels.
PIXELS = 127.5
# A pair without motion must stay still, but 0.05 pixels of error are as good as none.
TOLERANCE_PX = 0.05
# The background must stay where it is, but the face is what matters.
BACKGROUND_WEIGHT = 0.1
# Width (sigma, in [-1, 1]) of what a given point is asked to know of its surroundings.
WINDOW = 0.12
# The picture stage sees crops of this many pixels: a quarter of the arithmetic, no seam.
CROP = 128


@dataclass(frozen=True)
class TaughtConfig:
    """Numbers of the taught training; learning rates of its three stages, and the losses' weights.

    mask_steps: over how many steps of the motion stage the mask is led to the nearest key point (0: not at all).
    attention_weight, best_mask_weight: of attention_loss and best_mask_loss, FPB-FOMM only.
    """

    lr_motion: float = 1e-3
    lr_picture: float = 1e-3
    lr_joint: float = 2e-4
    clip_norm: float = 5.0
    warmup: float = 0.03
    direction_weight: float = 0.5
    mask_weight: float = 0.3
    mask_steps: int = 0
    attention_weight: float = 0.05
    best_mask_weight: float = 0.1
    joint_flow_weight: float = 2.0


@dataclass(frozen=True)
class Transferred:
    """A driver's motion from its initial to its driving frame, brought to the source.

    motion: as the generator decodes it. points: (B, K, 2), where the moved key points are. losses: of the detector.
    """

    motion: Motion
    points: Tensor
    losses: Mapping[str, Tensor]


class Pupil(Protocol):
    """A model that can be taught: its networks, and how it transfers motion in relative mode."""

    @property
    def generator(self) -> Generator:
        """The generator, also among the networks."""

    def networks(self) -> dict[str, nn.Module]:
        """Networks by the published checkpoints' names, those this training teaches."""

    def transfer(self, batch: Mapping[str, Tensor], small: Tensor) -> Transferred:
        """The batch's motion on its source, whose small picture (B, 3, 64, 64) is given (see training/rendered.py)."""


class TaughtTrainer:
    """The three stages of the taught training, for any pupil.

    motion: the grid against the true one, at 64 pixels. picture: the generator paints crops under the true grid with
    every possible occlusion. joint: everything together at 256 pixels, the occlusion map learns whom to trust.
    """

    stages: tuple[str, ...] = ("motion", "picture", "joint")

    def __init__(self, pupil: Pupil, config: TaughtConfig) -> None:
        self.pupil = pupil
        self.config = config
        self.generator = pupil.generator

    def networks(self) -> dict[str, nn.Module]:
        """The pupil's networks."""
        return self.pupil.networks()

    def optimisers(self, stage: str) -> dict[str, OptimiserSpec]:
        """One Adam over everything; parts without a gradient in a stage are left alone."""
        lr = {
            "motion": self.config.lr_motion,
            "picture": self.config.lr_picture,
            "joint": self.config.lr_joint,
        }[stage]
        networks = tuple(self.networks())
        return {"all": OptimiserSpec(networks, lr, clip_norm=self.config.clip_norm, warmup=self.config.warmup)}

    def step(
        self, stage: str, batch: Mapping[str, Tensor], epoch: int, index: int, rng: np.random.Generator
    ) -> Iterator[Phase]:
        """One phase a step; the batch is that of `training.rendered.RenderedSet`."""
        if stage == "motion":
            yield Phase(("all",), self._motion_losses(batch, index))
        elif stage == "picture":
            yield Phase(("all",), self._picture_losses(batch, rng))
        else:
            yield Phase(("all",), self._joint_losses(batch))

    def _motion_losses(self, batch: Mapping[str, Tensor], index: int) -> dict[str, Tensor]:
        transferred = self.pupil.transfer(batch, self.generator.small(batch["source"]))
        losses = self._flow(transferred.motion, batch) | dict(transferred.losses)
        led = 1 - index / self.config.mask_steps if self.config.mask_steps else 0.0
        if led > 0 and self.generator.training:
            mask = nearest_mask_loss(transferred.motion.mask, transferred.points, batch["face"])
            losses["mask"] = led * self.config.mask_weight * mask
        return losses

    def _picture_losses(self, batch: Mapping[str, Tensor], rng: np.random.Generator) -> dict[str, Tensor]:
        corner = [4 * int(step) for step in rng.integers(0, (256 - CROP) // 4 + 1, 2)]  # x, y
        source, target = (crop(batch[name], corner) for name in ("source", "target"))
        deformation = crop_grid(batch["grid"], corner)
        cells = deformation.shape[1]
        # Any occlusion may come: flat or varying, from fully hidden to fully visible.
        coarse = torch.from_numpy(rng.random((len(source), 1, 4, 4), dtype=np.float32)).to(source.device)
        occlusion = F.interpolate(coarse, size=(cells, cells), mode="bilinear")
        motion = Motion(deformation, occlusion, occlusion, occlusion)
        encoded = Encoded(source, source, self.generator.features(source))
        return picture_losses(self.generator.decode(encoded, motion), target)

    def _joint_losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        encoded = self.generator.encode(batch["source"])
        transferred = self.pupil.transfer(batch, encoded.small)
        losses = picture_losses(self.generator.decode(encoded, transferred.motion), batch["target"])
        for name, loss in self._flow(transferred.motion, batch).items():
            losses[name] = self.config.joint_flow_weight * loss
        return losses | dict(transferred.losses)

    def _flow(self, motion: Motion, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        error, direction = flow_losses(motion.deformation, batch["grid"], batch["face"])
        return {"flow": error, "direction": self.config.direction_weight * direction}


@in_float32
def flow_losses(deformation: Tensor, grid: Tensor, face: Tensor) -> tuple[Tensor, Tensor]:
    """Relative error and direction error of a backward grid: deformation, grid (B, h, w, 2) in [-1, 1], face (B, h, w).

    First the mean over the batch of mean|found - true| / (mean|true| + 0.05 px), so that a micro pair weighs as much as
    a large one; second 1 - cosine between the two flow fields. Both count the face fully, the background by a tenth.
    """
    rest = coordinate_grid(grid.shape[1], grid.shape[2], grid)
    found, true = (deformation - rest) * PIXELS, (grid - rest) * PIXELS  # B h w 2
    weight = BACKGROUND_WEIGHT + (1 - BACKGROUND_WEIGHT) * face  # B h w
    weight = weight / weight.sum((1, 2), keepdim=True)
    # The square root of a sum of squares has no gradient at zero.
    error = (weight * ((found - true).square().sum(-1) + 1e-8).sqrt()).sum((1, 2))
    size = (weight * true.norm(dim=-1)).sum((1, 2))
    inner, found2, true2 = (
        (weight * (a * b).sum(-1)).sum((1, 2)) for a, b in ((found, true), (found, found), (true, true))
    )
    cosine = inner / ((found2 + 1e-4) * (true2 + 1e-4)).sqrt()  # 1e-4: a hundredth of a pixel counts as still
    moves = true2 > TOLERANCE_PX**2
    direction = torch.where(moves, 1 - cosine, torch.zeros_like(cosine)).mean()
    return (error / (size + TOLERANCE_PX)).mean(), direction


@in_float32
def point_losses(found: tuple[Tensor, Tensor, Tensor], true: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
    """Key points (source, initial, driving), each (B, K, 2) in [-1, 1], against points of the face's mesh.

    place: 0.05 times the mean distance in pixels. step: relative error of the displacement from initial to driving.
    """
    place = torch.stack([(f - t).norm(dim=-1).mean() for f, t in zip(found, true, strict=True)]).mean() * PIXELS
    moved, wanted = (found[2] - found[1]) * PIXELS, (true[2] - true[1]) * PIXELS  # B K 2
    error = (moved - wanted).norm(dim=-1).mean(-1)
    return {"place": 0.05 * place, "step": (error / (wanted.norm(dim=-1).mean(-1) + TOLERANCE_PX)).mean()}


@in_float32
def best_matrices(points: Tensor, grid: Tensor, sigma: float = WINDOW) -> Tensor:
    """The linear maps about given points (B, K, 2) that fit the true grid (B, h, w, 2) best: (B, K, 2, 2).

    A point that is given cannot move, so this is what it can know of the motion: least squares under a Gaussian window
    of `sigma`. With narrow windows a fitting mask then leaves a fifth of the motion's error, at 0.2 two fifths.
    """
    rest = coordinate_grid(grid.shape[1], grid.shape[2], grid)
    offset = rest - points[:, :, None, None]  # B K h w 2
    window = torch.exp(-offset.square().sum(-1) / (2 * sigma**2))  # B K h w
    spread = torch.einsum("bkhw,bkhwi,bkhwj->bkij", window, offset, offset)
    moved = torch.einsum("bkhw,bhwi,bkhwj->bkij", window, grid - rest, offset)
    return product(moved, inverse_2x2(spread)) + torch.eye(2, device=grid.device, dtype=grid.dtype)


@in_float32
def jacobian_loss(matrix: Tensor, wanted: Tensor) -> Tensor:
    """Relative error of matrices less the identity, both (B, K, 2, 2)."""
    size = (wanted - torch.eye(2, device=wanted.device, dtype=wanted.dtype)).abs().mean((1, 2, 3))
    return ((matrix - wanted).abs().mean((1, 2, 3)) / (size + TOLERANCE_PX / PIXELS / WINDOW)).mean()


@in_float32
def best_mask_loss(mask: Tensor, points: Tensor, matrices: Tensor, grid: Tensor, face: Tensor) -> Tensor:
    """Cross-entropy of a dense motion mask (B, K+1, h, w) to the points whose linear maps come nearest to the grid.

    points (B, K, 2) and their best matrices (B, K, 2, 2) give every cell a choice; the face counts fully, the
    background by a tenth.
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
    """Divergence of heatmaps (B, K, h, w) from Gaussians at their points (B, K, 2): look where the point is.

    In FPB-FOMM nothing else ties heatmap k to point k, and jacobians read from anywhere are slow to learn.
    """
    grid = coordinate_grid(heatmap.shape[2], heatmap.shape[3], heatmap)
    distance = (grid - points[:, :, None, None]).square().sum(-1).flatten(2)  # B K hw
    wanted = torch.softmax(-distance / (2 * sigma**2), dim=-1)
    log_ratio = torch.log(wanted + 1e-12) - torch.log(heatmap.flatten(2) + 1e-12)
    return (wanted * log_ratio).sum(-1).mean()


@in_float32
def nearest_mask_loss(mask: Tensor, points: Tensor, face: Tensor) -> Tensor:
    """Cross-entropy of a dense motion mask (B, K+1, h, w) to the nearest key point (B, K, 2), background off the face.

    Held for the first part of a training only: without it the background mask, which is right almost everywhere,
    takes everything before the key points have learnt to move, and the output is still for good.
    """
    grid = coordinate_grid(mask.shape[2], mask.shape[3], mask)
    distance = (grid - points[:, :, None, None]).square().sum(-1)  # B K h w
    nearest = torch.softmax(-distance / (2 * 0.1**2), dim=1) * face[:, None]
    wanted = torch.cat([1 - face[:, None], nearest], dim=1)  # B K+1 h w
    return -(wanted * torch.log(mask + 1e-6)).sum(1).mean()


def picture_losses(found: Tensor, true: Tensor, scales: int = 3) -> dict[str, Tensor]:
    """Weightless picture loss of (B, 3, H, W) in [0, 1]: 10 x L1 of pixels and of gradients, summed over scales."""
    value, slope = found.new_zeros(()), found.new_zeros(())
    for _ in range(scales):
        value = value + (found - true).abs().mean()
        for axis in (2, 3):
            slope = slope + (found.diff(dim=axis) - true.diff(dim=axis)).abs().mean()
        found, true = F.avg_pool2d(found, 2), F.avg_pool2d(true, 2)
    return {"picture": 10 * value, "gradient": 10 * slope}


def crop(picture: Tensor, corner: list[int]) -> Tensor:
    """The 128-pixel square of (B, C, 256, 256) at a corner (x, y)."""
    return picture[:, :, corner[1] : corner[1] + CROP, corner[0] : corner[0] + CROP]


@in_float32
def crop_grid(grid: Tensor, corner: list[int]) -> Tensor:
    """A backward grid (B, h, w, 2) of the 256-pixel picture as seen by a 128-pixel crop: (B, h/2, w/2, 2)."""
    cells = grid.shape[1] // 2
    inside = coordinate_grid(cells, cells, grid)  # -1 and 1 are the crop's first and last pixel
    left_top = grid.new_tensor([float(step) for step in corner])
    where = (inside + 1) * (CROP - 1) / 2 + left_top  # pixels of the whole picture
    moved = F.grid_sample(
        grid.permute(0, 3, 1, 2), (where / PIXELS - 1).expand(len(grid), -1, -1, -1), align_corners=True
    ).permute(0, 2, 3, 1)
    pixels = (moved + 1) * PIXELS - left_top
    return pixels * 2 / (CROP - 1) - 1
