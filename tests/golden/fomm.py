"""Golden entries of FOMM: inference, training as vox-256 and vox-adv-256, the spectrally normalised discriminator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from megbench.baselines.fomm.model import FommConfig, KeyPointDetector, networks
from megbench.baselines.fomm.training import FommTrainer
from megbench.nets.discriminator import Discriminator, DiscriminatorConfig
from megbench.nets.keypoints import KeyPointGenerator
from megbench.nets.losses import LossConfig
from tests.golden.files import Golden
from tests.golden.fill import fill
from tests.golden.key_points import Detections, filled, inference, probes, training

VOX = FommConfig()
VOX_ADV = FommConfig(discriminator=DiscriminatorConfig(use_kp=True), loss=LossConfig(generator_gan=1.0))


def entries(golden: Golden, salt: str, vgg: Path) -> Iterator[tuple[str, Tensor]]:
    """Yield all entries of FOMM's golden files."""
    with torch.no_grad():
        yield from probes(golden)
        yield from spectral(golden, salt)
        generators = {}
        for ac in (ac for ac in (0, 1) if golden.any(f"ac{ac}_")):
            nets = filled(networks(replace(VOX, align_corners=bool(ac))), salt)
            generator, detector = nets["generator"], nets["kp_detector"]
            assert isinstance(generator, KeyPointGenerator)
            assert isinstance(detector, KeyPointDetector)
            generators[f"ac{ac}"] = generator
        video = [detector(frame[None]) for frame in golden["driving_video"]]
        yield from inference(
            golden, generators, Detections(detector(golden["source"]), detector(golden["driving"]), video)
        )
    batch = {"source": golden["batch_source"], "driving": golden["batch_driving"]}
    for name, config in (("train", VOX), ("trainadv", VOX_ADV)):
        for ac in (0, 1):
            settings = replace(config, align_corners=bool(ac))
            yield from training(
                golden, f"{name}_ac{ac}_", lambda path, s=settings: FommTrainer(s, path), batch, vgg, salt
            )


def spectral(golden: Golden, salt: str) -> Iterator[tuple[str, Tensor]]:
    """Yield the entries of vox-256's discriminator in train mode, from one forward pass."""
    judge = fill(Discriminator(VOX.discriminator, VOX.num_kp), salt).train()
    verdict = judge({1: golden["batch_driving"]})[0]
    yield "sn_disc_prediction_map", verdict.scores
    for index, features in enumerate(verdict.features):
        yield f"sn_disc_feature{index}_mean_f64", features.double().mean((2, 3))
