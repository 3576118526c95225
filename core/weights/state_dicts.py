"""Compare a state dict's entries with those that a network expects, and describe the differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from megbench.core.errors import few

if TYPE_CHECKING:
    from torch import Tensor

# Entry to shape and dtype ("float32", ...).
Entries = Mapping[str, tuple[tuple[int, ...], str]]
# How many entries an error names before it says "and N more".
NAMED = 3
# A batch norm's counter. It has no effect once a network is trained, and PyTorch did not have it before 0.4.1.
COUNTER = "num_batches_tracked"


def manifest(state: Mapping[str, Tensor]) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return the shape and dtype of every entry of a state dict."""
    return {entry: (tuple(value.shape), str(value.dtype).removeprefix("torch.")) for entry, value in state.items()}


def with_counters(state: Mapping[str, Tensor], wanted: Entries) -> dict[str, Tensor]:
    """Return `state` with the batch norm counters in `wanted`: missing ones are set to 0, others become int64."""
    import torch

    counters = {
        entry: state[entry].long() if entry in state else torch.zeros((), dtype=torch.int64)
        for entry in wanted
        if entry.endswith(COUNTER)
    }
    return {**state, **counters}


def networks_held(networks: Mapping[str, Mapping[str, object]]) -> str:
    """Return the names of the networks in a file, or the first entries of its single unnamed network, in words."""
    if "" in networks:
        return f"entries of an unnamed network: {few(list(networks['']))}"
    return few(sorted(networks)) or "none"


def misfits(held: Entries, wanted: Entries) -> dict[str, list[str]]:
    """Return the differences by kind: entries that are missing, unexpected, of another type or of another shape.

    Floating-point numbers may have any precision.
    """
    both = [(entry, held[entry], wanted[entry]) for entry in wanted if entry in held]
    return {
        "missing": [entry for entry in wanted if entry not in held],
        "unexpected": sorted(entry for entry in held if entry not in wanted),
        "of another kind": [
            f"{entry} {found[1]} instead of {right[1]}"
            for entry, found, right in both
            if found[1] != right[1] and not (_floating(found) and _floating(right))
        ],
        "of another shape": [
            f"{entry} {found[0]} instead of {right[0]}" for entry, found, right in both if found[0] != right[0]
        ],
    }


def in_words(faults: Mapping[str, Sequence[str]]) -> str:
    """Return the first entries of each kind of difference and the number of further ones; "" if there are none."""
    return "; ".join(f"{kind}: {few(entries, NAMED)}" for kind, entries in faults.items() if entries)


def _floating(entry: tuple[tuple[int, ...], str]) -> bool:
    return "float" in entry[1]
