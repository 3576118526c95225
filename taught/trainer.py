"""Training on exact motion, for the demo weights. This is not the published training procedure.

Rendered clips come with their true flow. Micro-motion of 0.5 to 3 pixels is so small that a still picture is a strong
optimum of every photometric loss. The demo weights are therefore trained with full supervision: the motion networks
with the true backward grid, and the pictures with the true output on another face. Real databases provide neither and
require the published losses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from megbench.core.config import Positive
from megbench.core.contracts import OptimiserSpec, Phase
from megbench.core.draws import each
from megbench.core.errors import BenchError
from megbench.nets.dense_motion import Motion
from megbench.nets.generator import Encoded
from megbench.nets.geometry import coordinate_grid, in_float32
from megbench.nets.inference import Painter
from megbench.taught.losses import PIXELS, facial_losses, flow_losses, nearest_mask_loss, picture_losses

# The picture stage uses crops of this many pixels, which need a quarter of the arithmetic and show no seams.
CROP = 128
# The logit of the occlusion map before training: 95 % visible.
VISIBLE_AT_FIRST = 3.0


@dataclass(frozen=True)
class TaughtConfig:
    """Settings for training on exact motion: the learning rates of its three stages and the weights of the losses.

    mask_steps: the number of steps in the motion stage during which the mask is guided towards the nearest key point; 0
        for none.
    flow_weight, facial_weight: the weights of flow_losses and facial_losses.
    attention_weight, best_mask_weight: the weights of attention_loss and best_mask_loss, for FPB-FOMM only.
    """

    lr_motion: Positive = 1e-3
    lr_picture: Positive = 1e-3
    lr_joint: Positive = 2e-4
    clip_norm: Positive = 5.0
    warmup: float = 0.03
    flow_weight: float = 1.0
    facial_weight: float = 0.0
    direction_weight: float = 0.5
    shortfall_weight: float = 0.2
    mask_weight: float = 0.3
    mask_steps: int = 0
    attention_weight: float = 0.05
    best_mask_weight: float = 0.1
    joint_flow_weight: float = 2.0


@dataclass(frozen=True)
class Transferred:
    """A driver's motion from its initial to its driving frame, transferred to the source.

    motion: in the form in which the generator decodes it. points: (B, K, 2), the moved key points. losses: the
    detector's losses.
    """

    motion: Motion
    points: Tensor
    losses: Mapping[str, Tensor]


class Pupil(Protocol):
    """A model that can be trained on exact motion: its networks, and how it transfers motion in relative mode."""

    @property
    def generator(self) -> Painter:
        """The network that paints the output."""

    def networks(self) -> dict[str, nn.Module]:
        """Return the networks to be trained, keyed by their names in published checkpoints."""

    def transfer(self, batch: Mapping[str, Tensor], small: Tensor) -> Transferred:
        """Return the batch's motion, transferred to its source, whose small picture (B, 3, 64, 64) is supplied.

        For the contents of the batch, see taught/rendered.py.
        """


def followed(batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the positions of a batch's mesh points in the source, initial and driving frames, (B, K, 2) each."""
    return batch["points_source"], batch["points_initial"], batch["points_driving"]


