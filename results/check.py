"""Find what is wrong with a results file, as far as this can be seen from the file alone, with one line per finding.

There are two checks. The hashes of the parts reveal every change since the export, and where it was made. Values that
follow from other parts are computed again. This finds even a change whose hash was replaced, if the change contradicts
anything else in the file. A consistent forgery is found only by comparison with the run (megbench.results.against_run).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from megbench.core.clip import person
from megbench.core.errors import plural
from megbench.core.generator import DEMO_MARK
from megbench.results.digests import digests_of
from megbench.results.means import mean_of, pooled_of, same
from megbench.results.reading import form_faults
from megbench.results.submission import FigureFacts, Row, Submission

# A row's mark (reports.marks) begins with these words if its model was trained on clips or people of its cells.
SEEN_MARK = "trained on"
# Marks that a status must have and no other status may have.
MARK_OF = {"demo weights": DEMO_MARK, "reproducing": "reproducing", "untrained": "untrained"}
HASHED = ("published weights", "reproducing", "demo weights", "own weights")
# Controls that every protocol allows; wrong_driver needs a foil, and truth needs a known truth.
CONTROLS = ("still", "still_noise", "rigid", "apex_ramp", "reversed", "ceiling")
CONTENDER = "flow_warp"
FOIL_CONTROL = "wrong_driver"


def findings(facts: dict[str, Any], known_weights: Mapping[str, str]) -> list[str]:
    """Return every fault in a file's JSON values, one line each, or [] for a file without faults.

    known_weights: hashes of the weights supplied with the suite, with the status of a row that uses them.
    """
    if lines := form_faults(facts):
        return lines
    return list(dict.fromkeys((*altered(facts), *_contradictions(Submission.model_validate(facts), known_weights))))


def altered(facts: dict[str, Any]) -> Iterator[str]:
    """Yield the parts that, according to their hashes, were altered, removed or added since the export."""
    now, then = digests_of(facts), facts["digests"]
    for name in then["parts"]:
        if name not in now["parts"]:
            yield f"{name}: removed since the export"
        elif now["parts"][name] != then["parts"][name]:
            yield f"{name}: altered since the export"
    for name in now["parts"]:
        if name not in then["parts"]:
            yield f"{name}: added since the export"
    if now["parts"] == then["parts"] and now["whole"] != then["whole"]:
        yield "the file: its parts are as exported, but their order or the hash of the whole file was altered"


def _contradictions(made: Submission, known_weights: Mapping[str, str]) -> Iterator[str]:
    yield from _cells(made)
    yield from _figures(made)
    yield from _kind(made)
    yield from _controls(made)
    labels = [row.label for row in made.rows]
    yield from (f"row {label}: occurs twice" for label in dict.fromkeys(labels) if labels.count(label) > 1)
    for row in made.rows:
        for line in (*_marks(made, row, known_weights), *_seen(made, row), *_work(made, row), *_scores(made, row)):
            yield f"row {row.label}: {line}"


def _cells(made: Submission) -> Iterator[str]:
    drivers: dict[str, tuple[object, ...]] = {}
    templates: dict[str, str | None] = {}
    names = [cell.name for cell in made.cells]
    done = {name for row in made.rows for name, result in row.cells.items() if result.status == "ok"}
    yield from (f"cell {name}: occurs twice" for name in dict.fromkeys(names) if names.count(name) > 1)
    for cell in made.cells:
        if cell.name != f"{cell.driver}__{cell.template}":
            yield f"cell {cell.name}: its name does not match driver {cell.driver} and template {cell.template}"
        facts = (cell.driver_content, cell.frames, cell.fps, cell.database, cell.subject, cell.emotion, cell.rendered)
        if drivers.setdefault(cell.driver, facts) != facts:
            yield f"cell {cell.name}: its driver {cell.driver} is a different clip in other cells"
        if templates.setdefault(cell.template, cell.template_content) != cell.template_content:
            yield f"cell {cell.name}: its template {cell.template} is a different picture in other cells"
        known = (cell.driver_content, cell.template_content, cell.frames)
        if made.kind == "sealed run" and cell.name in done and None in known:
            yield f"cell {cell.name}: lacks the hashes of its clip and template"
    for what, hashes in (("drivers", {n: f[0] for n, f in drivers.items()}), ("templates", templates)):
        given = [value for value in hashes.values() if value]
        if len(set(given)) < len(given):
            yield f"cells: two {what} have the same hash"


def _figures(made: Submission) -> Iterator[str]:
    names = [figure.name for metric in made.metrics for figure in metric.figures]
    yield from (f"figure {name}: belongs to two metrics" for name in dict.fromkeys(names) if names.count(name) > 1)
    metrics = [metric.name for metric in made.metrics]
    yield from (f"metric {name}: occurs twice" for name in dict.fromkeys(metrics) if metrics.count(name) > 1)
    for metric in made.metrics:
        if made.kind == "sealed run" and metric.recipe is None:
            yield f"metric {metric.name}: lacks the hash of its code"


def _kind(made: Submission) -> Iterator[str]:
    of_run = {"seal": made.seal, "asked": made.asked, "made": made.made}
    for name, value in of_run.items():
        if made.kind == "sealed run" and value is None:
            yield f"{name}: missing, although every sealed run has it"
        if made.kind == "measured elsewhere" and value is not None:
            yield f"{name}: present, although results measured elsewhere have none"
    if made.kind == "measured elsewhere" and not made.note:
        yield "note: empty, although it must say where and how the results were measured elsewhere"


def _controls(made: Submission) -> Iterator[str]:
    """Yield the rows that the run's request includes but the file lacks."""
    if made.asked is None:
        return
    if not made.asked.controls:
        yield (
            "rows: there are no controls with which scores can be compared. Run the benchmark again without"
            " --no-controls"
        )
        return
    labels = {row.label for row in made.rows}
    foils = any(cell.foil for cell in made.cells)
    known = all(cell.truth_content for cell in made.cells)
    wanted = [CONTENDER, *CONTROLS, *([FOIL_CONTROL] if foils else []), *(["truth"] if known else [])]
    for label in wanted:
        if label not in labels:
            yield f"row {label}: missing, although every run on such cells has it"
    yield from (
        f"row {label}: missing, although it was requested" for label in made.asked.methods if label not in labels
    )
    for row in made.rows:
        if row.label in (*CONTROLS, FOIL_CONTROL, "truth") and not row.is_control:
            yield f"row {row.label}: is a control but is not marked as one"


