"""What published checkpoints hold: the networks of each method at published sizes, drawn without memory."""

from __future__ import annotations

import functools
from typing import Any

import torch
from megbench.core.config import as_dict, resolve
from megbench.core.registry import load
from megbench.core.weights.published_checkpoints import Layout, manifest
from megbench.training import TRAINABLES

# The networks that a checkpoint of a method must hold, and configs (over the defaults) that it may have.
PUBLISHED: dict[str, tuple[tuple[str, ...], tuple[dict[str, Any], ...]]] = {
    # vox-256, then vox-adv-256 with its other discriminator.
    "fomm": (
        ("generator", "kp_detector"),
        (
            {},
            {
                "discriminator": {"spectral_norm": False, "use_kp": True},
                "loss": {"generator_gan": 1.0},
                "milestones": [],
            },
        ),
    ),
    "fpfomm": (("generator", "kp_detector"), ({},)),
    # The main stage's checkpoint lacks the AVD network, some lack the background's.
    "mraa": (("generator", "region_predictor"), ({},)),
}


@functools.cache
def layouts(name: str) -> list[Layout]:
    """The published layouts of a method, the plainest first."""
    required, configs = PUBLISHED[name]
    recipe = load("trainable", name, TRAINABLES)
    found = []
    for settings in configs:
        config = resolve(recipe, [{"model": settings}]).model
        with torch.device("meta"):  # shapes without numbers
            networks = recipe.networks(config)
        entries = {network: manifest(module.state_dict()) for network, module in networks.items()}
        found.append(Layout(as_dict(config), entries, required))
    return found


def layouts_besides(name: str) -> dict[str, list[Layout]]:
    """Return the published layouts of all other methods, by name."""
    return {other: layouts(other) for other in PUBLISHED if other != name}
