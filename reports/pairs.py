"""Tables of people's answers to pairs: strengths of methods, pairs of methods, raters' consistency, and metrics."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from megbench.core.errors import plural
from megbench.core.statistics import LEVEL
from megbench.experts.pairs import FILE, PairJudgement, first_answers, read_pairs, repeated
from megbench.experts.preferences import Compared, Strengths, fit
from megbench.experts.two_way import share_interval
from megbench.reports.intervals import with_interval
from megbench.reports.marks import marked
from megbench.reports.metric_agreement import TRACK
from megbench.reports.run_files import FinishedRun
from megbench.reports.table import Column, Entry, Section, Table

STRENGTH = (
    "Strength is the logarithm of a method's worth in the model of Bradley and Terry with Davidson's ties, in which the"
    " frequency of ties is also estimated and a tie pulls two strengths together. The strengths of these methods sum to"
    " 0. If one method is stronger than another by 1, people who see a difference prefer it 2.7 times as often as the"
    " other."
)
CLUSTERED = (
    f"Intervals are {LEVEL:.0%} intervals, clustered by rater and by driver. With fewer than five of either there is"
    " no interval."
)
ONCE = "If a rater was asked about a pair twice, only the first answer counts."
ALIKE = (
    '"Ordered alike" is the share of the answers preferring one of two outputs for which the figure, too, is nearer'
    ' to its ideal for the preferred output. A tie of the figure counts half, and chance is 0.5. Answers of "no'
    ' difference" do not count, nor do pairs in which an output lacks the figure. Pooled figures have no order within'
    " a cell and are left out."
)
REPEATS = (
    '"Answered alike" is the share of the pairs asked about twice, with sides exchanged, that received the same'
    ' answer. "Left" is the share of the answers preferring one output that prefer the left one, over all questions;'
    " a share far from 0.5 indicates a habit."
)


def pairs_tables(run: FinishedRun, everything: bool = False) -> dict[str, Table]:
    """Return the tables of answers to pairs by file name, or {} if the run has no answers.

    everything: show tracks of single action units too.
    """
    if not (run.folder / FILE).exists():
        return {}
    judgements = read_pairs(run.folder / FILE)
    tables = {
        "people_strengths": strengths_table(judgements),
        "people_pairs": met_table(judgements),
        "people_raters": raters_table(judgements),
        "metrics_against_people": metrics_against_people(run, judgements, everything),
    }
    # No method is named in the table of raters.
    return {name: table if name == "people_raters" else marked(run, table) for name, table in tables.items()}


@functools.lru_cache(maxsize=2)  # two tables show the same fit
def _fitted(judgements: tuple[PairJudgement, ...]) -> tuple[list[str], Strengths]:
    """Return the methods, strongest first if there are strengths, and the fit with the methods in that order."""
    methods = sorted({method for judgement in judgements for method in judgement.pair.methods})
    found = fit(_compared(judgements, methods), len(methods))
    if found.values is not None:
        methods = [methods[place] for place in np.argsort(-found.values, kind="stable")]
    return methods, fit(_compared(judgements, methods), len(methods))


def _compared(judgements: Iterable[PairJudgement], methods: Sequence[str]) -> list[Compared]:
    place = {method: number for number, method in enumerate(methods)}
    outcome = {"left": 1, "right": -1, "same": 0}
    return [
        Compared(place[each.left], place[each.right], outcome[each.answer], each.rater, each.driver)
        for each in first_answers(judgements)
    ]


def _counts(judgements: Iterable[PairJudgement], method: str) -> tuple[int, int, int]:
    """Return how often a method was preferred, judged to be no different, and not preferred."""
    mine = [each.preferred for each in judgements if method in each.pair.methods]
    return mine.count(method), mine.count(None), sum(preferred not in (method, None) for preferred in mine)


def strengths_table(judgements: Sequence[PairJudgement]) -> Table:
    """Return the strengths with intervals, the strongest first, and the answers from which they are computed."""
    methods, found = _fitted(tuple(judgements))
    first = first_answers(judgements)
    raters, drivers = {each.rater for each in first}, {each.driver for each in first}
    columns = (
        Column("method"),
        Column("strength", "↑", 2, STRENGTH, "", True),
        Column("preferred", "", 0, "Answers that prefer this method.", "Answers"),
        Column("no difference", "", 0, 'Answers of "no difference".', "Answers"),
        Column("not preferred", "", 0, "Answers that prefer the other method.", "Answers"),
    )
    rows = tuple(
        (Entry(method), with_interval(found.of(number), 2), *(Entry(float(n)) for n in _counts(first, method)))
        for number, method in enumerate(methods)
    )
    asked = f"{plural(len(first), 'answer')} of {plural(len(raters), 'rater')} on {plural(len(drivers), 'driver')}."
    return Table("Pairwise comparisons by people", columns, (Section("", rows),), (asked, STRENGTH, CLUSTERED, ONCE))


def met_table(judgements: Sequence[PairJudgement]) -> Table:
    """Return how much stronger the first method of each pair is, with its interval, and the answers about the pair."""
    methods, found = _fitted(tuple(judgements))
    first = first_answers(judgements)
    columns = (
        Column("pair"),
        Column("difference in strength", "", 2, STRENGTH, "", True),
        Column("first preferred", "", 0, "", "Answers"),
        Column("no difference", "", 0, "", "Answers"),
        Column("second preferred", "", 0, "", "Answers"),
    )
    rows = []
    for (i, one), (j, other) in itertools.combinations(enumerate(methods), 2):
        both = [each for each in first if set(each.pair.methods) == {one, other}]
        entries = (Entry(float(n)) for n in _counts(both, one))
        rows.append((Entry(f"{one} - {other}"), with_interval(found.difference(i, j), 2), *entries))
    return Table("Pairs of methods, compared by people", columns, (Section("", tuple(rows)),), (CLUSTERED, ONCE))


def raters_table(judgements: Sequence[PairJudgement]) -> Table:
    """Return each rater's answers and consistency, and those of all raters with intervals."""
    columns = (
        Column("rater"),
        Column("answers", "", 0, "With repeats."),
        Column("no difference", "", 2, "Share of the answers."),
        Column("left", "→ 0.5", 2, REPEATS),
        Column("answered alike", "↑", 2, REPEATS, "", True),
        Column("repeats", "", 0, "Pairs about which the rater was asked twice."),
    )
    raters = list(dict.fromkeys(each.rater for each in judgements))
    parts = [(rater, [each for each in judgements if each.rater == rater]) for rater in raters]
    rows = tuple(_rater_row(name, mine) for name, mine in [*parts, ("all", list(judgements))])
    return Table("Raters", columns, (Section("", rows),), (REPEATS, CLUSTERED))


