"""Batch normalisation in training, with statistics that all processes share and that settle before they are frozen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _Summed(torch.autograd.Function):
    """The sum of a tensor over all processes; the processes' gradients are summed, too."""

    @staticmethod
    def forward(context: Any, value: Tensor) -> Tensor:
        total = value.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        torch.distributed.all_reduce(total)
        return total


class SharedBatchNorm(_BatchNorm):
    """Batch normalisation over the whole batch of all processes, each of which holds an equal share of it.

    torch's SyncBatchNorm rejects tensors on CPUs (ValueError). However, training on CPUs may use several processes, too
    (`--device cpu --devices 2`). The tests use this to check that two processes give the same result as one process
    with the complete batch. torch's own differentiable all_reduce could replace `_Summed`, but it is deprecated.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept input of any shape (B, C, ...)."""

    def forward(self, input: Tensor) -> Tensor:
        """Return normalised features; in evaluation mode, they equal torch's."""
        if not self.training:
            return super().forward(input)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        processes = torch.distributed.get_world_size()
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        dims = [0, *range(2, x.ndim)]
        mean = _Summed.apply(x.mean(dims)) / processes
        view = (1, -1, *[1] * (x.ndim - 2))
        centred = x - mean.view(view)
        variance = _Summed.apply(centred.square().mean(dims)) / processes
        with torch.no_grad():
            self.num_batches_tracked += 1
            count = processes * x.numel() / x.shape[1]
            momentum = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * (count / max(1, count - 1)), momentum)  # unbiased, as in torch
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return torch.addcmul(self.bias.view(view), centred, scale.view(view)).to(input.dtype)


def batch_norms(networks: Mapping[str, nn.Module]) -> list[_BatchNorm]:
    """Return all batch normalisation layers of some networks."""
    modules = (module for network in networks.values() for module in network.modules())
    return [module for module in modules if isinstance(module, _BatchNorm)]


def share(networks: Mapping[str, nn.Module]) -> None:
    """Make every batch normalisation layer use the statistics of all processes; entries and weights do not change."""
    for norm in batch_norms(networks):
        norm.__class__ = SharedBatchNorm  # the class differs only in its computation


def settle(norms: Iterable[_BatchNorm], passes: Iterable[Callable[[], object]]) -> None:
    """Replace the running statistics, which lag behind the weights, by their mean over some forward passes."""
    norms = list(norms)
    before = [(norm.momentum, {key: value.clone() for key, value in norm.state_dict().items()}) for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the following passes
    with torch.no_grad():
        for forward in passes:
            forward()
    for norm, (momentum, state) in zip(norms, before, strict=True):
        norm.momentum = momentum
        if not norm.num_batches_tracked:  # not part of this stage
            norm.load_state_dict(state)
