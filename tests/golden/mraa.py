"""Golden entries of MRAA: inference in three modes, the main training stage and the AVD stage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from megbench.baselines.mraa.model import MraaConfig, MraaGenerator, networks
from megbench.baselines.mraa.regions import Regions, principal_axes, region_difference, region_motions, transfer_regions
from megbench.baselines.mraa.training import MraaTrainer, stretched
from megbench.nets.geometry import product
from tests.golden.files import Golden
from tests.golden.key_points import filled, transform
from tests.golden.training import adams, backward, two_steps

Entries = Iterator[tuple[str, Tensor]]
CONFIG = MraaConfig()


def entries(golden: Golden, salt: str, vgg: Path) -> Entries:
    """Yield all entries of MRAA's golden files."""
    with torch.no_grad():
        yield from inference(golden, salt)
    yield from avd_training(golden, salt)
    for ac in (0, 1):
        yield from main_training(golden, ac, salt, vgg)


def inference(golden: Golden, salt: str) -> Entries:
    """Yield eval-mode entries."""
    nets: dict[str, Any] = {}
    generators: dict[str, MraaGenerator] = {}
    for ac in (ac for ac in (0, 1) if golden.any(f"ac{ac}_")):
        nets = filled(networks(replace(CONFIG, align_corners=bool(ac))), salt)
        generators[f"ac{ac}"] = nets["generator"]
    detect = nets["region_predictor"]
    source, driving = detect(golden["source"]), detect(golden["driving"])
    for name, regions in (("rs", source), ("rd", driving)):
        axes, deviations = principal_axes(regions.covar)
        yield from named(f"{name}_", regions)
        yield f"{name}_heatmap", regions.heatmap
        yield f"{name}_u", axes.flatten(0, 1)
        yield f"{name}_d", deviations.flatten(0, 1)
    background = nets["bg_predictor"](golden["source"], golden["driving"])
    yield "bg_params", background
    yield "heatmap_diff", region_difference(source, driving, (64, 64))
    yield "sparse_motion", region_motions(source, driving, (64, 64), background=background)
    yield "sparse_motion_nobg", region_motions(source, driving, (64, 64))
    moved: dict[str, Regions] = {}
    video = [detect(frame[None]) for frame in golden["driving_video"]]
    for index, regions in enumerate(video):
        moved[f"standard{index}"] = regions
        moved[f"relative{index}"] = transfer_regions(source, regions, video[0])
        moved[f"avd{index}"] = nets["avd_network"](source, regions)
    for name, regions in moved.items():
        yield from named(f"anim_{name}_", regions)
    for ac, generator in generators.items():
        encoded = generator.encode(golden["source"])
        motion = generator.motion(encoded.small, source, driving, background)
        yield "source_down", encoded.small
        yield "encoded_every16th", encoded.features[-1][:, ::16]
        yield f"{ac}_mask", motion.mask
        yield f"{ac}_sparse_deformed", motion.warped
        yield f"{ac}_optical_flow", motion.deformation
        yield f"{ac}_occlusion_map", motion.occlusion
        yield f"{ac}_deformed", generator.warped(encoded.picture, motion)
        yield f"{ac}_prediction", generator.decode(encoded, motion)
        for name, regions in moved.items():
            if f"anim_{name}_{ac}_prediction" in golden.names:
                prediction = generator.decode(encoded, generator.motion(encoded.small, source, regions))
                yield f"anim_{name}_{ac}_prediction", prediction


def named(prefix: str, regions: Regions) -> Entries:
    """Yield the three parameters of regions as entries."""
    yield f"{prefix}shift", regions.shift
    yield f"{prefix}affine", regions.affine
    yield f"{prefix}covar", regions.covar


def avd_training(golden: Golden, salt: str) -> Entries:
    """Yield the AVD network's outputs in eval mode, and its losses before and after one step of its optimiser."""
    trainer = MraaTrainer(replace(CONFIG, loss=replace(CONFIG.loss, perceptual="pyramid")))
    network = filled({"avd_network": trainer.networks()["avd_network"]}, salt)["avd_network"]
    identity, target = given(golden, "avd_id"), given(golden, "avd_posegt")
    pose = stretched(target, golden["avd_rand"])
    yield "avd_posescaled_shift", pose.shift
    yield "avd_posescaled_affine", pose.affine
    with torch.no_grad():
        yield from named("avd_eval_", network(identity, pose))
    network.train()
    optimisers = adams(trainer, "avd")
    for step in (1, 2):
        phase = trainer.avd_phase(identity, target, golden["avd_rand"])
        for name, loss in phase.losses.items():
            yield f"avd_train_step{step}_{name}", loss
        backward(phase, list(network.parameters()))
        optimisers["avd"].step()


def given(golden: Golden, name: str) -> Regions:
    """Return the regions that the file defines by shift and affine."""
    affine = golden[f"{name}_affine"]
    return Regions(golden[f"{name}_shift"], affine, product(affine, affine.transpose(-1, -2)))


def main_training(golden: Golden, ac: int, salt: str, vgg: Path) -> Entries:
    """Yield the entries of two steps of the main stage, or nothing if the file has none."""
    prefix = f"train_ac{ac}_"
    if not golden.any(prefix):
        return
    trainer = MraaTrainer(replace(CONFIG, align_corners=bool(ac)), vgg)
    filled(trainer.networks(), salt)
    trainer.random_transform = lambda driving, rng: transform(golden)  # type: ignore[method-assign]

    def calls(name: str, regions: Regions) -> Entries:
        yield from named(f"{prefix}{name}_region_params_", regions)

    batch = {"source": golden["batch_source"], "driving": golden["batch_driving"]}
    yield from two_steps(golden, trainer, batch, prefix, "region_predictor", calls)
