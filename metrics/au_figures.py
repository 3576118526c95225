"""The figures of the action unit detectors: the same set for each detector, with the detector's name as prefix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from megbench.core.figures import Figure
from megbench.metrics.au_scores import TOP, Detector

# Short titles of the figures in the leaderboard.
SHORT = {
    "cosine": "onset to apex",
    "track": "AU over time",
    "icc": "ICC",
    "leakage": "leakage",
    "coverage": "coverage",
}
# Properties shared by most figures, which are cosines or correlations.
CORRELATION: dict[str, Any] = {"ideal": 1, "bounds": (-1, 1)}


def figures_of(name: str, detector: Detector, group: str = "", brief: str = "") -> tuple[Figure, ...]:
    """Return the figures of one detector. `group`: the leaderboard's group for the main ones, if any.

    brief: the figure that a terminal shows whenever it is measured, or "" for none.
    """

    def figure(part: str, title: str, text: str, **facts: Any) -> Figure:
        facts = {"target": "driver", **facts, "description": f"{text.strip()} ({detector.recipe})"}
        if group and part in SHORT:
            facts |= {"short": SHORT[part], "group": group, "brief": part == brief}
        return Figure(f"{name}_{part}", f"{detector.title}, {title}", detector=detector.word, **facts)

    def overall(target: str, suffix: str, words: str) -> Iterator[Figure]:
        for part, text, facts in _overall(target, detector):
            yield figure(f"{part}{suffix}", f"{part}{words}", text, **facts, target=target)

    only = [figure("moving", "units that move", "Number of units that the driver moves.", ideal=None, bounds=(0, None))]
    if not detector.course_only:
        half = "The same cosine, over the units of the {} face only."
        text = f"Share of the units coded by the database that are among the output's {TOP} strongest."
        only = [
            figure("upper", "upper face", half.format("upper"), still=0, **CORRELATION),
            figure("lower", "lower face", half.format("lower"), still=0, **CORRELATION),
            figure("coded_hits", "coded units", text, ideal=1, still=0, bounds=(0, 1)),
            *only,
        ]
    if detector.apart:
        text = f"Track PCC of {', '.join(detector.apart)} alone, which the other figures exclude."
        only.append(figure("lids", "eyelids", text, **CORRELATION))
    each = (
        figure(
            f"track_{unit}",
            f"track of {unit}",
            f"PCC over time between the output's {unit} and the driver's.",
            **CORRELATION,
        )
        for unit in detector.units
    )
    return (*overall("driver", "", ""), *overall("truth", "_truth", " with truth"), *only, *each)


def _overall(target: str, detector: Detector) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield, for each figure over all units, the middle part of its name, its description and its properties.

    Figures that compare sizes are included only if the detector's scale allows it.
    """
    if not detector.course_only:
        yield from _sizes(target, detector)
    text = f"Pearson correlation over time, averaged over the units that the {target} moves."
    text = f"{text} {detector.caveat}" if detector.course_only else text
    yield "track", text, CORRELATION
    if not detector.course_only:
        yield from _course_and_size(target, detector)
    text = f"Share of the units moved by the {target} for which a track PCC is defined."
    yield "coverage", text, {"ideal": None, "still": 0, "bounds": (0, 1)}


def _sizes(target: str, detector: Detector) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the figures of the change from onset to apex."""
    change = f"change from onset to apex of all units, output against {target}"
    text = f"Cosine of the {change}; it ignores amplitude. {detector.caveat}"
    yield "cosine", text, {**CORRELATION, "still": 0, "formula": "<o, d> / (|o| |d|)"}
    yield "pcc", f"Pearson correlation over units of the {change}.", CORRELATION
    if detector.one_scale:
        yield "mae", f"Mean absolute difference of the {change}.", {"ideal": 0, "bounds": (0, None)}


def _course_and_size(target: str, detector: Detector) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the figures that depend on both size and time course."""
    if detector.one_scale:
        text = (
            f"ICC(3,1) between output and {target}, over all units and frames. It reflects strength, timing and"
            " leakage."
        )
        formula = "(between - residual) / (between + residual), mean squares over units and frames"
        yield "icc", text, {**CORRELATION, "still": 0, "formula": formula, "source": "Shrout and Fleiss 1979"}
    text = (
        f"How much more the output moves the units that are quiet in the {target} than the {target} itself does,"
        f" relative to all of the {target}'s motion."
    )
    formula = "sum of max(|o| - |d|, 0) over quiet units / sum of |d| over moving ones, means over time"
    yield "leakage", text, {"ideal": 0, "still": 0, "bounds": (0, None), "formula": formula}
