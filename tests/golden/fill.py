"""Deterministic weights: every entry of a state dict is drawn from a generator seeded by its own name.

Two implementations with the same names and shapes get the same weights, so their outputs can be compared without
shipping weights. The rule is that of the published golden vectors (specs/fomm_family/goldens.md).
"""

from __future__ import annotations

import functools
import math
import zlib

import numpy as np
import torch
from torch import nn

# Buffers that a network computes itself are left alone.
CONSTRUCTED = "down.weight"

# Output layers that are kept near a useful working point: layer -> (factor on the weight, centre of the bias).
HEADS: dict[str, tuple[float, tuple[float, ...]]] = {
    "jacobian": (0.1, (1, 0, 0, 1)),
    "fc": (0.1, (1, 0, 0, 0, 1, 0)),
    "kp": (0.3, (0,)),
    "regions": (0.3, (0,)),
    "final": (0.3, (0,)),
    "decoder.9": (0.1, (0, 0, 0.3, 0, 0, 0.3)),
}


# One model's networks are filled several times (per align_corners, per training); 400 entries hold one model.
@functools.lru_cache(maxsize=400)
def draw(name: str, shape: tuple[int, ...], salt: str) -> np.ndarray:
    """Values float32 of `shape` for the entry `name`."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32((salt + name).encode())))
    z = rng.standard_normal(shape)
    layer, _, leaf = name.rpartition(".")
    if leaf == "running_var":
        z = 1 + 0.2 * np.abs(z)
    elif leaf == "running_mean":
        z = 0.1 * z
    elif len(shape) >= 2:
        z = z * math.sqrt(2 / math.prod(shape[1:]))
    elif leaf == "weight":
        z = 1 + 0.1 * z
    else:
        z = 0.05 * z
    for head, (factor, centre) in HEADS.items():
        if f".{layer}".endswith(f".{head}"):
            z = np.resize(centre, shape) + z if leaf == "bias" else factor * z
    return z.astype(np.float32)


def fill(network: nn.Module, salt: str) -> nn.Module:
    """Overwrite a network's floating entries; integer entries become 0."""
    with torch.no_grad():
        for name, entry in network.state_dict().items():
            if f".{name}".endswith(f".{CONSTRUCTED}"):
                continue
            if entry.is_floating_point():
                entry.copy_(torch.from_numpy(draw(name, tuple(entry.shape), salt)))
            else:
                entry.zero_()
    return network
