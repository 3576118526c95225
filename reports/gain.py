"""Does animated data help a recogniser? UF1 and UAR with and without such data, leaving out one person at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from megbench.core.confusion import Recognition, by_chance, constant, uar, uf1
from megbench.core.errors import plural
from megbench.core.paired_recognition import FIGURES
from megbench.core.statistics import FEWEST_CLUSTERS, LEAST_P, LEVEL, Interval
from megbench.reports.environment import TEMPLATES, environment
from megbench.reports.gained import EPOCHLESS, LEAK, Compared, Gain, GainRow, Kind, differences
from megbench.reports.intervals import with_interval
from megbench.reports.table import Column, Entry, Section, Table

HEADINGS: Mapping[Kind, str] = {"real": "Real clips", "control": "Controls", "generator": "Generators"}
TITLE = "Recognition gain"
WHAT = (
    "For each person in turn, a recogniser is trained without that person and then labels the person's clips. UF1 and"
    " UAR come from one confusion matrix of all predictions (MEGC2019). Every row is trained on the same real clips;"
    " all rows except the first are also trained on copies of them, made only from clips of the same fold."
)
INTERVALS = (
    f"Intervals ({LEVEL:.0%}) are computed by resampling people with their clips. With fewer than {FEWEST_CLUSTERS}"
    " people there is no interval."
)
STILL = (
    "Still copies repeat the template. They show no motion but are labelled with the clip's emotion, so any change due"
    " to them comes from the larger amount of training data (more steps, another scale). A generator must therefore"
    " also beat the still copies and the mirror."
)
HOW = (
    "First minus second, over the clips that both rows label. The intervals beside values resample people. The p-value"
    ' comes from exchanging the two rows\' predictions by person; "p, Holm" holds for all pairs in this table together,'
    " separately for UF1 and UAR."
)


def gain_tables(gain: Gain, show_leak: bool) -> dict[str, Table]:
    """Return the scores and the paired differences by file name."""
    return {"gain": _scores(gain, show_leak), "gain_differences": _differences(gain)}


def gain_page(tables: Sequence[Table]) -> str:
    """Return the page, which loads nothing else and shows no face."""
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    return environment().get_template("tables.html.j2").render(title=TITLE, tables=tables, style=style)


def _scores(gain: Gain, show_leak: bool) -> Table:
    last = "" if gain.epochs is None else f", after {plural(gain.epochs, 'epoch')}"
    columns = [
        Column("learned from"),
        Column("UF1", "↑", 3, f"Mean over the classes of F1, from one matrix over all folds{last}.", brief=True),
        Column("UAR", "↑", 3, "Mean over the classes of the share recognised, from the same matrix.", brief=True),
        Column(
            "copies",
            "",
            0,
            "Copies from which a fold learns in addition to the real clips, mean over folds.",
            brief=True,
        ),
    ]
    if gain.seeds > 1:
        columns.insert(3, Column("UF1 of seeds", "", 3, "Lowest and highest UF1 among the seeds."))
    if show_leak:
        group = "Not a result"
        columns += [
            Column("UF1 of best test epoch", "", 3, LEAK, group, key="leak_uf1"),
            Column("UAR of best test epoch", "", 3, LEAK, group, key="leak_uar"),
            Column("UF1 too high by", "", 3, "Best test epoch minus last epoch.", group, key="leak"),
        ]
    sections = [
        Section(heading, tuple(_score_entries(gain, row, show_leak) for row in gain.rows if row.kind == kind))
        for kind, heading in HEADINGS.items()
    ]
    sections.append(Section("Trivial baselines", tuple(_without_looking(gain, len(columns)))))
    return Table(TITLE, tuple(columns), tuple(s for s in sections if s.rows), tuple(_footnotes(gain, show_leak)))


def _score_entries(gain: Gain, row: GainRow, show_leak: bool) -> tuple[Entry, ...]:
    score = gain.score(row.answers)
    given = int((row.answers >= 0).all(0).sum())
    remark = f"{given}/{len(gain.true)}" if given < len(gain.true) else ""
    copies = Entry("") if row.kind == "real" else Entry(float(np.mean(row.added)))
    entries = [Entry(row.name, remark=", ".join(row.marks))]
    entries += [_drawn(interval, row.reason, remark) for interval in (score.uf1, score.uar)]
    if gain.seeds > 1:
        ends = [f"{end:.3f}" for end in (min(score.of_seeds), max(score.of_seeds))] if score.of_seeds else []
        entries.append(Entry(" to ".join(ends) or None, row.reason or score.uf1.reason))
    entries.append(copies)
    return (*entries, *(_leak(gain, row, score) if show_leak else ()))


def _drawn(found: Interval, reason: str, remark: str) -> Entry:
    if found.value is None:
        return Entry(None, reason or found.reason)
    ends = (found.low, found.high) if found.low is not None and found.high is not None else None
    return Entry(found.value, remark=remark, interval=ends)


def _leak(gain: Gain, row: GainRow, honest: Recognition) -> tuple[Entry, ...]:
    if row.habit is None:
        return (Entry(None, EPOCHLESS if gain.epochs is None else row.reason),) * 3
    found = gain.score(row.habit)
    if found.uf1.value is None or honest.uf1.value is None:
        return (Entry(None, row.reason or found.uf1.reason),) * 3
    return Entry(found.uf1.value), Entry(found.uar.value), Entry(found.uf1.value - honest.uf1.value)


def _without_looking(gain: Gain, width: int) -> Iterator[tuple[Entry, ...]]:
    shown = np.bincount(gain.true, minlength=len(gain.classes))
    most = int(shown.argmax())
    for name, counts in ((f"always {gain.classes[most]}", constant(shown, most)), ("chance", by_chance(shown))):
        yield Entry(name), Entry(float(uf1(counts))), Entry(float(uar(counts))), *[Entry("")] * (width - 3)


def _footnotes(gain: Gain, show_leak: bool) -> Iterator[str]:
    yield WHAT
    data = "; ".join(
        f"{name}: {plural(clips, 'clip')} of {plural(people, 'person', 'people')}"
        for name, (clips, people) in gain.databases.items()
    )
    shown = np.bincount(gain.true, minlength=len(gain.classes))
    counts = ", ".join(f"{count} {name}" for name, count in zip(gain.classes, shown, strict=True))
    yield f"{data} ({counts}); {len(set(gain.people))} folds, each with at most {_copies(gain.templates)} of a clip."
    epochs = f", {plural(gain.epochs, 'epoch')}, of which the last is used" if gain.epochs else ""
    yield (
        f"Recogniser: {gain.recogniser}{epochs}, {plural(gain.seeds, 'seed')}, the same for all"
        " rows. Nothing is selected on the clips of a held-out person."
    )
    yield from (INTERVALS, STILL)
    if show_leak:
        yield LEAK
    yield from _marks(gain)
    yield from (f"{row.name}: {note}." for row in gain.rows for note in row.notes)
    yield from (f"{note[:1].upper()}{note[1:]}." for note in gain.notes)


def _copies(number: int) -> str:
    return f"{number} copies" if number > 1 else "one copy"


def _marks(gain: Gain) -> list[str]:
    """Return a line for each mark: the rows, the word and the sentence."""
    rows: dict[tuple[str, str], list[str]] = {}
    for row in gain.rows:
        for mark in row.marks.items():
            rows.setdefault(mark, []).append(row.name)
    return [f"{', '.join(names)} ({word}): {sentence}" for (word, sentence), names in rows.items()]


def _differences(gain: Gain) -> Table:
    columns = (
        Column("pair"),
        *(
            column
            for figure in ("UF1", "UAR")
            for column in (
                Column("difference", "", 3, "First minus second.", figure, key=f"{figure.lower()}_difference"),
                Column(
                    "p",
                    "↓",
                    3,
                    "Predictions exchanged by person, for this pair alone.",
                    figure,
                    key=f"{figure.lower()}_p",
                ),
                Column("p, Holm", "↓", 3, "For all pairs of this table.", figure, key=f"{figure.lower()}_p_holm"),
            )
        ),
        *(Column("clips", "", 0), Column("people", "", 0)),
    )
    found = differences(gain)
    marks = {row.name: ", ".join(row.marks) for row in gain.rows}
    sections: dict[str, list[tuple[Entry, ...]]] = {}
    for pair, one in found["uf1"].items():
        n, people = one.difference.n, one.difference.n_clusters
        numbers = [
            entry
            for figure in FIGURES
            for of in (found[figure][pair],)
            for entry in (with_interval(of.difference, 3), *(_p(p, of.difference) for p in (of.p, of.p_adjusted)))
        ]
        remark = "; ".join(dict.fromkeys(filter(None, (marks[name] for name in pair))))
        line = (Entry(pair[0], remark=remark), *numbers, Entry(float(n)), Entry(float(people)))
        sections.setdefault(f"minus {pair[1]}", []).append(line)
    made = tuple(Section(heading, tuple(rows)) for heading, rows in sections.items())
    return Table("Paired differences", columns, made, (HOW, *_untestable(found), *_marks(gain)))


def _p(p: float | None, difference: Interval) -> Entry:
    """Return a p-value, shown as "< 0.001" if it is smaller, or the reason if there is none."""
    return Entry(p, difference.reason or "fewer than two people: no test", least=LEAST_P)


def _untestable(found: Mapping[str, Compared]) -> list[str]:
    """Return why no test could separate any two rows, or [] if some test could."""
    pairs = list(found["uf1"].values())
    tested = [pair for pair in pairs if pair.p_least is not None]
    if not tested or any(pair.testable() for pair in tested):
        return []
    people = max(pair.difference.n_clusters for pair in tested)
    least = min(pair.p_least or 1.0 for pair in tested)
    return [
        f"No test could separate these rows: with {people} people and {plural(len(pairs), 'pair')}, p, Holm >="
        f" {least:.3f}."
    ]
