"""Deterministic weights: every entry of a state dict is drawn from a generator seeded by its own name.

Two implementations with the same names and shapes get the same weights, so their outputs can be compared without
shipping weights. The rules are those by which the golden vectors were made, one for each family: "fomm" and "tps".
"""

from __future__ import annotations

import contextlib
import functools
import math
import re
import zlib
from collections.abc import Iterator
from typing import Literal
from unittest import mock

import numpy as np
import torch
from torch import nn

from megbench.nets.vgg import Vgg19

Family = Literal["fomm", "tps"]

# Buffers that a network computes itself are not filled.
CONSTRUCTED: dict[Family, str] = {
    "fomm": r"(.*\.)?down\.weight",
    "tps": r"(.*\.)?(grid|down\.weight|downs\.[^.]+\.weight|mean|std|real_label|fake_label)",
}

# Output layers that are kept near a useful working point, each with (factor on the weight, centre of the bias).
HEADS: dict[Family, dict[str, tuple[float, tuple[float, ...]]]] = {
    "fomm": {
        "jacobian": (0.1, (1, 0, 0, 1)),
        "fc": (0.1, (1, 0, 0, 0, 1, 0)),
        "kp": (0.3, (0,)),
        "regions": (0.3, (0,)),
        "final": (0.3, (0,)),
        "decoder.9": (0.1, (0, 0, 0.3, 0, 0, 0.3)),
    },
    "tps": {
        "fg_encoder.fc": (0.1, (0,)),
        "bg_encoder.fc": (0.002, (1, 0, 0, 0, 1, 0)),
        "decoder.9": (0.3, (0,)),
    },
}


# One model's networks are filled several times (per align_corners, per training), and FOMM and FPB-FOMM have the same
# generator and discriminators; a cache of 500 entries holds one model.
@functools.lru_cache(maxsize=500)
def draw(name: str, shape: tuple[int, ...], salt: str, family: Family) -> np.ndarray:
    """Draw float32 values of `shape` for the entry `name`."""
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
    for head, (factor, centre) in HEADS[family].items():
        if f".{layer}".endswith(f".{head}"):
            z = np.resize(centre, shape) + z if leaf == "bias" else factor * z
    return z.astype(np.float32)


def fill(network: nn.Module, salt: str, family: Family = "fomm") -> nn.Module:
    """Overwrite a network's floating-point entries and set integer entries to 0; return it in torch's default dtype."""
    with torch.no_grad():
        for name, entry in network.state_dict().items():
            if re.fullmatch(CONSTRUCTED[family], name):
                continue
            if entry.is_floating_point():
                entry.copy_(torch.from_numpy(draw(name, tuple(entry.shape), salt, family)))
            else:
                entry.zero_()
    return network.to(torch.get_default_dtype())


@contextlib.contextmanager
def undrawn() -> Iterator[None]:
    """Build networks without drawing initial weights, for callers that overwrite or never use the weights."""

    def as_it_is(tensor: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        return tensor

    with mock.patch.multiple(nn.init, uniform_=as_it_is, kaiming_uniform_=as_it_is, normal_=as_it_is):
        yield


def filled_vgg(salt: str, family: Family) -> dict[str, torch.Tensor]:
    """Return the perceptual loss's VGG-19 weights. "tps" names its layers by slice; each slice ends at a tap."""
    if family == "fomm":
        return fill(Vgg19(), salt).state_dict()
    state = Vgg19().state_dict()
    for name in state:
        _, layer, leaf = name.split(".")
        part = 1 + sum(int(layer) >= first for first in (2, 7, 12, 21))
        state[name] = torch.from_numpy(draw(f"slice{part}.{layer}.{leaf}", tuple(state[name].shape), salt, family))
    return state
