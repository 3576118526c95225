"""What the processes of a training tell each other. One process alone tells nothing."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

import torch
from lightning.fabric import Fabric
from torch import Tensor

from core.errors import BenchError


def check_shared(fabric: Fabric, folder: Path) -> None:
    """BenchError, in every process, unless all see one folder: what the first writes there the others go on from."""
    mark = folder / f".{fabric.broadcast(secrets.token_hex(8))}.tmp"
    if fabric.is_global_zero:
        mark.touch()
    fabric.barrier()
    seen = mean_of_all(fabric, torch.tensor(float(mark.exists()), device=fabric.device))
    if fabric.is_global_zero:
        mark.unlink()
    if seen < 1:
        raise BenchError(f"{folder} is not the same folder on every machine. Give --out one on a disk that they share.")


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
