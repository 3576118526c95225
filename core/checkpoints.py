"""Published checkpoints made the suite's own: read in a process of their own, held against a manifest, written anew.

A checkpoint comes from the internet. Reading it with weights_only=True runs no code; a damaged one may still crash the
reader, which then is a child's death and one line for the user.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import BenchError
from core.weights import NAMED, State, read_published, save_states
from core.worker import Lane, work

# Entry -> shape and dtype ("float32", ...), by network.
Manifest = Mapping[str, Mapping[str, tuple[tuple[int, ...], str]]]


@dataclass(frozen=True)
class Layout:
    """One published layout: its config as JSON values, its networks' entries, and the networks that must be there."""

    config: Mapping[str, Any]
    networks: Manifest
    required: Sequence[str]


def import_checkpoint(name: str, checkpoint: Path, layouts: Sequence[Layout], target: Path) -> dict[str, Any]:
    """Write `checkpoint` as `target` (.safetensors, unrounded) and its JSON card, which is returned.

    The file must have one of the layouts: names, shapes and dtypes exactly. Networks that a layout does not require
    may be missing; what is no network (optimisers, epochs) is left out. BenchError, in one line, for anything else.
    """
    if not checkpoint.is_file():
        what = "is not a file. Give the file in it" if checkpoint.is_dir() else "does not exist. Give its path"
        raise BenchError(f"Checkpoint {checkpoint} {what}, such as vox-cpk.pth.tar.")
    read = functools.partial(_reader, name, layouts, target)
    (outcome,) = work([Lane("import", read, [[checkpoint]])], 1)
    if outcome.result is None:
        named = str(checkpoint) in outcome.reason
        raise BenchError(outcome.reason if named else f"{checkpoint} cannot be read: {outcome.reason}.")
    card: dict[str, Any] = outcome.result
    return card


def _reader(name: str, layouts: Sequence[Layout], target: Path) -> Any:
    return functools.partial(_read, name, layouts, target)


def _read(name: str, layouts: Sequence[Layout], target: Path, checkpoint: Path) -> dict[str, Any]:
    states = read_published(checkpoint)
    layout = _layout_of(checkpoint, states, layouts)
    with checkpoint.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    card = {
        "method": name,
        "config": dict(layout.config),
        "imported_from": {"file": checkpoint.name, "bytes": checkpoint.stat().st_size, "sha256": sha256},
        "left_out": sorted(set(states) - set(layout.networks)),
    }
    return save_states(target, {network: states[network] for network in layout.networks if network in states}, card)


def _layout_of(checkpoint: Path, states: Mapping[str, State], layouts: Sequence[Layout]) -> Layout:
    """The first layout that the networks have; the faults against the nearest one otherwise."""
    faults = [_faults(states, layout) for layout in layouts]
    for layout, found in zip(layouts, faults, strict=True):
        if not found:
            return layout
    nearest = min(faults, key=len)
    more = f"; and {len(nearest) - NAMED} more" if len(nearest) > NAMED else ""
    raise BenchError(f"{checkpoint} does not have the published layout: {'; '.join(nearest[:NAMED])}{more}.")


def manifest(state: State) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype of every entry of a state dict."""
    return {entry: (tuple(value.shape), str(value.dtype).removeprefix("torch.")) for entry, value in state.items()}


def _faults(states: Mapping[str, State], layout: Layout) -> list[str]:
    faults = [f"no network {name!r} (it holds {', '.join(sorted(states)) or 'none'})"
              for name in layout.required if name not in states]  # fmt: skip
    for name, wanted in layout.networks.items():
        if name not in states:
            continue
        held = manifest(states[name])
        faults += [f"{name}.{entry} is missing" for entry in wanted if entry not in held]
        faults += [f"{name}.{entry} is not known" for entry in held if entry not in wanted]
        faults += [
            f"{name}.{entry} is {held[entry][1]} {held[entry][0]} instead of {wanted[entry][1]} {wanted[entry][0]}"
            for entry in wanted
            if entry in held and held[entry] != wanted[entry]
        ]
    return faults
