"""The curves of a cell: facial motion, action units from every detector side by side, and other metrics' curves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from megbench.core.errors import plural
from megbench.reports.curves import (
    GROUPS,
    Line,
    Plot,
    Scale,
    draw_plots,
    on_one_scale,
    panel_names,
    reach,
)
from megbench.reports.run_facts import CellFacts
from megbench.reports.run_files import Series

# The number of CSS colours for methods; a ninth method gets the first colour again.
COLOURS = 8
# The metric that measures facial motion, and the metric whose intensities have the unit of those in rendered clips.
MOTION = "motion_agreement"
RENDERED_UNIT = "au_flow"
KNOWN = "known"
# The largest number of panels in a row; the curves of other metrics get only one row.
MOST_PANELS = 6
MOTION_TEXT = (
    "Mean length of the facial motion since frame 0 in each region, with head motion removed (last panel: the head"
    " motion), in % of the distance between the eyes"
)
KNOWN_TEXT = "The action units from which the driver was rendered"

# Curves by label of the row, then by metric.
Kept = Mapping[str, Mapping[str, Series]]


@dataclass(frozen=True)
class Curves:
    """Pictures of curves with a common key.

    roles: the lines drawn in ink.
    methods: the title and the colour of each coloured line.
    more: additional pictures, which the page folds under `summary`.
    text: a description of the pictures, without a full stop.
    """

    metric: str
    text: str
    svg: Markup
    roles: tuple[str, ...]
    methods: tuple[tuple[str, int], ...]
    more: tuple[Markup, ...] = ()
    summary: str = ""


def cell_curves(cell: CellFacts, kept: Kept, detectors: Mapping[str, str]) -> Iterator[Curves]:
    """Yield the curves of a cell: those of facial motion and action units, then those of every other metric.

    detectors: metrics that read action units, in order, each with its detector's name.
    """
    metrics = list(dict.fromkeys(metric for series in kept.values() for metric in series))
    for metric in sorted(metrics, key=lambda metric: metric != MOTION):
        lines = _lines(kept, metric)
        if metric in detectors or not lines:
            continue
        names = [name for name in GROUPS if any(name in line.curves for line in lines)] if metric == MOTION else []
        panels = {name: GROUPS.get(name, name) for name in names or panel_names(lines, MOST_PANELS)}
        plots = on_one_scale(lines, panels, apart="head" if metric == MOTION else "")
        unit, text = ("% of eye distance", MOTION_TEXT) if metric == MOTION else (metric, f"{metric} over time")
        yield Curves(metric, text, draw_plots(cell, plots, unit), *_keys(kept, lines))
        if metric == MOTION:
            yield from unit_curves(cell, kept, detectors)
    if MOTION not in metrics:
        yield from unit_curves(cell, kept, detectors)


def unit_curves(cell: CellFacts, kept: Kept, detectors: Mapping[str, str]) -> Iterator[Curves]:
    """Yield the curves of action units from every detector that ran: a panel for each unit and detector.

    Panels of the same unit are adjacent, and panels of the same detector share a scale. Known intensities are drawn
    over the intensities read from flow, which have the same unit, or in separate panels if there are none.
    """
    found = {word: lines for metric, word in detectors.items() if (lines := _lines(kept, metric))}
    flow = detectors.get(RENDERED_UNIT, "")
    if cell.known_aus and flow in found:
        found[flow] = [Line(known_curves(cell, _names(found[flow])), KNOWN), *found[flow]]
    elif cell.known_aus:
        found = {KNOWN: [Line(cell.known_aus, KNOWN)], **found}
    rows = list(_rows(list(_plots(found))))
    if not rows:
        return
    lines = [line for of in found.values() for line in of]
    first, *more = [draw_plots(cell, row, "") for row in rows]
    by = [word for word in found if word != KNOWN]
    named = " and ".join(filter(None, (", ".join(by[:-1]), *by[-1:])))
    text = f"Action units since the onset, read by {named}, each on its own scale" if by else KNOWN_TEXT
    further = sum(len(row) for row in rows[1:])
    summary = f"{plural(further, 'more panel')} of weaker units"
    yield Curves("action_units", text, first, *_keys(kept, lines), tuple(more), summary)


def _plots(found: Mapping[str, Sequence[Line]]) -> Iterator[list[Plot]]:
    """Yield the panels of each unit, beginning with those that reach farthest on any detector's scale.

    found: lines by detector. If one detector reads several units together ("AU14+20"), the panels of all of them are
    shown together.
    """
    curves = {word: [curve for line in lines for curve in line.curves.values()] for word, lines in found.items()}
    scales = {word: Scale.of(of) for word, of in curves.items()}
    farthest = {word: max(map(reach, of)) or 1.0 for word, of in curves.items()}

    def share(unit: frozenset[str]) -> float:
        return max(
            reach(curve) / farthest[word]
            for word, lines in found.items()
            for line in lines
            for name, curve in line.curves.items()
            if numbers(name) & unit
        )

    for unit in sorted(_apart(name for lines in found.values() for name in _names(lines)), key=share, reverse=True):
        yield [
            Plot(name, name if word == KNOWN else f"{name}, {word}", tuple(lines), scales[word])
            for word, lines in found.items()
            for name in _names(lines)
            if numbers(name) & unit
        ]


def _apart(names: Iterable[str]) -> list[frozenset[str]]:
    """Return sets of the units' numbers in ascending order; units that some detector reads together share a set."""
    units: list[frozenset[str]] = []
    for unit in sorted(set(map(numbers, names)), key=lambda unit: (-len(unit), sorted(unit))):
        if not any(unit <= other for other in units):
            units.append(unit)
    return sorted(units, key=sorted)


