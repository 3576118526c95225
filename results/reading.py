"""Read results files, which anyone may write: size, depth and every value are checked before anything is trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from megbench.core.errors import BenchError, clause, plural, shown
from megbench.core.files.bounded import read_bounded
from megbench.core.provenance import ROOT
from megbench.results.submission import Submission

# The size of the largest file that is read, in bytes. With all metrics, 20 rows on 18 cells take about one million.
LARGEST = 16_000_000
# The folder of the public table's submissions, one file each.
ENTRIES = ROOT / "results" / "entries"
SCHEMA = ROOT / "results" / "schema.json"
REMEDY = "Give a file made by `results export`."
# The largest number of format errors to list for one file.
MOST_TOLD = 20


def read_submission(path: Path) -> tuple[Submission, dict[str, Any]]:
    """Return a checked results file and its JSON values. Raise BenchError with its first fault."""
    facts = read_facts(path)
    if lines := form_faults(facts):
        raise BenchError(f"{path} does not fit the format of results files: {lines[0]}. {REMEDY}")
    return Submission.model_validate_json(json.dumps(facts)), facts


def read_facts(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file. Raise BenchError if it is missing, too large, or repeats an entry."""
    data = read_bounded(path, LARGEST, REMEDY)
    try:
        facts = json.loads(data, object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError:
        raise BenchError(f"{path} is not a results file: its JSON is nested too deeply. {REMEDY}") from None
    except ValueError as error:
        raise BenchError(f"{path} is not a results file ({clause(error)}). {REMEDY}") from None
    if not isinstance(facts, dict):
        raise BenchError(
            f"{path} is not a results file: it must be a JSON object, got {type(facts).__name__}. {REMEDY}"
        )
    return facts


def form_faults(facts: dict[str, Any]) -> list[str]:
    """Return what does not fit the published format (results/schema.json), one line each, or [] if everything fits."""
    try:
        Submission.model_validate_json(json.dumps(facts))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        lines = [f"{_place(fault['loc'])}: {clause(fault['msg'])}, got {shown(fault['input'])}" for fault in found]
        more = [f"and {plural(len(lines) - MOST_TOLD, 'more format error')}"] if len(lines) > MOST_TOLD else []
        return [*lines[:MOST_TOLD], *more]
    return []


def schema() -> dict[str, Any]:
    """Return the published JSON Schema of a results file."""
    made = Submission.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "MEG-Bench results, version 1"}


def schema_text() -> str:
    """Return the text of results/schema.json."""
    return json.dumps(schema(), indent=1, sort_keys=True) + "\n"


def _place(parts: tuple[int | str, ...]) -> str:
    return shown(".".join(str(part) for part in parts) or "the file")[1:-1]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the entry {shown(twice)} occurs twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")
