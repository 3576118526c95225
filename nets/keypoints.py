"""Key points with jacobians, shared by FOMM and FPB-FOMM.

FOMM finds its key points by soft-argmax of learned heatmaps, whereas FPB-FOMM receives them as input (see fpfomm/).
Both learn the jacobians, and both move the source by T_k(z) = p_s + J_s J_d^-1 (z - p_d) (Siarohin et al. 2019,
equation 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from megbench.core.config import Count, Positive
from megbench.nets.blocks import AntiAliasDown, Hourglass, HourglassConfig
from megbench.nets.dense_motion import DenseMotion, DenseMotionConfig, Motion, identity_motion, with_background
from megbench.nets.generator import Generator, GeneratorConfig
from megbench.nets.geometry import affine_grid, gaussians, in_float32, inverse_2x2, product, spatial_softmax


@dataclass(frozen=True)
class KeyPoints:
    """K key points of a batch: value (B, K, 2) in [-1, 1], jacobian (B, K, 2, 2).

    heatmap: (B, K, h, w), the detector's heatmaps; None for key points that were computed from other key points.
    """

    value: Tensor
    jacobian: Tensor
    heatmap: Tensor | None = None

    def chunk(self, parts: int) -> list[KeyPoints]:
        """Split the batch into equal parts: after one detector call on torch.cat([source, driving]), use chunk(2)."""
        size = len(self.value) // parts
        return [self[start : start + size] for start in range(0, len(self.value), size)]

    def __getitem__(self, index: slice | Tensor) -> KeyPoints:
        return KeyPoints(self.value[index], self.jacobian[index], None if self.heatmap is None else self.heatmap[index])

    @classmethod
    def join(cls, parts: Sequence[KeyPoints]) -> KeyPoints:
        """Join several batches into one, without heatmaps."""
        return KeyPoints(torch.cat([part.value for part in parts]), torch.cat([part.jacobian for part in parts]))


@dataclass(frozen=True)
class DetectorConfig:
    """Settings of a detector.

    down: the factor by which the picture is reduced to the size of the map. temperature: the softmax temperature.
    padding: the padding of the 7x7 heads, 0 for FOMM and FPB-FOMM, 3 for MRAA.
    """

    hourglass: HourglassConfig = HourglassConfig(32)
    down: Count = 4
    temperature: Positive = 0.1
    padding: int = 0


class JacobianDetector(nn.Module):
    """Base class of both detectors, which predict heatmaps and jacobians from small pictures (`channels_in` channels).

    Before training, every jacobian is the identity.
    """

    def __init__(self, config: DetectorConfig, num_kp: int, channels_in: int) -> None:
        super().__init__()
        self.temperature = config.temperature
        self.predictor = Hourglass(config.hourglass, channels_in)
        features = self.predictor.channels_out
        self.kp = nn.Conv2d(features, num_kp, 7, padding=config.padding)
        self.jacobian = nn.Conv2d(features, num_kp * 4, 7, padding=config.padding)
        nn.init.zeros_(self.jacobian.weight)
        with torch.no_grad():
            assert self.jacobian.bias is not None
            self.jacobian.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 1.0]).repeat(num_kp))
        self.down = AntiAliasDown(3, config.down)

    @in_float32
    def heatmap_and_jacobian(self, small: Tensor) -> tuple[Tensor, Tensor]:
        """Return heatmaps (B, K, h', w') that sum to 1, and jacobians (B, K, 2, 2), averaged with heatmaps as weights.

        small: (B, C, h, w). Everything is computed in float32, even under autocast.
        """
        features = self.predictor(small)
        heatmap = spatial_softmax(self.kp(features), self.temperature)  # B K h' w'
        maps = self.jacobian(features).unflatten(1, (-1, 4))  # B K 4 h' w'
        jacobian = (heatmap[:, :, None] * maps).sum((3, 4))
        return heatmap, jacobian.unflatten(-1, (2, 2))


@in_float32
def heatmap_difference(source: Tensor, driving: Tensor, size: tuple[int, int], variance: float) -> Tensor:
    """Return Gaussians at the driving key points minus those at the source points, zeros first: (B, K+1, h, w)."""
    return with_background(gaussians(driving, *size, variance) - gaussians(source, *size, variance))


def sparse_motions(source: KeyPoints, driving: KeyPoints, size: tuple[int, int]) -> Tensor:
    """Return T_k(z) = p_s + J_s J_d^-1 (z - p_d), background (identity) first: (B, K+1, h, w, 2)."""
    matrix = product(source.jacobian, inverse_2x2(driving.jacobian))  # B K 2 2
    sparse = affine_grid(driving.value, source.value, matrix, *size)  # B K h w 2
    return torch.cat([identity_motion(sparse), sparse], dim=1)


class KeyPointGenerator(Generator):
    """The generator of FOMM and FPB-FOMM, with its dense motion network.

    To train only the motion on pictures that are already small (64x64), use `generator.motion(small, source, driving)`.
    """

    dense_motion_network: DenseMotion

    def __init__(
        self, config: GeneratorConfig, motion: DenseMotionConfig, num_kp: int, align_corners: bool = True
    ) -> None:
        super().__init__(config, DenseMotion(motion, num_kp, align_corners), "dense_motion_network", align_corners)
        self.variance = motion.variance

    def motion(self, small: Tensor, source: KeyPoints, driving: KeyPoints) -> Motion:
        """Return the dense motion of a small source (B or 1, 3, h, w); key points may come from any picture size."""
        size = (small.shape[2], small.shape[3])
        heatmaps = heatmap_difference(source.value, driving.value, size, self.variance)
        motion: Motion = self.dense_motion_network(small, heatmaps, sparse_motions(source, driving, size))
        return motion

    def forward(self, picture: Tensor, source: KeyPoints, driving: KeyPoints) -> Tensor:
        """Return a source picture (B, 3, H, W) in [0, 1], moved from its own key points to the driving ones."""
        encoded = self.encode(picture)
        return self.decode(encoded, self.motion(encoded.small, source, driving))