def _rows(units: Sequence[Sequence[Plot]]) -> Iterator[list[Plot]]:
    """Yield rows of panels in the given order; each row has as many complete units as fit, but at least one."""
    row: list[Plot] = []
    for plots in units:
        if row and len(row) + len(plots) > MOST_PANELS:
            yield row
            row = []
        row += plots
    if row:
        yield row


def _lines(kept: Kept, metric: str) -> list[Line]:
    """Return the curves that a metric stored for a cell, in drawing order, so that the driver's is on top."""
    series = [(number, of[metric]) for number, of in enumerate(kept.values()) if metric in of]
    inks = {role: next((line for _, s in series if (line := s.of(role))), {}) for role in ("truth", "driver")}
    frames = series[0][1].frames if series else ()
    lines = [
        Line(inks["truth"], "truth", frames=frames),
        *(Line(s.of("output"), "output", number % COLOURS, s.frames) for number, s in series),
        Line(inks["driver"], "driver", frames=frames),
    ]
    return [line for line in lines if line.curves]


def _keys(kept: Kept, lines: Sequence[Line]) -> tuple[tuple[str, ...], tuple[tuple[str, int], ...]]:
    """Return the roles of the lines in ink, and those methods that have lines, with their colours."""
    roles = [role for role in ("driver", KNOWN, "truth") if any(line.role == role for line in lines)]
    colours = {line.colour for line in lines if line.colour is not None}
    numbered = ((label, number % COLOURS) for number, label in enumerate(kept))
    return tuple(roles), tuple((label, colour) for label, colour in numbered if colour in colours)


def known_curves(cell: CellFacts, measured: Iterable[str]) -> dict[str, Sequence[float]]:
    """Return the known intensities under the names of a metric's units; those of AU14 also stand for "AU14+20"."""
    own = {name: numbers(name) for name in measured}
    return {
        name: curve
        for unit, curve in cell.known_aus.items()
        for name, members in own.items()
        if numbers(unit) <= members
    }


def _names(lines: Sequence[Line]) -> list[str]:
    return sorted({name for line in lines for name in line.curves})


def numbers(unit: str) -> frozenset[str]:
    """Return the numbers of a unit: 14 and 20 for "AU14+20"."""
    return frozenset(re.findall(r"\d+", unit))
