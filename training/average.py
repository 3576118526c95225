"""A moving average of weights, which often validates better than the weights themselves.

torch's AveragedModel would save no code. It also averages batch counters, which gives wrong integers, and it cannot
start with a smaller decay. Moreover, it copies networks with deepcopy, which fails once a network with spectral
normalisation (FOMM's discriminator) has been updated, as happens in the second stage of training.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

States = dict[str, dict[str, Tensor]]


class Average:
    """An exponential moving average of all entries of some networks; counters are copied. A decay of 0 means none.

    In the first steps, the decay is smaller, (1 + steps) / (10 + steps), so that the initial weights are soon
    forgotten.
    """

    def __init__(self, networks: Mapping[str, nn.Module], decay: float) -> None:
        self.networks, self.decay, self.steps = networks, decay, 0
        self.shadow: States = states(networks, copy=True) if decay else {}

    @torch.no_grad()
    def update(self) -> None:
        """Add the networks' current weights to the average; call this after each step."""
        self.steps += 1
        share = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, kept in self.shadow.items():
            for entry, value in self.networks[name].state_dict().items():
                if value.is_floating_point():
                    kept[entry].lerp_(value, share)
                else:
                    kept[entry].copy_(value)

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Give the networks the averaged entries for the duration of the block."""
        if not self.shadow:
            yield
            return
        own = states(self.networks, copy=True)
        load(self.networks, self.shadow)
        try:
            yield
        finally:
            load(self.networks, own)

    def state(self) -> dict[str, object]:
        """Return the state that `resume` needs."""
        return {"steps": self.steps, "shadow": self.shadow}

    def resume(self, saved: Mapping[str, object]) -> None:
        """Continue from a saved state."""
        self.steps = saved["steps"]  # type: ignore[assignment]
        self.shadow = saved["shadow"]  # type: ignore[assignment]


def states(networks: Mapping[str, nn.Module], copy: bool = False) -> States:
    """Return the networks' state dicts by name. copy: detach and clone the tensors."""
    return {
        name: {entry: value.detach().clone() if copy else value for entry, value in network.state_dict().items()}
        for name, network in networks.items()
    }


def load(networks: Mapping[str, nn.Module], saved: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Load into each network the state dict saved under its name."""
    for name, network in networks.items():
        network.load_state_dict(saved[name])
