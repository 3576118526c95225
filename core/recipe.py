"""The settings for training a generator: those of the model and, if it has any, those of the training itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import make_dataclass
from typing import TYPE_CHECKING, Any

from megbench.core.contracts import Trainable

if TYPE_CHECKING:
    from torch import nn


def recipe(
    parts: Mapping[str, Any],
    trainer: Callable[..., Trainable],
    networks: Callable[[Any], dict[str, nn.Module]] | None = None,
) -> Any:
    """Return a class of settings for training: a frozen dataclass with one field per part, whose default is that part.

    The method `trainer()` of the class returns `trainer(part, ...)` with fresh weights. networks: for training as
    published, a function that returns the networks of a published checkpoint from the model's settings.
    """

    def made(settings: Any) -> Trainable:
        """Return the trainable with fresh weights. Raise BenchError if its losses lack their VGG-19 weights."""
        return trainer(*(getattr(settings, part) for part in parts))

    members = {"trainer": made, **({"networks": staticmethod(networks)} if networks else {})}
    kinds = [(part, type(default), default) for part, default in parts.items()]
    found = make_dataclass("Recipe", kinds, namespace=members, frozen=True)
    found.__module__ = trainer.__module__  # published.yaml is beside it
    return found