class TaughtTrainer:
    """The three stages of training on exact motion, for any model.

    motion: the grid is compared with the true one, at 64 pixels.
    picture: the generator paints crops under the true grid with all kinds of occlusion.
    joint: everything is trained together at 256 pixels; the occlusion map learns where to trust the warped source.
    """

    stages: tuple[str, ...] = ("motion", "picture", "joint")

    def __init__(self, pupil: Pupil, config: TaughtConfig) -> None:
        if not (config.flow_weight or config.facial_weight):
            raise BenchError("taught.flow_weight and taught.facial_weight are both 0. Set one of them above 0.")
        self.pupil = pupil
        self.config = config
        self.generator = pupil.generator
        # Nearly all of a face is visible in micro-motion. Without this initialisation, the output remains blurred for a
        # long time.
        for bias in self.generator.occlusion_biases():
            nn.init.constant_(bias, VISIBLE_AT_FIRST)

    def networks(self) -> dict[str, nn.Module]:
        """Return the networks of the model."""
        return self.pupil.networks()

    def optimisers(self, stage: str) -> dict[str, OptimiserSpec]:
        """Return one Adam optimiser for all networks; those that receive no gradient in a stage remain unchanged."""
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
        """Yield one phase per step; the batch comes from `megbench.taught.rendered.RenderedSet`."""
        if stage == "motion":
            yield Phase(("all",), self._motion_losses(batch, index))
        elif stage == "picture":
            yield self._picture_phase(batch, rng)
        else:
            yield self._joint_phase(batch)

    def _motion_losses(self, batch: Mapping[str, Tensor], index: int) -> dict[str, Tensor]:
        transferred = self.pupil.transfer(batch, self.generator.small(batch["source"]))
        losses = self._flow(transferred.motion, batch) | dict(transferred.losses)
        led = 1 - index / self.config.mask_steps if self.config.mask_steps else 0.0
        if led > 0 and torch.is_grad_enabled():  # not in validation
            mask = nearest_mask_loss(transferred.motion.mask, transferred.points, batch["face"])
            losses["mask"] = led * self.config.mask_weight * mask
        return losses

    def _picture_phase(self, batch: Mapping[str, Tensor], rng: np.random.Generator) -> Phase:
        own = each(rng, len(batch["source"]))
        corners = np.stack([4 * one.integers(0, (256 - CROP) // 4 + 1, 2) for one in own])  # B 2: x, y
        source, target = (crop(batch[name], corners) for name in ("source", "target"))
        deformation = crop_grid(batch["grid"], corners)
        cells = deformation.shape[1]
        # Any occlusion may occur: flat or varying, from fully hidden to fully visible.
        drawn = np.stack([one.random((1, 4, 4), dtype=np.float32) for one in own])
        coarse = torch.from_numpy(drawn).to(source.device, non_blocking=True)
        occlusion = F.interpolate(coarse, size=(cells, cells), mode="bilinear")
        motion = Motion(deformation, occlusion, occlusion, occlusion)
        encoded = Encoded(source, source, self.generator.features(source))
        painted = self.generator.decode(encoded, motion)
        return Phase(("all",), picture_losses(painted, target), {"of": source, "wanted": target, "painted": painted})

    def _joint_phase(self, batch: Mapping[str, Tensor]) -> Phase:
        encoded = self.generator.encode(batch["source"])
        transferred = self.pupil.transfer(batch, encoded.small)
        painted = self.generator.decode(encoded, transferred.motion)
        losses = picture_losses(painted, batch["target"])
        for name, loss in self._flow(transferred.motion, batch).items():
            losses[name] = self.config.joint_flow_weight * loss
        return Phase(("all",), losses | dict(transferred.losses), {"painted": painted})

    def _flow(self, motion: Motion, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        losses = {}
        for name, of, share in (
            ("", flow_losses, self.config.flow_weight),
            ("facial_", facial_losses, self.config.facial_weight),
        ):
            if share:
                error, direction, shortfall = of(motion.deformation, batch["grid"], batch["face"])
                losses[f"{name}flow"] = share * error
                losses[f"{name}direction"] = share * self.config.direction_weight * direction
                losses[f"{name}shortfall"] = share * self.config.shortfall_weight * shortfall
        return losses


def crop(pictures: Tensor, corners: npt.NDArray[np.int64]) -> Tensor:
    """Cut 128-pixel squares out of pictures (B, C, 256, 256), given their top left corners (B, 2), x then y."""
    pairs = zip(pictures, corners.tolist(), strict=True)
    return torch.stack([picture[:, y : y + CROP, x : x + CROP] for picture, (x, y) in pairs])


@in_float32
def crop_grid(grid: Tensor, corners: npt.NDArray[np.int64]) -> Tensor:
    """Return backward grids (B, h, w, 2) of 256-pixel pictures as grids of their 128-pixel crops: (B, h/2, w/2, 2)."""
    cells = grid.shape[1] // 2
    inside = coordinate_grid(cells, cells, grid)  # -1 and 1 are the crop's first and last pixel
    left_top = torch.from_numpy(corners).to(grid, non_blocking=True)[:, None, None]  # B 1 1 2
    where = (inside + 1) * (CROP - 1) / 2 + left_top  # pixels of the whole picture
    moved = F.grid_sample(grid.permute(0, 3, 1, 2), where / PIXELS - 1, align_corners=True).permute(0, 2, 3, 1)
    pixels = (moved + 1) * PIXELS - left_top
    return pixels * 2 / (CROP - 1) - 1
