"""Common parts of the golden entries of TPS and TPS with relative AUs: stages recorded by hooks, a training step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from megbench.baselines.tps.inpainting import warp_targets, warped
from megbench.baselines.tps.model import TpsGenerator
from megbench.baselines.tps.motion import Dropout, SplineMotion, grouped
from megbench.core.contracts import Phase, Trainable
from megbench.nets import losses
from megbench.nets.keypoints import heatmap_difference
from megbench.nets.thin_plate import ThinPlate
from tests.golden.files import Golden
from tests.golden.fill import fill
from tests.golden.training import adams, backward

Entries = Iterator[tuple[str, Tensor]]
DENSE = {
    "hourglass.enc": "hourglass.encoder.down_blocks",
    "hourglass.dec": "hourglass.decoder.up_blocks",
    "up": "up",
    "occlusion_logits": "occlusion",
}
INPAINT = {"down": "down_blocks", "res": "resblock", "up": "up_blocks"}


def filled(networks: dict[str, nn.Module], salt: str) -> dict[str, nn.Module]:
    """Return the networks in eval mode with deterministic weights, which depend only on their own entries' names."""
    return {name: fill(network, salt, "tps").eval() for name, network in networks.items()}


def pictures(levels: Tensor) -> Tensor:
    """Convert pictures (N, H, W, 3) uint8 to (N, 3, H, W) in [0, 1], computed in float32, in torch's default type."""
    return (levels.permute(0, 3, 1, 2).float() / 255).contiguous().to(torch.get_default_dtype())


@contextmanager
def outputs(network: nn.Module, layers: dict[str, str], single: dict[str, str]) -> Iterator[dict[str, Tensor]]:
    """Yield the outputs of layers by entry name, for lists of layers ("up" gives up0, up1 ...) and single layers."""
    named = {f"{entry}{index}": f"{path}.{index}" for entry, path in layers.items() for index in range(24)}
    modules = dict(network.named_modules())
    seen: dict[str, Tensor] = {}
    hooks = []
    for entry, path in (named | single).items():
        if path in modules:

            def keep(module: nn.Module, given: Any, out: Tensor, entry: str = entry) -> None:
                seen[entry] = out

            hooks.append(modules[path].register_forward_hook(keep))
    yield seen
    for hook in hooks:
        hook.remove()


def dense_entries(
    prefix: str, made: TpsGenerator, picture: Tensor, source: Tensor, driving: Tensor, background: Tensor | None = None
) -> Iterator[tuple[str, Any]]:
    """Yield entries of the dense motion network under `prefix`; the last item is ("motion", its output)."""
    network = made.dense_motion
    small = made.small(picture)
    with outputs(network, DENSE, {"maps_logits": "maps"}) as seen:
        motion: SplineMotion = network(small, source, driving, background)
    plate = ThinPlate.fitted(grouped(driving), grouped(source))
    size = (small.shape[2], small.shape[3])
    seen |= {
        "source_small": small,
        "heatmap": heatmap_difference(source, driving, size, network.variance),
        "tps_theta": plate.theta,
        "tps_control_params": plate.weights,
        "transformations": network.motions(source, driving, size, background),
        "deformed_source": motion.warped,
        "contribution_maps": motion.mask,
        "deformation": motion.deformation,
    }
    seen |= {f"occlusion_map{index}": mask for index, mask in enumerate(motion.masks)}
    for name, value in seen.items():
        yield f"{prefix}dense/{name}", value
    yield "motion", motion


def inpaint_entries(
    prefix: str, made: TpsGenerator, picture: Tensor, motion: SplineMotion, condition: Tensor | None = None
) -> Entries:
    """Yield entries of the inpainting network under `prefix`."""
    network = made.inpainting
    with outputs(network, INPAINT, {"first": "first", "final_logits": "final"}) as seen:
        features = network.features(picture)
        prediction = network(picture, features, motion, condition)
    moved, _ = warp_targets(features, features, motion)
    seen |= {"deformed": warped(picture, motion), "prediction": prediction}
    seen |= {f"warped_encoder_map{index}": maps for index, maps in enumerate(reversed(moved))}
    for name, value in seen.items():
        yield f"{prefix}inpaint/{name}", value


