"""Golden entries of FOMM and FPB-FOMM, which share everything except their detectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from megbench.nets.keypoints import KeyPointGenerator, KeyPoints, heatmap_difference, sparse_motions
from megbench.nets.transfer import TransferMode, transfer_key_points
from megbench.nets.transform import RandomTransform
from tests.golden.files import Golden
from tests.golden.fill import fill
from tests.golden.training import two_steps

Entries = Iterator[tuple[str, Tensor]]
MODES: dict[str, TransferMode] = {
    "rel": "relative",
    "relscale": "relative_scale",
    "relnojac": "relative_value",
    "abs": "absolute",
}


@dataclass(frozen=True)
class Detections:
    """Key points of source, driving frame and the driving video's frames."""

    source: KeyPoints
    driving: KeyPoints
    video: list[KeyPoints]


def filled(networks: dict[str, nn.Module], salt: str) -> dict[str, nn.Module]:
    """Return the networks in eval mode with deterministic weights, which depend only on their own entries' names."""
    return {name: fill(network, salt).eval() for name, network in networks.items()}


def inference(golden: Golden, generators: dict[str, KeyPointGenerator], found: Detections) -> Entries:
    """Yield eval-mode entries; generators are keyed by align_corners, "ac0" and "ac1"."""
    source, driving = found.source, found.driving
    for name, points in (("ks", source), ("kd", driving)):
        assert points.heatmap is not None
        yield f"{name}_value", points.value
        yield f"{name}_jacobian", points.jacobian
        yield f"{name}_heatmap", points.heatmap
    yield "heatmap_diff", heatmap_difference(source.value, driving.value, (64, 64), 0.01)
    yield "sparse_motion", sparse_motions(source, driving, (64, 64))
    moved = {
        f"{short}{index}": transfer_key_points(source, points, found.video[0], mode)
        for short, mode in MODES.items()
        for index, points in enumerate(found.video)
    }
    for name, points in moved.items():
        yield f"anim_{name}_value", points.value
        yield f"anim_{name}_jacobian", points.jacobian
    for ac, generator in generators.items():
        encoded = generator.encode(golden["source"])
        motion = generator.motion(encoded.small, source, driving)
        yield "source_down", encoded.small
        yield "encoded_every16th", encoded.features[-1][:, ::16]
        yield f"{ac}_mask", motion.mask
        yield f"{ac}_sparse_deformed", motion.warped
        yield f"{ac}_deformation", motion.deformation
        yield f"{ac}_occlusion_map", motion.occlusion
        yield f"{ac}_deformed", generator.warped(encoded.picture, motion)
        yield f"{ac}_prediction", generator.decode(encoded, motion)
        for name, points in moved.items():
            if f"anim_{name}_{ac}_prediction" in golden.names:
                prediction = generator.decode(encoded, generator.motion(encoded.small, source, points))
                yield f"anim_{name}_{ac}_prediction", prediction


def transform(golden: Golden) -> RandomTransform:
    """Return the random transform of the file's training batch."""
    return RandomTransform(golden["tps_theta"], golden["tps_control_params"])


def probes(golden: Golden) -> Entries:
    """Yield the random transform and its jacobian at a few points."""
    points = golden["tps_probe_points"]
    yield "tps_probe_warped", transform(golden).points(points)
    yield "tps_probe_jacobian", transform(golden).jacobian(points)


def training(
    golden: Golden, prefix: str, make: Callable[[Path], Any], batch: dict[str, Tensor], vgg: Path, salt: str
) -> Entries:
    """Yield the entries of two steps of the trainer `make(vgg)` under `prefix`, or nothing if the file has none."""
    if not golden.any(prefix):
        return
    torch.manual_seed(0)
    trainer = make(vgg)
    filled(trainer.networks(), salt)
    trainer.random_transform = lambda driving, rng: transform(golden)

    def calls(name: str, points: KeyPoints) -> Entries:
        name = "transformed_kp" if name == "transformed" else f"kp_{name}"
        yield f"{prefix}{name}_value", points.value
        yield f"{prefix}{name}_jacobian", points.jacobian

    yield from two_steps(golden, trainer, batch, prefix, "kp_detector", calls)
