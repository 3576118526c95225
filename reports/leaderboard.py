"""Which figures stand in which table: the leaderboard, the breakdowns, the cells and the list of all figures."""

import dataclasses
from collections.abc import Callable, Container
from dataclasses import dataclass

import numpy as np
from megbench.reports import selfcheck
from megbench.reports.intervals import compared, groups, intervals
from megbench.reports.judged import with_experts
from megbench.reports.marks import marked
from megbench.reports.run_facts import FigureFacts, MethodFacts, MetricFacts
from megbench.reports.run_files import NOT_SCORED, FinishedRun, Found
from megbench.reports.table import Column, Entry, Section, Table


@dataclass(frozen=True)
class Headline:
    """A figure of the leaderboard: short title, decimals, and what to aim at where neither more nor less is better."""

    figure: str
    title: str
    decimals: int = 2
    aim: str = ""


# What a reader should look at first, in this order; figures the run does not have are left out.
HEADLINES: dict[str, tuple[Headline, ...]] = {
    "Motion, against the driver": (
        Headline("agreement", "agreement"),
        Headline("gain", "gain", aim="→ 1"),
        Headline("error", "error"),
        Headline("agreement_pooled", "pooled agr."),
    ),
    "Motion, against the driver (version 1)": (
        Headline("agreement_v1", "agreement"),
        Headline("gain_v1", "gain", aim="→ 1"),
        Headline("error_v1", "error"),
        Headline("agreement_pooled_v1", "pooled agr."),
    ),
    "Motion, against the truth": (
        Headline("agreement_truth", "agreement"),
        Headline("gain_truth", "gain", aim="→ 1"),
        Headline("error_truth", "error"),
        Headline("true_flow_error", "flow error px"),
        Headline("landmark_error", "landmarks px"),
    ),
    "Action units, from flow": (
        Headline("au_flow_cosine", "onset to apex"),
        Headline("au_flow_track", "over time"),
        Headline("au_flow_icc", "ICC"),
        Headline("au_flow_leakage", "leakage"),
        Headline("au_flow_coverage", "coverage"),
    ),
    "Guards: the picture": (
        Headline("identity_distance", "identity dist."),
        Headline("sharpness_truth", "sharpness", aim="→ 1"),
        Headline("sharpness_template", "sharp./templ.", aim="→ 1"),
        Headline("sharpness_driver", "sharp./driver"),
        Headline("frame0_ssim_template", "frame 0 SSIM", 3),
        Headline("ssim_truth", "SSIM truth", 3),
        Headline("lpips_template", "LPIPS templ.", 3),
        Headline("fid", "FID", 1),
        Headline("flicker", "flicker"),
        Headline("faces_found", "faces found"),
    ),
}
# Figures that are best near 1.
IDEAL_ONE = tuple(line.figure for lines in HEADLINES.values() for line in lines if line.aim == "→ 1")
# Figures that only exist over several cells.
POOLED = ("agreement_pooled", "agreement_truth_pooled", "agreement_pooled_v1", "agreement_truth_pooled_v1")
# What fits a terminal's width.
BRIEF = ("agreement", "gain", "error", "agreement_pooled", "identity_distance", "sharpness_template")
# How the reason of a score begins that has a value all the same; up to its first comma it stands beside the number.
WARNING = "warning: "
FLOOR_CONTROL = "wrong_driver"
# What the cells can be broken down by.
SCOPES = ("database", "emotion", "template")
# The figure by which methods are told apart, and the figures whose p is corrected for the pairs of rows, each by
# itself. These have their columns even if no row has a value: then with the reasons.
RANKED_BY = "agreement"
FAMILY = ("agreement", "gain", "error")
TIED = (
    "Methods that share a number cannot be told apart in {} on these drivers: paired differences by cell, signs flipped"
    " by driver, Holm's correction over all pairs, 5 %."
)
# What the suite's own rows are for, by name.
EXPLAINED = {
    "flow_warp": "the template warped by the driver's measured motion; nothing is learnt: what a network has to beat",
    "still": "the template, unmoved: loved by measures of the picture, worth nothing as motion",
    "still_noise": "the same with camera noise",
    "rigid": "the template moved by the driver's head motion only: must not pay",
    "apex_ramp": "flow_warp's apex, reached and left in straight lines: right place, wrong time",
    "reversed": "flow_warp of the driver played backwards: wrong time",
    "wrong_driver": "flow_warp of another expression, scored against this driver: wrong place",
    "ceiling": "the driver's own motion once more (another draw of noise, or re-encoded): what a perfect copy scores",
    "truth": "the rendered answer: what a perfect method scores",
}


