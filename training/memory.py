"""Explain why memory ran out: the batch or the networks are too large for the device."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch

from megbench.core.errors import BenchError


@contextlib.contextmanager
def told_of_memory(remedy: Callable[[], str]) -> Iterator[None]:
    """Raise BenchError, with the remedy, if the block runs out of memory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        raise BenchError(f"Out of memory: {remedy()}") from None


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether a device ran out of memory; torch on a CPU raises only a RuntimeError that names its allocator."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)
