"""Compare a results file with the run that it came from; report one line per difference from the run's own files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from megbench.core.errors import plural, shown
from megbench.engine.seal import faults
from megbench.results.export import submission_of, values_of

# Lists of named entries, each with the key that holds an entry's name.
NAMED = {"cells": "name", "metrics": "name", "rows": "label", "figures": "name"}
# The largest number of findings to list, because a file from another run differs everywhere.
MOST_TOLD = 30


def against_run(facts: dict[str, Any], run: Path) -> list[str]:
    """Return the differences between a file's JSON values and its run's, or [] if there are none.

    The run's files are hashed again first. Raise BenchError if the folder is not a finished run.
    """
    truth = values_of(submission_of(run))
    lines = [f"{run}: {line}" for line in faults(run)]
    if facts["seal"] != truth["seal"]:
        lines.append(
            f"seal: {facts['seal']}, but the run's is {truth['seal']}: this is another run, or one repeated since"
        )
    apart = {"digests", "seal"}
    here, there = ({name: value for name, value in of.items() if name not in apart} for of in (facts, truth))
    lines += list(_differences(here, there, ""))
    more = [f"and {plural(len(lines) - MOST_TOLD, 'more difference')}"] if len(lines) > MOST_TOLD else []
    return [*lines[:MOST_TOLD], *more]


def _differences(here: Any, there: Any, place: str) -> Iterator[str]:
    """Yield a line for each value that differs, with its path from the outermost entry inwards."""
    if isinstance(here, dict) and isinstance(there, dict):
        for name in dict.fromkeys([*there, *here]):
            inner = f"{place}, {name}" if place else str(name)
            if name not in here:
                yield f"{inner}: missing, although the run has it"
            elif name not in there:
                yield f"{inner}: not in the run"
            else:
                yield from _differences(_by_name(name, here[name]), _by_name(name, there[name]), inner)
    elif here != there:
        yield f"{place}: {shown(here)}, but {shown(there)} in the run"


def _by_name(entry: str, value: Any) -> Any:
    """Return a list of named things as a dict by name, and anything else unchanged."""
    key = NAMED.get(entry)
    return {part[key]: part for part in value} if key and isinstance(value, list) else value
