"""Export a finished run to a results file: scores and their origin, without pictures or the user's paths."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from megbench.core.clip import load_clip
from megbench.core.errors import BenchError, clause
from megbench.core.files.cache import digest, write_text
from megbench.core.frames import content_hash, read_png
from megbench.core.generator import DEMO, DEMO_MARK
from megbench.engine.seal import measured_digest
from megbench.reports.intervals import intervals
from megbench.reports.marks import marks
from megbench.reports.run_facts import CellFacts, MethodFacts, MetricFacts
from megbench.reports.run_files import FinishedRun
from megbench.results.digests import digests_of
from megbench.results.means import kept
from megbench.results.submission import FORMAT, LONGEST_TEXT, Submission

CELL_FACTS = {"name", "driver", "template", "database", "emotion", "subject", "fps", "rendered", "foil"}
# From this depth on, every value takes one line: a cell's result, a figure over all cells, a figure's facts.
LINES_FROM = 4
UNTIMED = {"outputs": "made elsewhere; only read here", "external": "the memory of another program is not measured"}


def submission_of(folder: Path) -> Submission:
    """Return the results of a finished, sealed run. Raise BenchError, with the remedy, for any other run."""
    run = FinishedRun(folder)
    seal = measured_digest(folder)
    if not run.facts.finished or seal is None:
        raise BenchError(
            f"The run {folder} is not finished, or its manifest is incomplete. Rerun the command that created it,"
            " then export."
        )
    hide = _Hider(run)
    facts = {
        "format": FORMAT,
        "kind": "sealed run",
        "note": "",
        "protocol": run.facts.protocol.model_dump(include={"name", "version", "description"}),
        "cells": [_cell(run, cell) for cell in run.facts.cells],
        "metrics": [_metric(metric) for metric in run.facts.metrics],
        "asked": _asked(run, hide),
        "made": _made(run.facts.provenance),
        "rows": _rows(run, hide),
        "seal": seal,
    }
    return completed(facts)


def completed(facts: dict[str, Any]) -> Submission:
    """Return a submission from its entries without `digests`. Raise BenchError if they do not fit the format."""
    try:
        made = Submission.model_validate_json(json.dumps({**facts, "digests": {"parts": {}, "whole": "0" * 32}}))
        whole = {name: value for name, value in values_of(made).items() if name != "digests"}
        return Submission.model_validate_json(json.dumps({**whole, "digests": digests_of(whole)}))
    except ValueError as error:
        raise BenchError(f"These results do not fit a results file: {clause(error)}.") from None


def values_of(submission: Submission) -> dict[str, Any]:
    """Return the JSON values of a results file, without defaults such as an empty warning."""
    return submission.model_dump(mode="json", exclude_defaults=True)


def text_of(submission: Submission) -> str:
    """Return the text of a results file: JSON with a line for each figure and each cell of a row."""
    return f"{_text(values_of(submission))}\n"


def _text(value: Any, depth: int = 0) -> str:
    if depth == LINES_FROM or not value or not isinstance(value, dict | list):
        return json.dumps(value, allow_nan=False, ensure_ascii=False)
    start, end = ("{", "}") if isinstance(value, dict) else ("[", "]")
    inner = (
        [f"{json.dumps(name, ensure_ascii=False)}: {_text(part, depth + 1)}" for name, part in value.items()]
        if isinstance(value, dict)
        else [_text(part, depth + 1) for part in value]
    )
    room = " " * (depth + 1)
    return f"{start}\n{room}" + f",\n{room}".join(inner) + f"\n{room[1:]}{end}"


def write_submission(submission: Submission, path: Path) -> None:
    """Write a results file, completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text_of(submission))


class _Hider:
    """A function that removes the user's folders from text, so that only the last part of /home/ann/outputs remains."""

    def __init__(self, run: FinishedRun) -> None:
        given = run.facts.request.get("folders")
        named = [Path(value) for value in given.values() if value] if isinstance(given, dict) else []
        found = {*named, run.folder.resolve(), Path.cwd(), Path.home()}
        longest_first = sorted(found, key=lambda path: -len(str(path)))
        self._names = {str(path): path.name for path in longest_first if len(path.parts) > 1}

    def __call__(self, text: str) -> str:
        for path, name in self._names.items():
            text = text.replace(path, name)
        return text[:LONGEST_TEXT]


def _cell(run: FinishedRun, cell: CellFacts) -> dict[str, Any]:
    driver = load_clip(run.driver_frames(cell).parent)
    truth = load_clip(run.truth_frames(cell).parent) if cell.has_truth else None
    picture = run.template_picture(cell)
    facts = cell.model_dump(include=CELL_FACTS)
    return {
        **facts,
        "frames": cell.n_frames or None,
        "driver_content": driver.content if driver else None,
        "template_content": content_hash(read_png(picture)) if picture.is_file() else None,
        "truth_content": truth.content if truth else None,
    }


def _metric(metric: MetricFacts) -> dict[str, Any]:
    figures = [
        {name: getattr(figure, name) for name in ("name", "title", "label", "description", "target", "unit", "group")}
        | {name: getattr(figure, name) for name in ("order", "brief", "pooling", "decimals", "ideal", "still")}
        | {"least": figure.bounds[0], "most": figure.bounds[1]}
        for figure in metric.figures
    ]
    recipe = digest(metric.recipe) if metric.recipe else None
    return {"name": metric.name, "version": metric.version, "recipe": recipe, "figures": figures}