def headlines(run: FinishedRun) -> list[tuple[str, Headline]]:
    """Group and headline of every leaderboard figure that has a value in some row of the run, or is of FAMILY."""
    return [(group, line) for group, line in _known(run) if line.figure in FAMILY or _scored(run, line)]


def left_out(run: FinishedRun, among: Container[str] | None = None) -> list[str]:
    """Return headlines (`among` these figures) that no row has and no column shows, with each row's reason."""
    reasons: dict[str, list[str]] = {}
    shown = {line.figure for _, line in headlines(run)}
    for group, line in _known(run):
        if line.figure not in shown and (among is None or line.figure in among):
            against_truth = "truth" in group + line.figure and "truth" not in line.title
            title = f"{line.title} (truth)" if against_truth else line.title
            reasons.setdefault(_why_absent(run, line.figure), []).append(title)
    return [f"{', '.join(titles)}: {reason}" for reason, titles in reasons.items()]


def _why_absent(run: FinishedRun, figure: str) -> str:
    """Return why no row has a figure: one reason, or several, each with its rows; the last one has the other rows."""
    rows: dict[str, list[str]] = {}
    for method in run.facts.methods:
        rows.setdefault(_own_reason(run, method.label, figure), []).append(method.label)
    *fewer, most = sorted(rows.items(), key=lambda item: len(item[1]))
    told = [f"{reason} ({', '.join(labels)})" for reason, labels in fewer]
    return "; ".join([*told, f"{most[0]} (the others)" if fewer else most[0]])


def _own_reason(run: FinishedRun, label: str, figure: str) -> str:
    """Return why a row lacks a figure: that of a cell with other figures, if any, else its first one."""
    others = [line.figure for _, line in headlines(run)]
    for cell in run.facts.cells:
        found = run.of_cell(label, cell, figure)
        if found is not NOT_SCORED and any(run.of_cell(label, cell, other).value is not None for other in others):
            return found.reason or found.status
    found = run.combined(label, figure)
    return found.reason or found.status


def _known(run: FinishedRun) -> list[tuple[str, Headline]]:
    known = [(group, line) for group, lines in HEADLINES.items() for line in lines if line.figure in run.figures]
    if any(cell.apex_frame is not None for cell in run.facts.cells):
        return known
    # Where nobody coded an apex, the frame that moves most is compared.
    return [(group, dataclasses.replace(line, title=line.title.replace("apex", "most"))) for group, line in known]


def _scored(run: FinishedRun, line: Headline) -> bool:
    return any(run.combined(method.label, line.figure).value is not None for method in run.facts.methods)


def arrow(figure: FigureFacts, aim: str = "") -> str:
    """↑ where higher is better, ↓ where lower is, else what to aim at."""
    return aim or {True: "↑", False: "↓", None: ""}[figure.higher_is_better]


def column(run: FinishedRun, line: Headline, group: str = "") -> Column:
    """The column of a headline, explained by the figure's own description."""
    metric, figure = run.figures[line.figure]
    return Column(
        line.title,
        arrow(figure, line.aim),
        line.decimals,
        explanation(metric, figure),
        group,
        None if line.aim else figure.higher_is_better,
        key=line.figure if group in HEADLINES else f"{line.figure} ({group})",
        brief=line.figure in BRIEF,
    )


