"""FOMM and MRAA as pupils of the taught training (nets/taught.py), which the demo weights come from.

Their key points (regions) are led to follow ten points of the face's mesh, which the published training never does.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from baselines import fomm, mraa
from baselines.regions import RegionPredictor, transfer_regions
from nets.keypoints import KeyPointGenerator
from nets.taught import Transferred
from nets.taught_losses import point_losses
from nets.transfer import transfer_key_points


def _points(batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    return batch["points_source"], batch["points_initial"], batch["points_driving"]


class TaughtFomm:
    """FOMM: three detector calls as one batch, relative transfer inside the loss."""

    def __init__(self, config: fomm.FommConfig) -> None:
        made = fomm.networks(config)
        generator, detector = made["generator"], made["kp_detector"]
        assert isinstance(generator, KeyPointGenerator)
        assert isinstance(detector, fomm.KeyPointDetector)
        self.generator, self.detector = generator, detector

    def networks(self) -> dict[str, nn.Module]:
        """Networks by the published checkpoints' names; the adversary is not used."""
        return {"generator": self.generator, "kp_detector": self.detector}

    def transfer(self, batch: Mapping[str, Tensor], small: Tensor) -> Transferred:
        """See nets.taught.Pupil."""
        driver = self.detector.down(torch.cat([batch["initial"], batch["driving"]]))
        source, first, driving = self.detector.detect(torch.cat([small, driver])).chunk(3)
        moved = transfer_key_points(source, driving, first, "relative")
        losses = point_losses((source.value, first.value, driving.value), _points(batch))
        return Transferred(self.generator.motion(small, source, moved), moved.value, losses)


class TaughtMraa:
    """MRAA in relative mode without an AVD network; the background is at rest, as it is in animation."""

    def __init__(self, config: mraa.MraaConfig) -> None:
        self.recompute_covar = config.recompute_covar
        made = mraa.networks(config)
        generator, predictor = made["generator"], made["region_predictor"]
        assert isinstance(generator, mraa.MraaGenerator)
        assert isinstance(predictor, RegionPredictor)
        self.generator, self.predictor = generator, predictor

    def networks(self) -> dict[str, nn.Module]:
        """The networks that relative animation needs, by the published checkpoints' names."""
        return {"generator": self.generator, "region_predictor": self.predictor}

    def transfer(self, batch: Mapping[str, Tensor], small: Tensor) -> Transferred:
        """See nets.taught.Pupil."""
        driver = self.predictor.down(torch.cat([batch["initial"], batch["driving"]]))
        source, first, driving = self.predictor.detect(torch.cat([small, driver])).chunk(3)
        moved = transfer_regions(source, driving, first, self.recompute_covar)
        losses = point_losses((source.shift, first.shift, driving.shift), _points(batch))
        return Transferred(self.generator.motion(small, source, moved), moved.shift, losses)
