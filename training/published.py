"""The contents of published checkpoints: a generator's networks at their published sizes, built without allocating
memory for them.
"""

from __future__ import annotations

import torch

from megbench.baselines import GENERATORS
from megbench.core.config import as_dict, build
from megbench.core.generator import Generator, generators, networks_at
from megbench.core.weights.published_checkpoints import Layout, manifest


def layouts(generator: Generator) -> list[Layout]:
    """Return the published layouts of a generator, the simplest first; [] if it has none."""
    if generator.published is None:
        return []
    found = []
    model, kind = networks_at(generator.model)
    for settings in generator.published.settings:
        config = build(kind, settings, "")
        with torch.device("meta"):  # shapes without numbers
            networks = model.networks(config)
        entries = {network: manifest(module.state_dict()) for network, module in networks.items()}
        found.append(Layout(as_dict(config), entries, generator.published.required))
    return found


def layouts_besides(name: str) -> dict[str, list[Layout]]:
    """Return the published layouts of all other generators, by name."""
    return {other: layouts(each) for other, each in generators(GENERATORS).items() if other != name and each.published}