def explanation(metric: MetricFacts, figure: FigureFacts) -> str:
    """One paragraph on a figure: what it is, its unit, its range, against what, and by which recipe."""
    low, high = ("" if bound is None else f"{bound:g}" for bound in figure.bounds)
    facts = [
        f"unit {figure.unit}" if figure.unit else "",
        f"range {low or '-∞'} to {high or '∞'}" if low or high else "",
        f"against the {figure.target}" if figure.target and figure.target != "output" else "",
        f"{metric.name} {metric.version}",
    ]
    return f"{figure.title}: {figure.description.rstrip('.')}. ({'; '.join(fact for fact in facts if fact)})"


def entry(found: Found, link: str = "", interval: tuple[float, float] | None = None) -> Entry:
    """A score as a table shows it, with how many of how many cells where some are missing."""
    partial = found.value is not None and found.n_scored is not None and found.n_scored != found.n_cells
    reason = found.reason or found.status
    counts = f"{found.n_scored}/{found.n_cells}" if partial else ""
    if found.value is not None and reason.startswith(WARNING):
        counts = " ".join(filter(None, (counts, reason.removeprefix(WARNING).partition(",")[0])))
    return Entry(found.value, "" if found.value is not None else reason, counts, link, interval=interval)


def leaderboard(run: FinishedRun) -> Table:
    """Return methods, then controls: tied groups, headlines over all cells with intervals, time, experts' means."""
    chosen = headlines(run)
    drawn = {line.figure: intervals(run, line.figure) for _, line in chosen if line.figure not in POOLED}
    ties = groups(compared(run, RANKED_BY))
    tie_column = Column("tied", note=TIED.format(RANKED_BY), brief=True)
    columns = [Column("method"), *([tie_column] if ties else []), *(column(run, line, group) for group, line in chosen)]
    columns.append(
        Column(
            "s/frame",
            "↓",
            3,
            "Seconds per frame when each cell was made; cells taken over from earlier runs keep their time.",
            "Time",
            False,
        )
    )

    def row(method: MethodFacts) -> tuple[Entry, ...]:
        scores = (
            entry(run.combined(method.label, line.figure), interval=drawn.get(line.figure, {}).get(method.label))
            for _, line in chosen
        )
        tie = [ties.get(method.label, Entry(""))] if ties else []
        return (Entry(method.label), *tie, *scores, _time(method))

    board = Table("Leaderboard: means over cells", tuple(columns), _sections(run, row))
    return marked(run, with_experts(run, board))


def _time(method: MethodFacts) -> Entry:
    """Return a row's seconds per frame; none for outputs made elsewhere, which are only read here."""
    if method.name == "outputs":
        return Entry(None, "made elsewhere; only read here")
    return Entry(method.seconds_per_frame, "not timed")


def brief(run: FinishedRun) -> Table:
    """Return the leaderboard for a terminal of 100 columns; without any of its figures, with the first there are."""
    scored = headlines(run)
    chosen = [(group, line) for group, line in scored if line.figure in BRIEF] or scored[: len(BRIEF)]
    columns = (Column("method"), *(column(run, line, group) for group, line in chosen))

    def row(method: MethodFacts) -> tuple[Entry, ...]:
        return (Entry(method.label), *(entry(run.combined(method.label, line.figure)) for _, line in chosen))

    lost = tuple(f"Left out: {line}." for line in left_out(run, BRIEF))
    if not chosen:
        lost += (
            f"Of {', '.join(metric.name for metric in run.facts.metrics)} no figure stands here; scores.csv has all.",
        )
    return marked(run, Table("Leaderboard: means over cells", columns, _sections(run, row), lost))