def training_entries(
    golden: Golden,
    trainer: Any,
    epoch: int,
    driving: Tensor,
    start: Callable[[Dropout, ThinPlate], Phase],
    others: tuple[str, ...],
) -> Entries:
    """Yield the entries of one training step under `epoch<N>/`, with the random draws stored in the file.

    start: the trainer's step, which takes these draws. others: components that the trainer lacks or that have no
    parameters. The step changes the networks.
    """
    prefix = f"epoch{epoch}/"
    dropout = Dropout(golden[f"{prefix}tps_dropout_rand"], trainer.config.dropout.probability(epoch))
    noise, weights = (golden[f"{prefix}equivariance_{name}"] for name in ("theta_noise", "control_params"))
    plate = ThinPlate.near_identity(noise, weights)
    networks = trainer.networks()
    seen: dict[str, list[Any]] = {name: [] for name in networks}
    hooks = [
        network.train().register_forward_hook(lambda _, given, out, name=name: seen[name].append(out))
        for name, network in networks.items()
    ]
    phase = start(dropout, plate)
    for hook in hooks:
        hook.remove()
    yield from ((f"{prefix}loss/{name}", loss) for name, loss in phase.losses.items())
    yield f"{prefix}loss/total", torch.stack(list(phase.losses.values())).sum()
    yield f"{prefix}prediction", seen["inpainting_network"][0]
    motion = seen["dense_motion_network"][0]
    yield f"{prefix}contribution_maps", motion.mask
    yield from ((f"{prefix}occlusion_map{index}", mask) for index, mask in enumerate(motion.masks))
    points = (seen["kp_detector"] * 3)[:3]  # given points are computed only once
    for name, found in zip(("kp_source", "kp_driving", "transformed_kp"), points, strict=True):
        yield f"{prefix}{name}", found.value
    yield f"{prefix}transformed_frame", plate.frame(driving)
    for factor, picture in losses.pyramid(driving, trainer.config.loss.factors).items():
        yield f"{prefix}pyramid_driving/prediction_{1 / factor:g}", picture
    yield from ((f"{prefix}vgg_driving/{index}", maps) for index, maps in enumerate(trainer.vgg(driving)))
    optimisers = adams(trainer, "main")
    backward(phase, [value for network in networks.values() for value in network.parameters()])
    for component in {*networks, *others}:
        yield f"{prefix}gradnorm/{component}", gradient_norm(networks.get(component))
    yield from _parameters(golden, f"{prefix}grad/", networks, lambda parameter: parameter.grad.clone())
    clip_and_step(trainer, optimisers, phase.optimisers)
    yield from _parameters(golden, f"{prefix}after_step/", networks, lambda parameter: parameter)


def clip_and_step(trainer: Trainable, optimisers: dict[str, torch.optim.Adam], names: tuple[str, ...]) -> None:
    """Clip each optimiser's gradients as specified, then step it."""
    for name in names:
        spec = trainer.optimisers("main")[name]
        if spec.clip_norm is not None:
            parameters = [p for group in optimisers[name].param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, spec.clip_norm, spec.clip_order)
        optimisers[name].step()


def gradient_norm(network: nn.Module | None) -> Tensor:
    """Return (L2 norm over all parameters, largest entry, number of parameters with a gradient)."""
    parameters = () if network is None else network.parameters()
    found = [parameter.grad.double() for parameter in parameters if parameter.grad is not None]
    if not found:
        return torch.zeros(3)
    squares = torch.stack([gradient.square().sum() for gradient in found]).sum()
    largest = torch.stack([gradient.abs().max() for gradient in found]).max()
    return torch.stack([squares.sqrt(), largest, torch.tensor(float(len(found)), dtype=torch.double)])


def _parameters(golden: Golden, prefix: str, networks: dict[str, nn.Module], value: Callable[[Any], Tensor]) -> Entries:
    """Yield the parameters, or their gradients, that the file names "<prefix><network>.<parameter>"."""
    for name in sorted(golden.names):
        if name.startswith(prefix) and not name.endswith("@stat"):
            network, _, parameter = name.removeprefix(prefix).removesuffix("@s").partition(".")
            yield f"{prefix}{network}.{parameter}", value(networks[network].get_parameter(parameter))