def _asked(run: FinishedRun, hide: _Hider) -> dict[str, Any]:
    request = run.facts.request
    asked = len(set(request.get("methods") or ()))  # companions come after the requested methods
    return {
        "methods": [hide(method.label) for method in run.facts.methods[:asked]],
        "controls": bool(request.get("controls")),
        "seed": int(request.get("seed") or 0),
        "device": str(request.get("device") or "cpu"),
    }


def _made(origin: Mapping[str, Any]) -> dict[str, Any]:
    code, machine = origin.get("code") or {}, origin.get("machine") or {}
    return {
        "date": str(origin.get("date") or "unknown"),
        "commit": str(code.get("commit") or code.get("sources") or "unknown"),
        "modified": bool(code.get("modified")),
        "python": str(origin.get("python") or "unknown"),
        "packages": {str(name): str(version) for name, version in (origin.get("packages") or {}).items()},
        **{name: str(machine.get(name) or "") for name in ("system", "processor", "device")},
        "precision": {str(name): str(value) for name, value in (origin.get("precision") or {}).items()},
    }


def _rows(run: FinishedRun, hide: _Hider) -> list[dict[str, Any]]:
    drawn = {name: intervals(run, name) for name in run.figures}
    return [_row(run, method, drawn, hide) for method in run.facts.methods]


def _row(
    run: FinishedRun, method: MethodFacts, drawn: Mapping[str, Mapping[str, tuple[float, float]]], hide: _Hider
) -> dict[str, Any]:
    cells = {cell.name: _cell_result(run, method, cell, hide) for cell in run.facts.cells}
    done = [cell for cell in cells.values() if cell["seconds"] is not None]
    seconds = sum(cell["seconds"] for cell in done) if done else None
    frames = sum(c.n_frames for c in run.facts.cells if cells[c.name]["seconds"] is not None)
    peaks = [cell["peak_mb"] for cell in cells.values() if cell["peak_mb"] is not None]
    return {
        "label": hide(method.label),
        **{name: getattr(method, name) for name in ("name", "variant", "is_control")},
        "status": status_of(method),
        "marks": {word: hide(sentence) for word, sentence in marks(run, method).items()},
        "weights": weights_of(method),
        "identity": digest(method.identity),
        **{name: list(getattr(method, name)) for name in ("people_known", "seen_drivers", "seen_people")},
        "seconds": kept(seconds),
        "frames_per_second": kept(frames / seconds) if seconds else None,
        "peak_mb": max(peaks, default=None),
        "untimed": UNTIMED.get(method.name, "" if done and peaks else "not measured"),
        "scores": {name: _mean(run, method.label, name, drawn[name], hide) for name in run.figures},
        "cells": cells,
    }


def status_of(method: MethodFacts) -> str:
    """Return the status of a row's weights, based on the row's name and marks."""
    if method.name == "outputs":
        return "outputs made elsewhere"
    if method.name == "external":
        return "external program"
    found = {DEMO_MARK: "demo weights", "reproducing": "reproducing", "untrained": "untrained"}
    marked = next((status for word, status in found.items() if word in method.marks), "")
    whose = "published weights" if method.variant == DEMO else "own weights"
    return marked or (whose if weights_of(method) else "no weights")


def weights_of(method: MethodFacts) -> dict[str, str] | None:
    """Return the hashes of a row's weights by file, or None if there are none or they are unknown."""
    found = method.identity.get("weights")
    if isinstance(found, str):
        found = {"weights": found}
    if not isinstance(found, dict):
        return None
    hashes = {str(name): value for name, value in found.items() if isinstance(value, str) and _is_hash(value)}
    return hashes or None


def _is_hash(text: str) -> bool:
    return 8 <= len(text) <= 128 and set(text) <= set("0123456789abcdef")


def _mean(
    run: FinishedRun, label: str, figure: str, drawn: Mapping[str, tuple[float, float]], hide: _Hider
) -> dict[str, Any]:
    found = run.combined(label, figure)
    low, high = drawn.get(label, (None, None))
    return {
        "value": kept(found.value),
        "low": kept(low),
        "high": kept(high),
        "n_scored": found.n_scored or 0,
        "n_cells": found.n_cells or 0,
        "reason": hide(found.reason or found.status) if found.value is None else "",
        "warning": hide(found.warning),
    }


def _cell_result(run: FinishedRun, method: MethodFacts, cell: CellFacts, hide: _Hider) -> dict[str, Any]:
    record = run.record(method.label, cell)
    status = record.get("status")
    elsewhere = method.name in UNTIMED
    scores: dict[str, float] = {}
    absent: dict[str, list[str]] = {}
    for figure in run.figures:
        found = run.of_cell(method.label, cell, figure)
        value = kept(found.value)
        if value is None:
            absent.setdefault(hide(found.reason or found.status), []).append(figure)
        else:
            scores[figure] = value
    ok = status == "ok"
    return {
        "status": status if status in ("ok", "missing") else "failed",
        "reason": "" if ok else hide(run.failure(method.label, cell) or ""),
        "output": record.get("content") or None,
        "seconds": record.get("seconds") if ok and method.name != "outputs" else None,
        "peak_mb": record.get("peak_mb") if ok and not elsewhere else None,
        "scores": scores,
        "absent": absent,
        "sums": {
            metric: {role: [kept(value) for value in values] for role, values in roles.items() if len(values) == 3}
            for metric, roles in run.sums(method.label, cell).items()
        },
    }