def _sections(run: FinishedRun, row: Callable[[MethodFacts], tuple[Entry, ...]]) -> tuple[Section, ...]:
    parts = (("Methods", run.methods), ("Controls", run.controls))
    return tuple(Section(heading, tuple(row(method) for method in methods)) for heading, methods in parts if methods)


def breakdown(run: FinishedRun, scope: str) -> Table:
    """Return agreement, gain and error of every row for each database, emotion or template in turn."""
    chosen = [line for _, line in headlines(run) if line.figure in FAMILY]
    groups = run.groups(scope)
    columns = (Column("method"), *(column(run, line, group) for group in groups for line in chosen))

    def row(method: MethodFacts) -> tuple[Entry, ...]:
        found = (run.combined(method.label, line.figure, scope, group) for group in groups for line in chosen)
        return (Entry(method.label), *map(entry, found))

    return marked(run, Table(f"By {scope}", columns, _sections(run, row)))


def all_figures(run: FinishedRun) -> Table:
    """Return every figure of every metric: a row each, a column per method and control, and what it means."""
    labels = [method.label for method in (*run.methods, *run.controls)]
    columns = (Column("figure"), *(Column(label) for label in labels))

    def rows(metric: MetricFacts) -> tuple[tuple[Entry, ...], ...]:
        return tuple(
            (
                Entry(f"{figure.name} {arrow(figure)}".rstrip(), remark=figure.unit),
                *(entry(run.over_all(label, metric, figure)) for label in labels),
            )
            for figure in metric.figures
        )

    sections = tuple(Section(f"{m.name} {m.version}", rows(m)) for m in run.facts.metrics)
    return marked(run, Table("All figures, means over cells", columns, sections))


def notes(run: FinishedRun) -> list[tuple[MetricFacts, list[str]]]:
    """Every metric with a paragraph on each of its figures."""
    return [
        (metric, [explanation(metric, figure) + selfcheck.sentence(metric, figure) for figure in metric.figures])
        for metric in run.facts.metrics
    ]


def explained(run: FinishedRun) -> list[tuple[str, str]]:
    """Return the rows of this run that belong to the suite itself, each with its purpose."""
    return [(method.label, EXPLAINED[method.name]) for method in run.facts.methods if method.name in EXPLAINED]


def floor(run: FinishedRun, figure: str = "agreement") -> float | None:
    """The 95th percentile of the wrong-driver control's cells: what motion of the wrong expression can score by chance.

    None where that control did not run or scored no cell.
    """
    values = run.cell_values(FLOOR_CONTROL, figure)
    return float(np.percentile(values, 95)) if values else None


def above_ceiling(run: FinishedRun, figure: str = "agreement") -> list[str]:
    """Labels of the methods that pass the ceiling made of recordings; [] for rendered drivers and without it."""
    if all(method.label != "ceiling" for method in run.facts.methods) or any(cell.rendered for cell in run.facts.cells):
        return []
    bar = run.combined("ceiling", figure).value
    found = {method.label: run.combined(method.label, figure).value for method in run.methods}
    return [label for label, value in found.items() if bar is not None and value is not None and value > bar]


def why_no_floor(run: FinishedRun) -> str:
    """Why the floor is absent, "" where there is one."""
    if floor(run) is not None:
        return ""
    if all(method.label != FLOOR_CONTROL for method in run.facts.methods):
        drivers = len({cell.driver for cell in run.facts.cells})
        return "there is only one driver" if drivers == 1 else f"the control {FLOOR_CONTROL} is not in this run"
    return f"no cell of the control {FLOOR_CONTROL} has a score"


def under_floor(run: FinishedRun, figure: str = "agreement") -> list[str]:
    """Labels of the methods that do not pass the floor; [] where there is none."""
    bar = floor(run, figure)
    found = {method.label: run.combined(method.label, figure).value for method in run.methods}
    return [label for label, value in found.items() if bar is not None and value is not None and value <= bar]