def _marks(made: Submission, row: Row, known_weights: Mapping[str, str]) -> Iterator[str]:
    if made.kind == "measured elsewhere":
        return
    for status, mark in MARK_OF.items():
        if row.status == status and mark not in row.marks:
            yield f"has {status} and lacks the mark {mark!r}"
        if row.status != status and mark in row.marks:
            yield f"has the mark {mark!r}, but its status is {row.status!r}"
    if row.status in HASHED and not row.weights:
        yield f"has {row.status} without their hash"
    for value in (row.weights or {}).values():
        if row.status != known_weights.get(value, row.status):
            yield f"its weights are the suite's {known_weights[value]}, but its status is {row.status!r}"


def _seen(made: Submission, row: Row) -> Iterator[str]:
    """Yield what is wrong with a row's statements about the people on whom its model was trained."""
    drivers = {cell.driver: cell for cell in made.cells}
    told = {*row.seen_drivers, *row.seen_people}
    yield from (f"was trained on {name}, which is not a driver here" for name in sorted(told - drivers.keys()))
    known = set(row.people_known)
    for name, cell in drivers.items():
        if not cell.rendered and person(cell.database, cell.subject) in known and name not in told:
            yield f"was trained on {person(cell.database, cell.subject)}, who is driver {name}, but does not say so"
    kinds = (("drivers", row.seen_drivers), ("people", row.seen_people))
    seen = ", ".join(f"{len(names)} of {len(drivers)} {what}" for what, names in kinds if names)
    marked = [word for word in row.marks if word.startswith(SEEN_MARK)]
    if seen and f"{SEEN_MARK} {seen}" not in marked:
        yield f"is scored on people it was trained on, but lacks the mark '{SEEN_MARK} {seen}'"
    if marked and not seen:
        yield f"has the mark {marked[0]!r}, but names nobody it was trained on"