def _rater_row(name: str, judgements: Sequence[PairJudgement]) -> tuple[Entry, ...]:
    """Return the row of one rater, or of several, in which case its shares have intervals."""
    twice = repeated(judgements)
    decided = [each for each in judgements if each.preferred is not None]
    kept = [
        _share([float(each.preferred is None) for each in judgements], judgements, ""),
        _share([float(each.answer == "left") for each in decided], decided, "no answer prefers either output"),
        _share(
            [float(a.preferred == b.preferred) for a, b in twice],
            [a for a, _ in twice],
            "no pair was asked about twice",
        ),
    ]
    return (Entry(name), Entry(float(len(judgements))), *kept, Entry(float(len(twice))))


def _share(values: Sequence[float], of: Sequence[PairJudgement], none: str) -> Entry:
    found = share_interval(values, [each.rater for each in of], [each.driver for each in of], none=none)
    if found.value is None or found.low is None:
        return Entry(found.value, found.reason if found.value is None else "")
    return with_interval(found, 2)


def metrics_against_people(run: FinishedRun, judgements: Sequence[PairJudgement], everything: bool = False) -> Table:
    """Return how often each figure that has an ideal orders two outputs as people do."""
    decided = [each for each in first_answers(judgements) if each.preferred is not None]
    sided = [name for name, (_, figure) in run.figures.items() if figure.ideal is not None]
    shown = [name for name in sided if run.figures[name][1].pooling != "pooled"]
    folded = [] if everything else [name for name in shown if TRACK.search(name)]
    rows = tuple(_metric_row(run, name, decided) for name in shown if name not in folded)
    columns = (
        Column("figure"),
        Column("ordered alike", "↑", 2, ALIKE, "", True),
        Column("answers", "", 0, "Answers that prefer one of two outputs that both have the figure."),
        Column("ties", "", 0, "Of these, the answers about two outputs with equal values of the figure."),
    )
    notes = [ALIKE, CLUSTERED, ONCE]
    if folded:
        notes.append(f"Folded: {len(folded)} tracks of single action units; --all and the CSV table show them.")
    kept = tuple(row for row in rows if row[2].value)
    if without := [str(row[0].value) for row in rows if not row[2].value]:
        notes.append(f"Left out, because no answer prefers one of two outputs that have it: {', '.join(without)}.")
    if unsided := [name for name in run.figures if name not in sided]:
        notes.append(f"Left out, because neither higher nor lower values are better: {', '.join(unsided)}.")
    return Table("Metrics against pairwise comparisons by people", columns, (Section("", kept),), tuple(notes))


def _metric_row(run: FinishedRun, name: str, decided: Sequence[PairJudgement]) -> tuple[Entry, ...]:
    cells = {cell.name: cell for cell in run.facts.cells}
    figure = run.figures[name][1]
    alike, of = [], []
    for each in decided:
        cell = cells.get(each.pair.cell)
        if cell is None:
            continue
        left, right = (run.of_cell(label, cell, name).value for label in (each.left, each.right))
        if left is None or right is None:
            continue
        nearer = figure.distance(right) - figure.distance(left)
        signed = nearer if each.answer == "left" else -nearer
        alike.append(0.5 + 0.5 * float(np.sign(signed)))
        of.append(each)
    raters, drivers = [each.rater for each in of], [each.driver for each in of]
    found = share_interval(alike, raters, drivers, none="no answer prefers one of two outputs that have it")
    return (Entry(figure.aimed), with_interval(found, 2), Entry(float(len(of))), Entry(float(alike.count(0.5))))
