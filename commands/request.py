"""What a run was asked for, and what that means: cells, rows and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.options import STORE
from core.errors import BenchError

if TYPE_CHECKING:
    from core.clip import Cell
    from core.contracts import CellSource
    from core.runner import Row


@dataclass(frozen=True)
class Request:
    """What the user asks for: all that decides the scores, in plain values. Its hash names the run."""

    methods: tuple[str, ...]
    protocol: str
    folders: dict[str, str | None]
    metrics: tuple[str, ...]
    controls: bool
    seed: int
    device: str
    face: str = ""


def make_protocol(name: str, given: dict[str, Any], face: str = "") -> CellSource:
    """Return the protocol `name` on the `given` folders, with the chosen `face` of its drivers ("": the largest)."""
    from core.registry import load
    from protocols import PROTOCOLS, make

    paths = {key: Path(path) if path else None for key, path in given.items()}
    return make(name, load("protocol", name, PROTOCOLS), STORE.resolve() / "clips", paths, face)


def make_rows(request: Request) -> list[Row]:
    """The methods asked for, then their companions: flow_warp and the controls."""
    from core.registry import load
    from core.runner import Row
    from methods import COMPANIONS, METHODS, parse_label

    companions = COMPANIONS if request.controls else ()
    rows = []
    for text in dict.fromkeys([*request.methods, *companions]):
        label = parse_label(text)
        rows.append(Row.of(label.text, label.name, label.variant, label.options, load("method", label.name, METHODS)))
    labels = [row.label for row in rows]
    if twice := {label for label in labels if labels.count(label) > 1}:
        raise BenchError(f"Several rows are called {min(twice)!r}. Rename one of the folders.")
    return rows


def possible_rows(rows: Sequence[Row], request: Request, cells: Sequence[Cell]) -> list[Row]:
    """The rows without companions that these cells do not allow, unless they were asked for by name."""
    impossible = {
        "truth": not all(cell.truth for cell in cells),
        "wrong_driver": not any(cell.foil for cell in cells),
    }
    return [row for row in rows if row.label in request.methods or not impossible.get(row.label)]


def load_metrics(request: Request) -> list[Any]:
    """The classes of the metrics asked for."""
    from core.registry import load
    from metrics import METRICS

    return [load("metric", name, METRICS) for name in request.metrics]
