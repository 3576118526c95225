"""Simulate raters with known preferences and count how often the estimated intervals contain the truth.

`python -m tests.simulated_pairs` prints the table of docs/pairs.md. Each rater and each driver shifts every method's
strength by an independent normal draw, so answers by the same rater or on the same driver are correlated. The truth is
the result for infinitely many raters and drivers, approximated by fitting the same model to 400,000 of each.
"""

from __future__ import annotations

import argparse
import functools
import random
from dataclasses import dataclass

import numpy as np

from megbench.experts.pairs_design import Asked, all_pairs, chosen
from megbench.experts.preferences import Compared, fit, most_likely
from megbench.experts.two_way import share_interval

STRENGTHS = np.array([0.9, 0.5, 0.1, -0.3, -1.2])
TIES = 0.6  # Davidson's v
METRIC_NOISE = 0.8


@dataclass(frozen=True)
class Study:
    """The size of a study, and how much raters and drivers differ (standard deviations of a method's strength)."""

    raters: int
    drivers: int
    each: int
    of_rater: float
    of_driver: float


STUDIES = (
    Study(6, 9, 60, 0.0, 0.0),
    Study(6, 9, 60, 0.4, 0.4),
    Study(6, 9, 60, 0.8, 0.8),
    Study(6, 18, 60, 0.8, 0.0),
    Study(10, 18, 60, 0.4, 0.4),
    Study(20, 18, 100, 0.8, 0.4),
    Study(20, 36, 100, 0.4, 0.8),
    Study(5, 5, 40, 0.4, 0.4),
    Study(40, 5, 40, 0.4, 0.4),
)


@functools.cache
def asked(study: Study, seed: int = 0) -> list[tuple[int, int, int, int]]:
    """Return rater, driver and both methods of every question, by the suite's design with two templates per driver."""
    cells = {f"{driver}__{template}": str(driver) for driver in range(study.drivers) for template in "ab"}
    pairs = all_pairs((str(method), cell) for method in range(len(STRENGTHS)) for cell in cells)
    rng, counts = random.Random(seed), Asked()
    return [
        (rater, int(cells[pair.cell]), int(pair.left), int(pair.right))
        for rater in range(study.raters)
        for pair in chosen(pairs, cells, study.each, rng, counts)
    ]


def answers(gap: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return 1, 0 or -1, drawn from Davidson's model for differences of strength `gap`."""
    odds = np.stack([np.exp(gap / 2), np.full_like(gap, TIES), np.exp(-gap / 2)])
    draw = rng.random(gap.shape) * odds.sum(0)
    return np.where(draw < odds[0], 1, np.where(draw < odds[0] + odds[1], 0, -1))


def truth(study: Study, draws: int = 400_000) -> tuple[np.ndarray, float]:
    """Return the true strengths, and the true share of untied answers with which a noisy metric agrees."""
    rng = np.random.default_rng(1)
    k = len(STRENGTHS)
    first, second = np.array([(i, j) for i in range(k) for j in range(i + 1, k)] * (draws // 10)).T
    of_rater, of_driver = (rng.normal(0, spread, (2, len(first))) for spread in (study.of_rater, study.of_driver))
    gap = STRENGTHS[first] - STRENGTHS[second]
    outcome = answers(gap + of_rater[0] - of_rater[1] + of_driver[0] - of_driver[1], rng)
    kinds, counts = np.unique(np.column_stack([first, second, outcome]), axis=0, return_counts=True)
    metric = rng.normal(0, METRIC_NOISE, (2, len(first)))
    alike = np.sign(gap + metric[0] - metric[1]) == outcome
    return most_likely(kinds, counts.astype(float), k)[0][:k], float(alike[outcome != 0].mean())


def simulated(study: Study, seed: int) -> tuple[list[Compared], list[float], list[str], list[str]]:
    """Return one study's answers and, for each untied one, whether the metric agrees, its rater and its driver."""
    rng = np.random.default_rng(seed)
    k = len(STRENGTHS)
    of_rater = rng.normal(0, study.of_rater, (study.raters, k))
    of_driver = rng.normal(0, study.of_driver, (study.drivers, k))
    metric = STRENGTHS + rng.normal(0, METRIC_NOISE, (study.drivers, k))
    rater, driver, first, second = np.array(asked(study)).T
    seen = STRENGTHS + of_rater[rater] + of_driver[driver]
    rows = np.arange(len(rater))
    outcome = answers(seen[rows, first] - seen[rows, second], rng)
    compared = [
        Compared(int(i), int(j), int(o), str(r), str(d))
        for i, j, o, r, d in zip(first, second, outcome, rater, driver, strict=True)
    ]
    alike = np.sign(metric[driver, first] - metric[driver, second]) == outcome
    kept = outcome != 0
    return compared, list(alike[kept].astype(float)), list(map(str, rater[kept])), list(map(str, driver[kept]))


@dataclass(frozen=True)
class Coverage:
    """The shares of intervals that contain the truth, their mean width, and the number of fits without a value."""

    strengths: float
    differences: float
    share: float
    width: float
    unbounded: int


def coverage(study: Study, simulations: int, seed: int = 0) -> Coverage:
    """Simulate a study `simulations` times and return the coverage of its intervals."""
    values, share = truth(study)
    k = len(STRENGTHS)
    one, two, three, widths, unbounded = [], [], [], [], 0
    for number in range(simulations):
        compared, alike, raters, drivers = simulated(study, seed + number)
        found = fit(compared, k)
        if found.values is None:
            unbounded += 1
            continue
        each = [found.of(i) for i in range(k)]
        one += [of.low <= value <= of.high for of, value in zip(each, values, strict=True)]
        widths += [of.high - of.low for of in each]
        gaps = [(found.difference(i, j), values[i] - values[j]) for i in range(k) for j in range(i + 1, k)]
        two += [of.low <= value <= of.high for of, value in gaps]
        of = share_interval(alike, raters, drivers)
        three.append(of.low <= share <= of.high)
    return Coverage(*(float(np.mean(held)) for held in (one, two, three, widths)), unbounded)


def main() -> None:
    """Print the table of docs/pairs.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=1000)
    count = parser.parse_args().simulations
    print(
        "| raters | drivers | pairs each | raters differ by | drivers differ by"
        " | strengths | differences | metric | width |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for study in STUDIES:
        of = coverage(study, count)
        facts = f"{study.raters} | {study.drivers} | {study.each} | {study.of_rater} | {study.of_driver}"
        shares = f"{of.strengths:.1%} | {of.differences:.1%} | {of.share:.1%}"
        print(
            f"| {facts} | {shares} | {of.width:.2f} |", f"({of.unbounded} unbounded)" * bool(of.unbounded), flush=True
        )


if __name__ == "__main__":
    main()
