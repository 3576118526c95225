"""Which figures have columns in the leaderboard, in which order, with their headings, explanations and entries."""

import dataclasses
from collections.abc import Iterable

from megbench.core.figures import GROUPS, Figure
from megbench.reports.run_facts import MetricFacts
from megbench.reports.run_files import NOT_SCORED, FinishedRun, Found
from megbench.reports.table import Column, Entry

# The figure by which methods are compared, and the figures whose p-values are corrected for the number of pairs of
# rows, separately for each figure. These have columns even if no row has a value; the columns then show the reasons.
RANKED_BY = "agreement"
FAMILY = ("agreement", "gain", "error")


def headlines(run: FinishedRun) -> list[Figure]:
    """Return the leaderboard's figures in their order, each with a group.

    These are the figures that have a group and a value in some row, the figures in FAMILY, and at least one figure of
    every metric that `--metrics` named. At least one figure of such a metric is also shown in a terminal.
    """
    chosen = {name for name, figure in _grouped(run).items() if name in FAMILY or _scored(run, name)}
    for metric in run.named_metrics:
        if metric.figures and not any(figure.name in chosen for figure in metric.figures):
            chosen.add(min(metric.figures, key=lambda figure: not figure.group).name)
    found = _in_order(run, (_headline(run, name) for name in chosen))
    for metric in run.named_metrics:
        own = [place for place, figure in enumerate(found) if run.figures[figure.name][0] is metric]
        if own and not any(found[place].brief for place in own):
            found[own[0]] = dataclasses.replace(found[own[0]], brief=True)
    return found


def _headline(run: FinishedRun, name: str) -> Figure:
    """Return a figure as the leaderboard shows it: with its group, or with its metric's name as the group."""
    metric, figure = run.figures[name]
    # If no apex is coded, the frame that moves most is compared.
    coded = any(cell.apex_frame is not None for cell in run.facts.cells)
    label = figure.short if coded else figure.short.replace("onset to apex", "onset to most")
    return dataclasses.replace(figure, group=figure.group or metric.name, short=label)


def _in_order(run: FinishedRun, figures: Iterable[Figure]) -> list[Figure]:
    """Return figures sorted by group, then by their order in it, then by the run's order."""
    given, names = list(figures), list(run.figures)
    groups = list(dict.fromkeys([*GROUPS, *(figure.group for figure in given)]))
    return sorted(given, key=lambda figure: (groups.index(figure.group), figure.order, names.index(figure.name)))


def _grouped(run: FinishedRun) -> dict[str, Figure]:
    return {name: figure for name, (_, figure) in run.figures.items() if figure.group}


def _scored(run: FinishedRun, figure: str) -> bool:
    return any(run.combined(method.label, figure).value is not None for method in run.facts.methods)


def left_out(run: FinishedRun, only_brief: bool = False) -> list[str]:
    """Return the grouped figures that no row has and no column shows, with the reasons."""
    reasons: dict[str, list[str]] = {}
    shown = {figure.name for figure in headlines(run)}
    for figure in _in_order(run, (_headline(run, name) for name in _grouped(run))):
        if figure.name not in shown and (figure.brief or not only_brief):
            reasons.setdefault(_why_absent(run, figure.name), []).append(against_truth(figure, "{} (truth)"))
    return [f"{', '.join(titles)}: {reason}" for reason, titles in reasons.items()]


def against_truth(figure: Figure, form: str) -> str:
    """Return a figure's short title, mentioning the truth if outputs are compared with it.

    form: text that mentions the truth; a title that does not is inserted into it.
    """
    named = figure.target != "truth" or "truth" in figure.label
    return figure.label if named else form.format(figure.label)


def _why_absent(run: FinishedRun, figure: str) -> str:
    """Return why no row has a figure: one reason, or several with their rows, the last for all other rows."""
    rows: dict[str, list[str]] = {}
    for method in run.facts.methods:
        rows.setdefault(_own_reason(run, method.label, figure), []).append(method.label)
    *fewer, most = sorted(rows.items(), key=lambda item: len(item[1]))
    told = [f"{reason} ({', '.join(labels)})" for reason, labels in fewer]
    return "; ".join([*told, f"{most[0]} (all other rows)" if fewer else most[0]])


def _own_reason(run: FinishedRun, label: str, figure: str) -> str:
    """Return why a row lacks a figure.

    This is the reason in the first cell in which the row has another headline figure or, if there is no such cell, the
    reason for all cells together.
    """
    others = [other.name for other in headlines(run)]
    for cell in run.facts.cells:
        found = run.of_cell(label, cell, figure)
        if found is not NOT_SCORED and any(run.of_cell(label, cell, other).value is not None for other in others):
            return found.reason or found.status
    found = run.combined(label, figure)
    return found.reason or found.status


def column(run: FinishedRun, figure: Figure, part: str = "") -> Column:
    """Return a figure's column with its description, under its group or under a `part` of the cells."""
    named = bool(figure.short and figure.detector)
    return Column(
        figure.short if named else figure.label,
        figure.arrow,
        figure.decimals,
        explanation(*run.figures[figure.name]),
        part or figure.group,
        figure.higher_is_better,
        remark=figure.detector if named else "",
        key=f"{figure.name} ({part})" if part else figure.name,
        brief=figure.brief,
    )


def explanation(metric: MetricFacts, figure: Figure) -> str:
    """Return one paragraph on a figure: what it is and, in brackets, everything else that its metric says about it."""
    facts = [*figure_facts(figure), f"{metric.name} {metric.version}"]
    return f"{figure.title}: {figure.description.rstrip('.')}. ({'; '.join(facts)})"


def figure_facts(figure: Figure) -> list[str]:
    """Return a figure's unit, range, ideal, value for a still face, object of comparison, and formula."""
    facts = [
        f"unit {figure.unit}" if figure.unit else "",
        f"range {figure.span}" if figure.bounds != (None, None) else "",
        f"ideal {figure.ideal:g}" if figure.ideal is not None else "",
        f"a still face scores {figure.still:g}" if figure.still is not None else "",
        f"against the {figure.target}" if figure.target and figure.target != "output" else "",
        f"formula {figure.formula}" if figure.formula else "",
        figure.source,
    ]
    return [fact for fact in facts if fact]


def entry(found: Found, link: str = "", interval: tuple[float, float] | None = None) -> Entry:
    """Return a score as a table shows it, with its warning and, if some cells lack it, the numbers of cells."""
    if found.value is None:
        return Entry(None, found.reason or found.status, "", link)
    counts = f"{found.n_scored}/{found.n_cells}" if found.n_scored not in (None, found.n_cells) else ""
    return Entry(found.value, "", " ".join(filter(None, (counts, found.warning))), link, interval=interval)
