"""What each figure rewards: its values for a still face, noise, wrong motions and the truth, and which is best."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from megbench.core.figures import Figure
from megbench.reports.headlines import entry
from megbench.reports.run_facts import MetricFacts
from megbench.reports.run_files import FinishedRun
from megbench.reports.table import Column, Entry, Section, Table

TRUTH, STILL = "truth", "still"
# Controls that show no motion or a wrong one, and the ground truth.
COMPARED = (STILL, "still_noise", "rigid", "wrong_driver", "reversed", TRUTH)
DECIMALS = 3
# Dozens of figures that differ only in their action unit.
TRACK = re.compile(r"_track_AU")
NOTE = (
    "Values are means over cells. The best row is the one nearest to the figure's ideal; rows that are equal to three"
    " decimal places tie for best. Figures without an ideal and figures of single action units are not listed."
)


@dataclass(frozen=True)
class Reward:
    """One figure, and the labels of the best rows, () unless at least two have a value."""

    figure: Figure
    best: tuple[str, ...]


def rewards(run: FinishedRun) -> list[Reward]:
    """Return the rows that are best in each figure of the table of rewards, in the table's order."""
    return [Reward(figure, best(figure, values(run, metric, figure))) for metric, figure in _measured(run)]


def compared(run: FinishedRun) -> list[str]:
    """Return the labels of COMPARED that the run has; [] if it lacks the still face or has nothing else."""
    there = {method.label for method in run.facts.methods}
    found = [label for label in COMPARED if label in there]
    return found if STILL in found and len(found) > 1 else []


def values(run: FinishedRun, metric: MetricFacts, figure: Figure) -> dict[str, float]:
    """Return a figure over all cells by label, for the rows that have it."""
    found = {label: run.over_all(label, metric, figure).value for label in compared(run)}
    return {label: value for label, value in found.items() if value is not None}


def best(figure: Figure, of: Mapping[str, float]) -> tuple[str, ...]:
    """Return which of two or more rows come nearest to the figure's ideal, to three decimals."""
    distances = {label: round(figure.distance(round(value, DECIMALS)), DECIMALS) for label, value in of.items()}
    return tuple(label for label, far in distances.items() if len(of) > 1 and far == min(distances.values()))


def rewards_table(run: FinishedRun) -> Table | None:
    """Return the table of rewards with a row for each figure, or None for a run without controls to compare."""
    labels = compared(run)
    if not labels:
        return None

    def row(metric: MetricFacts, figure: Figure) -> tuple[Entry, ...]:
        name = Entry(f"{figure.name} {figure.arrow}".rstrip(), remark=figure.unit)
        # Warnings, such as counts of pictures, would make every column too wide.
        found = (entry(replace(run.over_all(label, metric, figure), warning="")) for label in labels)
        first = best(figure, values(run, metric, figure))
        last = Entry(", ".join(first)) if first else Entry(None, "fewer than two rows have a value")
        return (name, *found, Entry(figure.ideal), last)

    columns = (
        Column("figure"),
        *(Column(label, decimals=DECIMALS) for label in labels),
        Column("ideal", decimals=0),
        Column("best"),
    )
    shown: dict[str, list[tuple[Entry, ...]]] = {}
    for metric, figure in _measured(run):
        shown.setdefault(f"{metric.name} {metric.version}", []).append(row(metric, figure))
    sections = tuple(Section(heading, tuple(rows)) for heading, rows in shown.items())
    return Table("What each figure rewards", columns, sections, (NOTE, *_left_out(run)))


def asked(figure: Figure) -> bool:
    """Return whether the table of rewards shows a figure: it has an ideal and is not about a single action unit."""
    return figure.ideal is not None and not TRACK.search(figure.name)


def _measured(run: FinishedRun) -> list[tuple[MetricFacts, Figure]]:
    """Return the table's figures that any compared row has, each with its metric."""
    every = ((metric, figure) for metric in run.facts.metrics for figure in filter(asked, metric.figures))
    return [(metric, figure) for metric, figure in every if values(run, metric, figure)]


def _left_out(run: FinishedRun) -> list[str]:
    """Return a sentence on each metric with figures that no compared row has, saying which figures and why."""
    measured, sentences = [figure for _, figure in _measured(run)], []
    for metric in run.facts.metrics:
        lost = [figure for figure in filter(asked, metric.figures) if figure not in measured]
        if not lost:
            continue
        some = "" if all(figure in lost for figure in filter(asked, metric.figures)) else " in part"
        names = f" ({', '.join(figure.name for figure in lost)})" if some else ""
        reason = run.over_all(compared(run)[0], metric, lost[0]).reason
        sentences.append(f"Without a value here{some}: {metric.name}{names}: {reason}.")
    return sentences


def summary(run: FinishedRun) -> list[str]:
    """Return sentences on how often the truth is best, and on the figures in which a control is as good or better.

    Return [] for a run without a truth or without controls to compare.
    """
    if TRUTH not in compared(run):
        return []
    judged = [reward for reward in rewards(run) if reward.best]
    alone = [reward for reward in judged if reward.best == (TRUTH,)]
    shared = [reward for reward in judged if TRUTH in reward.best and reward not in alone]
    beaten = [reward for reward in judged if TRUTH not in reward.best]
    still = [reward for reward in judged if STILL in reward.best]
    return [
        f"The truth alone is best in {len(alone)} of {len(judged)} figures.",
        *_listed("It shares the best value with a control in", shared),
        *_listed("A control is better than the truth in", beaten),
        *_listed("A still face is best, alone or with others, in", still),
    ]


def _listed(start: str, found: list[Reward]) -> list[str]:
    """Return a sentence that names figures, or [] if there are none."""
    return [f"{start} {len(found)}: {', '.join(reward.figure.name for reward in found)}."] if found else []
