"""Golden entries of FPB-FOMM: given points, prior maps, inference and training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from megbench.fpfomm.model import FpFommConfig, PriorGuidedDetector, networks
from megbench.fpfomm.points import given_points
from megbench.fpfomm.prior import PriorConfig, prior_map
from megbench.fpfomm.training import FpFommTrainer
from megbench.nets.keypoints import KeyPointGenerator
from tests.golden.files import Golden
from tests.golden.key_points import Detections, filled, inference, probes, training

CONFIG = FpFommConfig()
# The faces in the file whose landmarks the training pairs use.
BATCH = slice(2, 4)


def entries(golden: Golden, salt: str, vgg: Path) -> Iterator[tuple[str, Tensor]]:
    """Yield all entries of FPB-FOMM's golden files."""
    with torch.no_grad():
        yield from probes(golden)
        yield from priors(golden)
        generators = {}
        for ac in (ac for ac in (0, 1) if golden.any(f"ac{ac}_")):
            nets = filled(networks(replace(CONFIG, align_corners=bool(ac))), salt)
            generator, detector = nets["generator"], nets["kp_detector"]
            assert isinstance(generator, KeyPointGenerator)
            assert isinstance(detector, PriorGuidedDetector)
            generators[f"ac{ac}"] = generator
        points = golden["keypoint_driving"]
        source = detector(golden["source"], golden["keypoint_source"])
        video = [detector(frame[None], points) for frame in golden["driving_video"]]
        yield from inference(golden, generators, Detections(source, detector(golden["driving"], points), video))
    landmarks = golden["landmarks68"][BATCH]
    assert torch.equal(given_points(landmarks), golden["keypoint_batch"]), "the batch's points are not its landmarks'"
    batch = {"source": golden["batch_source"], "driving": golden["batch_driving"], "landmarks": landmarks}
    for ac in (0, 1):
        settings = replace(CONFIG, align_corners=bool(ac))
        yield from training(golden, f"train_ac{ac}_", lambda path, s=settings: FpFommTrainer(s, path), batch, vgg, salt)


def priors(golden: Golden) -> Iterator[tuple[str, Tensor]]:
    """Yield given points and their prior maps."""
    points = given_points(golden["landmarks68"])
    yield "keypoints18", points
    yield "prior_f64", prior_map(PriorConfig(), points)
    yield "prior_sigma1p2_f64", prior_map(PriorConfig(sigma=1.2), points[:1])[0]
    yield "prior_default", prior_map(PriorConfig(), golden["kp_default"][None])[0]
