"""Golden entries of TPS: inference in three modes and with the background's motion, and the main training stage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from megbench.baselines.tps.inpainting import InpaintingConfig
from megbench.baselines.tps.model import (
    TpsAvdConfig,
    TpsConfig,
    generator,
    networks,
    transfer_points,
)
from megbench.baselines.tps.motion import Dropout
from megbench.baselines.tps.training import TpsTrainer
from megbench.core.contracts import Phase
from megbench.nets.blocks import HourglassConfig
from megbench.nets.dense_motion import DenseMotionConfig
from megbench.nets.losses import LossConfig
from megbench.nets.thin_plate import ThinPlate
from megbench.nets.transfer import hull_size
from tests.golden.files import Golden
from tests.golden.splines import dense_entries, filled, inpaint_entries, outputs, pictures, training_entries

Entries = Iterator[tuple[str, Tensor]]
FULL = TpsConfig()
TINY = TpsConfig(
    num_tps=3,
    dense_motion=DenseMotionConfig(HourglassConfig(8, 32, 3)),
    inpainting=InpaintingConfig(8, 64, 3),
    avd=TpsAvdConfig(code=16),
    loss=LossConfig(factors=(1, 2, 4)),
)
STAGES = ("conv1", "bn1", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool", "fc")


def entries(golden: Golden, salt: str, vgg: Path) -> Entries:
    """Yield all entries of TPS's golden files: `tpsmm`, `tpsmm_tiny` and their `_train`."""
    config = TINY if "tiny" in golden.path.stem else FULL
    if golden.path.stem.endswith("_train"):
        yield from training(golden, config, salt, vgg)
    else:
        with torch.no_grad():
            yield from inference(golden, config, salt)


def inference(golden: Golden, config: TpsConfig, salt: str) -> Entries:
    """Yield eval-mode entries."""
    nets = filled(networks(config), salt)
    source, first, driving = pictures(golden["images_u8"]).split(1)
    with outputs(nets["kp_detector"], {}, {f"kp/{name}": f"fg_encoder.{name}" for name in STAGES}) as seen:
        in_source = nets["kp_detector"](source).value
    yield from seen.items()
    in_first, in_driving = (nets["kp_detector"](picture).value for picture in (first, driving))
    background = nets["bg_predictor"](source, driving)
    moved = transfer_points(in_source, in_driving, in_first)
    retargeted = nets["avd_network"](in_source, in_driving)
    named = {"kp_source": in_source, "kp_driving0": in_first, "kp_driving1": in_driving}
    yield from (named | {"kp_relative": moved, "kp_avd": retargeted, "bg_param": background}).items()
    yield "hull_areas", torch.tensor([hull_size(points[0]) ** 2 for points in (in_source, in_first)])
    made = generator(nets)
    features = made.features(driving)
    for name, points, behind in (
        ("standard", in_driving, None),
        ("bg", in_driving, background),
        ("relative", moved, None),
        ("avd", retargeted, None),
    ):
        if not golden.any(f"{name}/"):
            continue
        *dense, (_, motion) = dense_entries(f"{name}/", made, source, in_source, points, behind)
        yield from dense
        yield f"{name}/deformation", motion.deformation
        yield from inpaint_entries(f"{name}/", made, source, motion)
        for index, maps in enumerate(features):
            yield f"{name}/get_encode{index}", maps * motion.visible(*maps.shape[2:])


def training(golden: Golden, config: TpsConfig, salt: str, vgg: Path) -> Entries:
    """Yield one step in each of two epochs, both from the same weights."""
    source, driving = (pictures(golden[f"{name}_u8"]) for name in ("source", "driving"))
    for epoch in (0, 12):
        if not golden.any(f"epoch{epoch}/"):
            continue
        trainer = TpsTrainer(config, vgg)
        filled(trainer.networks(), salt)

        def start(dropout: Dropout, plate: ThinPlate, trainer: TpsTrainer = trainer, epoch: int = epoch) -> Phase:
            return trainer.phase(source, driving, epoch, dropout, plate)

        yield from training_entries(golden, trainer, epoch, driving, start, ("bg_predictor", "avd_network"))