def _work(made: Submission, row: Row) -> Iterator[str]:
    """Yield what is wrong with time, memory and the list of cells."""
    wanted = [cell.name for cell in made.cells]
    yield from (f"cell {name}: missing" for name in wanted if name not in row.cells)
    yield from (f"cell {name}: not in the table" for name in row.cells if name not in wanted)
    if list(row.cells) != wanted and set(row.cells) == set(wanted):
        yield "its cells are not in the table's order"
    done = {name: cell for name, cell in row.cells.items() if cell.seconds is not None}
    seconds = sum(cell.seconds or 0.0 for cell in done.values()) if done else None
    frames = sum(cell.frames or 0 for cell in made.cells if cell.name in done)
    if not same(row.seconds, seconds):
        yield f"its time is given as {row.seconds} s, but its cells took {seconds} s"
    if not same(row.frames_per_second, frames / seconds if seconds else None):
        yield (
            f"its speed is given as {row.frames_per_second} frames per second, but its cells have"
            f" {plural(frames, 'frame')} in {seconds} s"
        )
    peaks = [cell.peak_mb for cell in row.cells.values() if cell.peak_mb is not None]
    if row.peak_mb != max(peaks, default=None):
        yield f"its peak memory is given as {row.peak_mb} MB, but that of its cells is {max(peaks, default=None)} MB"
    for name, cell in row.cells.items():
        if made.kind == "sealed run" and (cell.status == "ok") != (cell.output is not None):
            yield f"cell {name}: is {cell.status!r}, but {'has' if cell.output else 'lacks'} a hash of its frames"
        if cell.status != "ok" and cell.scores:
            yield f"cell {name}: has scores but no frames (its status is {cell.status!r})"


def _scores(made: Submission, row: Row) -> Iterator[str]:
    figures = made.figures
    yield from (f"{name}: is not a figure of the file's metrics" for name in row.scores if name not in figures)
    yield from (f"{name}: lacks a mean" for name in figures if name not in row.scores)
    for name, cell in row.cells.items():
        absent = [figure for names in cell.absent.values() for figure in names]
        twice = set(absent) & cell.scores.keys() or {figure for figure in absent if absent.count(figure) > 1}
        yield from (
            f"{figure} on {name}: is listed as both present and absent, or as absent twice" for figure in sorted(twice)
        )
        told = {*absent, *cell.scores}
        yield from (f"{figure} on {name}: has neither a value nor a reason" for figure in figures if figure not in told)
        yield from (
            f"{figure} on {name}: is not a figure of the file's metrics" for figure in sorted(told - figures.keys())
        )
        for figure, value in cell.scores.items():
            if figure in figures and (line := _impossible(figures[figure][1], value)):
                yield f"{figure} on {name}: {line}"
    if set(row.cells) <= made.driver_of.keys():
        for name in (name for name in figures if name in row.scores):
            yield from (f"{name}: {line}" for line in _summed(made, row, figures[name][1]))


def _summed(made: Submission, row: Row, figure: FigureFacts) -> Iterator[str]:
    """Yield what is wrong with a figure over all cells."""
    found = row.scores[figure.name]
    if found.value is not None and (line := _impossible(figure, found.value)):
        yield f"over all cells: {line}"
    if found.n_cells != len(made.cells):
        yield f"its value is of {plural(found.n_cells, 'cell')}, but the table has {len(made.cells)}"
    if (found.value is None) != bool(found.reason):
        yield "has both a value over all cells and a reason for its absence, or neither"
    mean, low, high, n = mean_of(figure.name, row.cells, made.driver_of)
    if figure.pooling == "mean":
        if found.n_scored != n:
            yield f"its mean is of {plural(found.n_scored, 'cell')}, but {n} have a value"
        if not same(found.value, mean):
            yield f"its mean is given as {found.value}, but that of its cells is {mean}"
        if not (same(found.low, low) and same(found.high, high)):
            yield f"its interval is given as {found.low} to {found.high}, but its cells give {low} to {high}"
        return
    if (found.low, found.high) != (None, None):
        yield "has an interval, although only means have one"
    if found.n_scored > found.n_cells:
        yield f"its value is from {plural(found.n_scored, 'cell')}, but there are only {found.n_cells}"
    if figure.pooling == "pooled":
        pooled = pooled_of(made.figures[figure.name][0], figure, list(row.cells.values()))
        if not same(found.value, pooled):
            yield f"its pooled value is given as {found.value}, but its cells give {pooled}"


def _impossible(figure: FigureFacts, value: float) -> str:
    """Return a message if a value is outside a figure's range, otherwise ""."""
    # Rounding may move a perfect score past its bound.
    room = 1e-6 * max(1.0, abs(value))
    low = figure.least is not None and value < figure.least - room
    high = figure.most is not None and value > figure.most + room
    return f"{value} is outside its range, {figure.least} to {figure.most}" if low or high else ""
