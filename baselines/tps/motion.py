"""Dense motion of the thin-plate spline model: K splines and the background, weighted per pixel, and occlusion masks.

Source: Zhao and Zhang, CVPR 2022, sections 3.2 and 3.3, and the published code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from megbench.baselines.mraa.regions import background_motion
from megbench.nets.blocks import AntiAliasDown, Hourglass, UpBlock, instance_norm
from megbench.nets.dense_motion import DenseMotionConfig, Motion
from megbench.nets.geometry import in_float32, warp
from megbench.nets.keypoints import heatmap_difference
from megbench.nets.thin_plate import PUBLISHED_RIDGE, ThinPlate

# The number of control points of one spline.
PER_SPLINE = 5


@dataclass(frozen=True)
class SplineMotion(Motion):
    """A motion whose occlusion is predicted at four resolutions.

    masks: the four predictions, (B, 1, h, w) each, coarsest first; `occlusion` is the one at the resolution of the
    deformation.
    """

    masks: tuple[Tensor, ...] = ()

    def visible(self, height: int, width: int, align_corners: bool = False) -> Tensor:
        """Return the mask predicted at this resolution or, if there is none, `occlusion` resized: (B, 1, H, W)."""
        for mask in self.masks:
            if mask.shape[2:] == (height, width):
                return mask
        return super().visible(height, width, align_corners)


@dataclass(frozen=True)
class Dropout:
    """The splines that a training step drops: those whose random number is at least 1 - probability.

    draws: (B, K+1), uniform. The first number belongs to the background and is not used: the background is never
    dropped.
    """

    draws: Tensor
    probability: float

    def weights(self, logits: Tensor) -> Tensor:
        """Return the softmax of logits (B, K+1, h, w) over the splines that are kept.

        As published, the kept splines are not scaled up by 1 / (1 - probability) before the exponential; the published
        code scales them afterwards, where it has no effect. As published, 1e-6 is added to their sum.
        """
        keep = self.draws.to(logits.device) < 1 - self.probability
        keep = torch.cat([torch.ones_like(keep[:, :1]), keep[:, 1:]], dim=1)
        shares = torch.exp(logits - logits.amax(1, keepdim=True)) * keep[:, :, None, None]
        return shares / (shares.sum(1, keepdim=True) + 1e-6)


class SplineDenseMotion(nn.Module):
    """A network that weights K splines and the background per pixel and predicts four occlusion masks.

    Its input consists of the heatmaps and of the source warped by every motion. The height and width of the picture
    must be multiples of `config.down` times 2^num_blocks. The published option of a single mask is omitted because its
    training step fails.
    """

    def __init__(self, config: DenseMotionConfig, num_tps: int, ridge: float = PUBLISHED_RIDGE) -> None:
        super().__init__()
        self.num_tps = num_tps
        self.ridge = ridge
        self.variance = config.variance
        self.down = AntiAliasDown(3, config.down)
        motions = num_tps + 1
        self.hourglass = Hourglass(config.hourglass, 3 * motions + num_tps * PER_SPLINE + 1, instance_norm)
        width = self.hourglass.channels_out
        self.maps = nn.Conv2d(width, motions, 7, padding=3)
        widths = [width // 2**step for step in range(round(math.log2(config.down)) + 1)]
        self.up = nn.ModuleList(UpBlock(wide, wide // 2, norm=instance_norm) for wide in widths[:-1])
        coarser = 2 * config.hourglass.width(1)  # channels of the decoder one level below its output
        self.occlusion = nn.ModuleList(nn.Conv2d(channels, 1, 7, padding=3) for channels in (coarser, *widths))

    @in_float32
    def forward(
        self,
        small: Tensor,
        source: Tensor,
        driving: Tensor,
        background: Tensor | None = None,
        dropout: Dropout | None = None,
    ) -> SplineMotion:
        """Return the dense motion of a picture that is already small (see `down`), in float32 even under autocast.

        small: (B or 1, 3, h, w), the source in [0, 1]. source, driving: key points (B or 1, 5K, 2). background:
        (B, 3, 3) from driving to source, or None for a background at rest. dropout: used in training only.
        """
        batch, (height, width) = len(driving), small.shape[2:]
        source = source.expand(batch, -1, -1)
        heatmaps = heatmap_difference(source, driving, (height, width), self.variance)  # B 5K+1 h w
        motions = self.motions(source, driving, (height, width), background)  # B K+1 h w 2
        # The grids are stacked along the height, so that the source is not copied K+1 times.
        warped = warp(small, motions.flatten(1, 2), align_corners=True)  # B 3 (K+1)h w
        warped = warped.unflatten(2, (self.num_tps + 1, height)).transpose(1, 2)  # B K+1 3 h w
        encoded = self.hourglass.encoder(torch.cat([heatmaps, warped.flatten(1, 2)], dim=1))
        coarse, features = self.hourglass.decoder.maps(encoded)[-2:]
        logits = self.maps(features)
        mask = torch.softmax(logits, dim=1) if dropout is None else dropout.weights(logits)
        deformation = torch.einsum("bkhw,bkhwc->bhwc", mask, motions)
        finer = [coarse, features]
        for block in self.up:
            finer.append(block(finer[-1]))
        masks = tuple(torch.sigmoid(head(maps)) for head, maps in zip(self.occlusion, finer, strict=True))
        return SplineMotion(deformation, masks[1], mask, warped, masks)

    def motions(
        self, source: Tensor, driving: Tensor, size: tuple[int, int], background: Tensor | None = None
    ) -> Tensor:
        """Return backward grids (B, K+1, h, w, 2) of the background and the K splines, from driving to source."""
        splines = ThinPlate.fitted(grouped(driving), grouped(source), self.ridge).grids(*size)
        return torch.cat([background_motion(splines, background), splines], dim=1)


def grouped(points: Tensor) -> Tensor:
    """Return key points (B, 5K, 2) grouped by spline: (B, K, 5, 2)."""
    return points.unflatten(1, (-1, PER_SPLINE))
