"""What the processes of a training tell each other. One process alone tells nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightning.fabric import Fabric
from torch import Tensor


def mean_of_all(fabric: Fabric, value: Tensor) -> Tensor:
    """The mean of a tensor over all processes."""
    if fabric.world_size == 1:
        return value
    mean = fabric.all_reduce(value, reduce_op="mean")
    assert isinstance(mean, Tensor)
    return mean


def share_gradients(fabric: Fabric, parameters: Sequence[Tensor]) -> None:
    """Replace every gradient by its mean over all processes, in one message."""
    if fabric.world_size == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    message = mean_of_all(fabric, torch.cat([gradient.flatten() for gradient in gradients]))
    for gradient, part in zip(gradients, message.split([one.numel() for one in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))
