"""Import published checkpoints: read them in a separate process, compare them with layouts, write the suite's format.

Checkpoints come from the internet. Reading one with weights_only=True runs no code from it, but a damaged file may
still crash the reader. In that case, only the child process dies, and the user sees a single line.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megbench.core.errors import BenchError
from megbench.core.installation import COMMAND
from megbench.core.weights.network_weights import check_finite, read_as_they_are, save_states
from megbench.core.weights.pickled import State
from megbench.core.weights.state_dicts import (
    COUNTER,
    Entries,
    in_words,
    manifest,
    misfits,
    networks_held,
    with_counters,
)
from megbench.core.worker import Lane, work


@dataclass(frozen=True)
class Layout:
    """One published layout: its config as JSON values, the entries of its networks, and the networks it requires."""

    config: Mapping[str, Any]
    networks: Mapping[str, Entries]
    required: Sequence[str]


# Layouts by method name, built only when needed.
Others = Callable[[], Mapping[str, Sequence[Layout]]]


def no_others() -> Mapping[str, Sequence[Layout]]:
    """Return no layouts."""
    return {}


def import_checkpoint(
    name: str, checkpoint: Path, layouts: Sequence[Layout], target: Path, others: Others = no_others
) -> dict[str, Any]:
    """Write `checkpoint` to `target` (.safetensors, float32) with a JSON card, and return the card.

    The file must have the names and shapes of one of the layouts; floating-point entries may have any precision.
    Networks that a layout does not require may be missing, and so may the counters of batch norms. Anything that is not
    a network (optimisers, epochs) is left out. Raise BenchError if no layout matches. If a layout in `others` does
    match, the error names the method that it belongs to.
    """
    if not checkpoint.is_file():
        raise BenchError(f"Checkpoint {checkpoint} {_not_a_file(checkpoint)}.")
    read = functools.partial(_reader, name, layouts, target, others)
    (outcome,) = work([Lane("import", read, [[checkpoint]])], 1)
    if outcome.result is None:
        named = str(checkpoint) in outcome.reason
        raise BenchError(outcome.reason if named else f"{checkpoint} cannot be read: {outcome.reason.rstrip('.')}.")
    card: dict[str, Any] = outcome.result
    return card


def _not_a_file(checkpoint: Path) -> str:
    """Return why a path is not a file, and the remedy. A browser may have unpacked torch's zip file into a folder."""
    if not checkpoint.is_dir():
        return "does not exist. Pass the path of a file such as vox-cpk.pth.tar"
    if any((folder / "data.pkl").is_file() for folder in (checkpoint, *checkpoint.glob("*/"))):
        return "is a PyTorch file that was unpacked into a folder. Download it again without unpacking it"
    return "is a folder. Pass a file in it, such as vox-cpk.pth.tar"


def _reader(name: str, layouts: Sequence[Layout], target: Path, others: Others) -> Any:
    return functools.partial(_read, name, layouts, target, others)


def _read(name: str, layouts: Sequence[Layout], target: Path, others: Others, checkpoint: Path) -> dict[str, Any]:
    states = read_as_they_are(checkpoint)
    layout = _layout_of(checkpoint, states, layouts, others)
    with checkpoint.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    kept = {network: states[network] for network in layout.networks if network in states}
    for network, state in kept.items():
        for entry, value in state.items():
            check_finite(checkpoint, f"{network}.{entry}", value)
    card = {
        "method": name,
        "config": dict(layout.config),
        "imported_from": {"file": checkpoint.name, "bytes": checkpoint.stat().st_size, "sha256": sha256},
        "left_out": sorted(set(states) - set(layout.networks)),
        "changed": _changes(kept, layout),
    }
    single = {network: _single(state, layout.networks[network]) for network, state in kept.items()}
    return save_states(target, single, card)


def _single(state: State, wanted: Entries) -> State:
    """Return the entries in the layout's order, with floating-point ones as float32."""
    whole = with_counters(state, wanted)
    return {entry: whole[entry].float() if whole[entry].is_floating_point() else whole[entry] for entry in wanted}


def _changes(states: Mapping[str, State], layout: Layout) -> list[str]:
    """Return what is changed between reading and writing, as phrases."""
    precisions = {str(value.dtype).removeprefix("torch.") for state in states.values() for value in state.values()
                  if value.is_floating_point()} - {"float32"}  # fmt: skip
    lacking = sum(
        entry.endswith(COUNTER) and entry not in state
        for network, state in states.items()
        for entry in layout.networks[network]
    )
    changes = [f"{', '.join(sorted(precisions))} numbers are converted to float32"] if precisions else []
    return changes + ([f"missing counters ({COUNTER}) are set to 0: {lacking}"] if lacking else [])


def _layout_of(
    checkpoint: Path, states: Mapping[str, State], layouts: Sequence[Layout], others: Others = no_others
) -> Layout:
    """Return the first layout that the networks match. Raise BenchError with the differences from the nearest one."""
    held = {name: manifest(state) for name, state in states.items()}
    faults = [_faults(held, layout) for layout in layouts]
    for layout, found in zip(layouts, faults, strict=True):
        if not any(found.values()):
            return layout
    nearest = min(faults, key=lambda found: sum(map(len, found.values())))
    fits = [other for other, known in others().items() if any(not any(_faults(held, one).values()) for one in known)]
    hint = f" It has the layout of {fits[0]}: {COMMAND} import {fits[0]} {checkpoint}" if fits else _hint(nearest)
    raise BenchError(f"{checkpoint} does not have the published layout ({in_words(nearest)}).{hint}")


def _faults(held: Mapping[str, Entries], layout: Layout) -> dict[str, list[str]]:
    """Return the differences from a layout by kind, like core.weights.state_dicts.misfits, with entries named
    "network.entry"."""
    lacking = ", ".join(repr(name) for name in layout.required if name not in held)
    no_network = [f"{lacking} (it contains {networks_held(held)})"] if lacking else []
    known = [name for name in layout.networks if name in held]
    return {"no network": no_network, **misfits(_joined(held, known), _joined(layout.networks, known))}


def _joined(networks: Mapping[str, Entries], names: Sequence[str]) -> Entries:
    """Return the entries of some networks as "network.entry", without counters, because these may be missing."""
    return {
        f"{name}.{entry}": kind
        for name in names
        for entry, kind in networks[name].items()
        if not entry.endswith(COUNTER)
    }


def _hint(faults: Mapping[str, Sequence[str]]) -> str:
    """Return the usual cause of such differences, or "" if there is none."""
    others = [entry for kind, entries in faults.items() if kind != "of another shape" for entry in entries]
    if others or not all(".down.weight " in entry for entry in faults["of another shape"]):
        return ""
    return " Only the downscaling kernels differ: it was trained on pictures of a different size."
