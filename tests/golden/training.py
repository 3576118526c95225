"""Record two training steps of a trainer with hooks on its networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from megbench.core.contracts import Phase, Trainable
from megbench.nets.fast import speed_up
from megbench.training.loop import fastest_layout
from tests.golden.files import Golden

Entries = Iterator[tuple[str, Tensor]]


def two_steps(
    golden: Golden,
    trainer: Trainable,
    batch: dict[str, Tensor],
    prefix: str,
    detector: str,
    calls: Callable[[str, Any], Entries],
) -> Entries:
    """Yield the entries of step 1 and, if the file has them, the losses of step 2, after every optimiser has stepped.

    detector: the network that is called three times. calls: turns a call's name (source, driving, transformed) and
    output into entries. Gradients are computed only for networks whose gradients are in the file.
    """
    networks = trainer.networks()
    for network in networks.values():
        network.train().to(memory_format=fastest_layout(torch.device("cpu")))  # as in a training run
        speed_up(network)
    optimisers = adams(trainer, trainer.stages[0])
    second = golden.any(f"{prefix}step2")
    seen: dict[str, list[Any]] = {"detector": [], "picture": [], "prediction": []}
    hooks = [
        networks[detector].register_forward_hook(lambda _, given, out: seen["detector"].append((given[0], out))),
        networks["generator"].register_forward_hook(lambda _, given, out: seen["prediction"].append(out)),
    ]
    for phase in trainer.step(trainer.stages[0], batch, 0, 0, np.random.default_rng(0)):
        for name, loss in phase.losses.items():
            yield f"{prefix}loss_{name}", loss
        components = components_of(trainer, phase)
        if not second:
            components = [name for name in components if golden.any(f"{prefix}gradnorm_{name}")]
        if components:
            backward(phase, [value for name in components for value in networks[name].parameters()])
        yield from _gradients(golden, networks, components, prefix)
        if second or len(phase.optimisers) < len(optimisers):  # a later phase needs the updated weights
            for name in phase.optimisers:
                optimisers[name].step()
    for hook in hooks:
        hook.remove()
    for name, (_, out) in zip(("source", "driving", "transformed"), seen["detector"], strict=True):
        yield from calls(name, out)
    yield f"{prefix}transformed_frame_every4th", seen["detector"][2][0][:, :, ::4, ::4]
    yield f"{prefix}prediction_every4th", seen["prediction"][0][:, :, ::4, ::4]
    short = "region" if detector == "region_predictor" else "kp"
    yield f"{prefix}{short}_running_mean", buffer(networks[detector], "predictor.encoder.down_blocks.0.norm")
    yield f"{prefix}gen_running_mean", buffer(networks["generator"], "first.norm")
    if second:
        for phase in trainer.step(trainer.stages[0], batch, 0, 1, np.random.default_rng(0)):
            for name, loss in phase.losses.items():
                yield f"{prefix}step2_loss_{name}", loss


def components_of(trainer: Trainable, phase: Phase) -> list[str]:
    """Return the networks that a phase's optimisers update."""
    specs = trainer.optimisers(trainer.stages[0])
    return [network for name in phase.optimisers for network in specs[name].networks]


def adams(trainer: Trainable, stage: str) -> dict[str, torch.optim.Adam]:
    """Return the Adam optimisers of a stage by name."""
    networks = trainer.networks()
    return {
        name: torch.optim.Adam(
            [parameter for network in spec.networks for parameter in networks[network].parameters()],
            lr=spec.lr,
            betas=spec.betas,
            weight_decay=spec.weight_decay,
        )
        for name, spec in trainer.optimisers(stage).items()
    }


def backward(phase: Phase, parameters: list[Tensor]) -> None:
    """Compute fresh gradients of a phase's losses with respect to some parameters."""
    for parameter in parameters:
        parameter.grad = None
    torch.stack(list(phase.losses.values())).sum().backward(inputs=parameters)


def _gradients(golden: Golden, networks: dict[str, nn.Module], components: list[str], prefix: str) -> Entries:
    for component in components:
        parameters = dict(networks[component].named_parameters())
        norms = [
            torch.linalg.vector_norm(p.grad, dtype=torch.double) for p in parameters.values() if p.grad is not None
        ]
        yield f"{prefix}gradnorm_{component}", torch.stack(norms).norm()
        start = f"{prefix}grad_{component}."
        for name in sorted(golden.names):
            if name.startswith(start):
                gradient = parameters[name.removeprefix(start)].grad
                assert gradient is not None, f"{name} has no gradient"
                yield name, gradient.clone()


def buffer(network: nn.Module, norm: str) -> Tensor:
    """Return a copy of a batch norm's running mean."""
    return network.get_buffer(f"{norm}.running_mean").clone()
