"""In which memory layouts networks learn fastest.

Channels last, but on processors without AVX-512. There oneDNN takes 1.3 to 5 times as long for the gradients of a
convolution's weights in that layout, and copying large maps to the other one takes as long as is gained forwards
(docs/performance.md). So there everything stays planar but the residual blocks, many channels on a small map: these are
channels last, and only the gradients of their weights are taken from planar copies.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

BACKWARD = torch.ops.aten.convolution_backward.default


def lay_out(network: nn.Module, device: torch.device) -> nn.Module:
    """Move a network to the device it is trained on, in its fastest layout; the network itself is returned."""
    if not _planar(device):
        return network.to(device).to(memory_format=torch.channels_last)
    network.to(device).to(memory_format=torch.contiguous_format)
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.in_channels == module.out_channels:  # those of residual blocks
            module.to(memory_format=torch.channels_last)
    return network


def fastest_backward(device: torch.device) -> AbstractContextManager[object]:
    """What to run backward passes within, on a device."""
    return _PlanarWeightGradients() if _planar(device) else nullcontext()


def _planar(device: torch.device) -> bool:
    return device.type == "cpu" and torch.backends.cpu.get_cpu_capability() != "AVX512"


class _PlanarWeightGradients(TorchDispatchMode):
    """Convolutions that are laid out channels last get the gradients of their weights from planar copies."""

    def __torch_dispatch__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """A convolution's backward pass in two calls, everything else as it is."""
        if function is not BACKWARD:
            return function(*args, **(kwargs or {}))
        gradient, x, weight, *shape, (of_input, of_weight, of_bias) = args
        if not of_weight or x.dtype != torch.float32 or weight.is_contiguous():
            return function(*args)
        found = function(gradient, x, weight, *shape, (True, False, False))[0] if of_input else None
        planar = (tensor.contiguous() for tensor in (gradient, x, weight))
        _, taps, bias = function(*planar, *shape, (False, True, of_bias))
        return found, taps.contiguous(memory_format=torch.channels_last), bias
