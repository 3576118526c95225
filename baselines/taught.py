"""The baselines as pupils of the taught trainings (nets/taught.py, nets/taught_units.py), for the demo weights.

Key points (regions) are led to follow points of the face's mesh, ten or for TPS fifty, which the published trainings
never do. TPS with relative action units and ULME-GAN see no driver: they are taught to move the source by what they
paint.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from baselines import fomm, mraa, tps, tps_rau, ulmegan
from baselines.regions import RegionPredictor, transfer_regions
from core.errors import BenchError
from nets.displaced import displaced
from nets.keypoints import KeyPointGenerator
from nets.taught import Transferred
from nets.taught_losses import point_losses
from nets.taught_units import Painting
from nets.transfer import transfer_key_points

NOT_DISPLACED = (
    "The taught training is of displaced pictures only. Add --set model.{}=true, or take training=published."
)


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


class TaughtTps:
    """TPS in relative mode: three detector calls as one batch; the background is at rest, as it is in animation."""

    def __init__(self, config: tps.TpsConfig) -> None:
        self.made = tps.networks(config)
        self.generator = tps.generator(self.made)

    def networks(self) -> dict[str, nn.Module]:
        """The networks that relative animation needs, by the published checkpoints' names."""
        return {name: self.made[name] for name in ("inpainting_network", "dense_motion_network", "kp_detector")}

    def transfer(self, batch: Mapping[str, Tensor], small: Tensor) -> Transferred:
        """See nets.taught.Pupil; the detector looks at the full pictures."""
        looked_at = torch.cat([batch["source"], batch["initial"], batch["driving"]])
        source, first, driving = self.made["kp_detector"](looked_at).value.chunk(3)
        moved = tps.transfer_points(source, driving, first)
        losses = point_losses((source, first, driving), _points(batch))
        motion = self.generator.motion(small, tps.SplinePoints(source), tps.SplinePoints(moved))
        return Transferred(motion, moved, losses)


class TaughtRau:
    """TPS with relative action units: the source under the difference of two states' units."""

    def __init__(self, config: tps_rau.RauConfig) -> None:
        if not config.inpainting.displaced:
            raise BenchError(NOT_DISPLACED.format("inpainting.displaced"))
        self.made = tps_rau.networks(config)
        self.generator = tps_rau.generator(self.made)

    def networks(self) -> dict[str, nn.Module]:
        """All networks, by the published checkpoints' names."""
        return self.made

    def paint(self, batch: Mapping[str, Tensor]) -> Painting:
        """See nets.taught_units.UnitsPupil."""
        points = self.made["kp_detector"](tps_rau.given_points(batch["landmarks"]))
        encoded = self.generator.encode(batch["source"])
        motion = self.generator.motion(encoded.small, points, points)
        change = batch["action_units_target"] - batch["action_units_source"]
        maps = self.generator.inpainting.paint(encoded.features, motion, change)
        return Painting(maps, displaced(encoded.picture, maps), batch["target"])


class TaughtUlme:
    """ULME-GAN's generator at its own size; no discriminator.

    The colour map is taught as a picture of its own, and attention by where the truth is at rest. Taught by the
    composite, attention hides the colours before they are any good, for good.
    """

    def __init__(self, config: ulmegan.UlmeConfig) -> None:
        if not config.displaced:
            raise BenchError(NOT_DISPLACED.format("displaced"))
        self.size = config.image_size
        self.generator = ulmegan.UlmeGenerator(config)

    def networks(self) -> dict[str, nn.Module]:
        """The generator, by the name in the published files."""
        return {"gen": self.generator}

    def paint(self, batch: Mapping[str, Tensor]) -> Painting:
        """See nets.taught_units.UnitsPupil."""
        source, target = (ulmegan.inside(batch[name], self.size) for name in ("source", "target"))
        painted = self.generator(source, batch["action_units_target"])
        return Painting(painted.painted, painted.colour / 2 + 0.5, target / 2 + 0.5, painted.attention)
