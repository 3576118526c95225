"""What magnifying motion around a method changes (`NAME:magnify=K`): each such row beside the one without it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from megbench.reports.run_facts import MethodFacts
from megbench.reports.run_files import FinishedRun
from megbench.reports.table import Column, Entry, Section, Table

FIGURES = ("agreement", "gain", "error")
# Changes of agreement and error that are smaller than this are ignored.
ALIKE = 0.01
KEY = (
    f"Magnification helps if agreement rises or error falls by {ALIKE:g} or more and the other does not worsen by as"
    f" much; it hurts if agreement falls or error rises by {ALIKE:g} or more and the other does not improve by as much."
    " Smaller changes are ignored."
)
# Entries of a method's identity that come from the suite's own code: these differ once the method is wrapped.
CODE = ("source", "packages", "magnify")


@dataclass(frozen=True)
class Beside:
    """A row with motion magnified around its method, and the row of the method itself."""

    plain: str
    label: str
    factor: float


def factor_of(method: MethodFacts) -> float:
    """Return the factor by which motion is magnified around a row's method, 1 if it is not magnified."""
    done = method.identity.get("magnify")
    factor = done.get("factor") if isinstance(done, dict) else None
    return float(factor) if isinstance(factor, int | float) else 1.0


def pairs(run: FinishedRun) -> list[Beside]:
    """Return each row with magnified motion whose method itself is also a row of the run."""
    plain = [method for method in run.facts.methods if factor_of(method) == 1]
    return [
        Beside(own[0].label, method.label, factor_of(method))
        for method in run.facts.methods
        if factor_of(method) != 1 and (own := [other for other in plain if _alike(other, method)])
    ]


def _alike(one: MethodFacts, other: MethodFacts) -> bool:
    return (one.name, one.variant, _own(one)) == (other.name, other.variant, _own(other))


def _own(method: MethodFacts) -> dict[str, object]:
    return {name: value for name, value in method.identity.items() if name not in CODE}


def reading(run: FinishedRun) -> list[str]:
    """Return a sentence for each method, saying what magnifying its motion changes here and whether it helps, then KEY.

    Return [] if no method was run with magnified motion.
    """
    sentences = [_sentence(run, plain, found) for plain, found in _by_method(run)]
    return [*sentences, KEY] if sentences else []


def _sentence(run: FinishedRun, plain: str, found: list[Beside]) -> str:
    before = _values(run, plain)
    changes = []
    for pair in found:
        after = _values(run, pair.label)
        if before is None or after is None:
            changes.append(f"{pair.factor:g} times cannot be compared")
        else:
            changes.append(f"{pair.factor:g} times {_verdict(before, after)} ({_shown(after)})")
    return f"{plain} ({_shown(before) if before else 'not scored'}): magnifying the motion {'; '.join(changes)}."


def _shown(values: tuple[float, ...]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in zip(FIGURES, values, strict=True))


def _verdict(before: tuple[float, ...], after: tuple[float, ...]) -> str:
    """Return in words whether agreement and error stay the same, improve, worsen, or change in opposite directions."""
    better = [after[0] - before[0], before[2] - after[2]]
    if max(map(abs, better)) < ALIKE:
        return "changes nothing"
    if min(better) > -ALIKE:
        return "helps"
    return "hurts" if max(better) < ALIKE else "improves one of agreement and error but worsens the other"


def magnified_table(run: FinishedRun) -> Table | None:
    """Return agreement, gain and error by method and factor, or None for a run without rows to compare."""
    methods = list(_by_method(run))
    if not methods:
        return None
    factors = sorted({pair.factor for _, found in methods for pair in found} | {1.0})
    columns = (
        Column("method"),
        *(Column(f"K = {factor:g}", group=name) for name in FIGURES for factor in factors),
    )
    rows = []
    for plain, found in methods:
        labels = {1.0: plain, **{pair.factor: pair.label for pair in found}}
        rows.append((Entry(plain), *(_entry(run, labels.get(factor), name) for name in FIGURES for factor in factors)))
    return Table("Motion magnified around methods", columns, (Section("", tuple(rows)),))


def _by_method(run: FinishedRun) -> Iterator[tuple[str, list[Beside]]]:
    everything = pairs(run)
    for plain in dict.fromkeys(pair.plain for pair in everything):
        yield plain, sorted((pair for pair in everything if pair.plain == plain), key=lambda pair: pair.factor)


def _entry(run: FinishedRun, label: str | None, figure: str) -> Entry:
    if label is None:
        return Entry(None, "no row with this factor")
    found = run.combined(label, figure)
    short = "" if found.n_scored == found.n_cells else f"{found.n_scored}/{found.n_cells}"
    return Entry(found.value, found.reason, remark=short)


def _values(run: FinishedRun, label: str) -> tuple[float, ...] | None:
    values = [run.combined(label, name).value for name in FIGURES]
    known = tuple(value for value in values if value is not None)
    return known if len(known) == len(values) else None
