"""Hashes of a results file's parts, which show whether and where it was changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from megbench.core.files.cache import digest


def digests_of(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry `digests` of a file from its other entries (JSON values)."""
    return {
        "parts": {name: digest(part) for name, part in parts(facts)},
        "whole": digest({name: value for name, value in facts.items() if name != "digests"}),
    }


def parts(facts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield each part of a file with the name that messages use for it."""
    for name in ("kind", "note", "protocol", "asked", "made", "seal"):
        yield name, facts[name]
    for cell in facts["cells"]:
        yield f"cell {cell['name']}", cell
    for metric in facts["metrics"]:
        yield f"metric {metric['name']}", metric
    for row in facts["rows"]:
        yield from _parts_of_row(row)


def _parts_of_row(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    start = f"row {row['label']}"
    apart = ("marks", "scores", "cells")
    yield start, {name: value for name, value in row.items() if name not in apart}
    yield f"{start}: marks", row["marks"]
    yield f"{start}: means", row["scores"]
    for name, cell in row["cells"].items():
        yield f"{start} on {name}", cell
