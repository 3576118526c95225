"""Motion agreement: does each part of the face move where, when and how the driver's does?

Motion is signed and measured per region, with head motion removed. A trajectory vector contains the mean residual flow
of twelve regions in every frame, in units of the eye distance; O is the output's, and D the driver's (or the truth's):

    agreement = <O, D> / (|O| |D|)      gain = <O, D> / <D, D>      error = |O - D| / |D|

Agreement ignores amplitude (half the motion scores the same), so read it together with gain or error. If a driver is
exactly still, none of the three is defined; a still output has agreement 0.

Version 2 measures motion with megbench.faces.flow, and version 1 (megbench.metrics.motion_agreement_v1) with DIS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from megbench.core.clip import Cell, Float32s
from megbench.core.combine import absent_score
from megbench.core.contracts import Figure, Partial, Score
from megbench.core.errors import CellFailed
from megbench.core.figures import MOTION, MOTION_TRUTH, Threshold
from megbench.core.pooled import pooled
from megbench.faces.features import Seen, SeenClip
from megbench.faces.motion import FacialMotion
from megbench.faces.regions import GROUPS, WITHOUT_EYES

SHORTEST = 3
VELOCITY_LAG = 3
# Median peak residual motion, in eye distances, below which a driver counts as hardly moving.
LOW_SIGNAL = 0.004
NO_MOTION = "nothing moves in the {}, or in this part of it"
# Reasons why figures have no value in a cell although its clips were compared.
STILL_REASONS = {
    "head_correlation": "the head of the output or of the driver does not move",
    "head_peak_ratio": "the driver's head does not move",
}
TOO_SHORT = f"clip too short: at least {VELOCITY_LAG + 1} frames are needed"

THRESHOLDS = (
    Threshold(0.9, "Moves as the driver does.", "good"),
    Threshold(0.7, "Moves mostly as the driver does.", "fair"),
    Threshold(0.4, "Moves only partly as the driver does.", "fair"),
    Threshold(0.2, "Moves little like the driver.", "bad"),
    Threshold(-0.2, "Moves unlike the driver.", "bad"),
    Threshold(-1, "Moves against the driver.", "bad"),
)


def _against(target: str, suffix: str, title: str) -> tuple[Figure, ...]:
    driver = target == "driver"
    group = MOTION if driver else MOTION_TRUTH
    return (
        Figure(
            f"agreement{suffix}",
            f"Agreement{title}",
            target=target,
            ideal=1,
            still=0,
            bounds=(-1, 1),
            short="agreement",
            group=group,
            brief=driver,
            heat_map=True,
            formula="<O, D> / (|O| |D|)",
            thresholds=THRESHOLDS if driver else (),
            description=f"Cosine between the facial motion of output and {target}, head motion removed. 1 is the same"
            " motion at any strength, 0 no motion in common (as for a still face), -1 the opposite motion.",
        ),
        Figure(
            f"gain{suffix}",
            f"Gain{title}",
            target=target,
            ideal=1,
            still=0,
            short="gain",
            group=group,
            brief=driver,
            heat_map=True,
            formula="<O, D> / <D, D>",
            description=f"How much of the {target}'s facial motion the output shows: 1 is the same strength, 0 none of"
            " it.",
        ),
        Figure(
            f"error{suffix}",
            f"Error{title}",
            target=target,
            ideal=0,
            still=1,
            bounds=(0, None),
            short="error",
            group=group,
            brief=driver,
            heat_map=True,
            formula="|O - D| / |D|",
            description=f"Length of the difference in facial motion, relative to the length of the {target}'s motion; a"
            " still face scores 1.",
        ),
        Figure(
            f"agreement{suffix}_pooled",
            f"Agreement{title}, pooled",
            target=target,
            ideal=1,
            still=0,
            bounds=(-1, 1),
            pooling="pooled",
            short="pooled agr." if driver else "",
            group=group if driver else "",
            brief=driver,
            formula="sum <O, D>/T / sqrt(sum |O|^2/T * sum |D|^2/T), sums over cells",
            description=f"Agreement with the {target}, pooled over all cells, so that cells with strong motion weigh"
            " more.",
        ),
    )


DRIVER_FIGURES = _against("driver", "", "")
TRUTH_FIGURES = _against("truth", "_truth", " with truth")


def _part(name: str, title: str, target: str, description: str) -> Figure:
    """Return the figure for the agreement of one part of the motion."""
    return Figure(name, title, target=target, ideal=1, still=0, bounds=(-1, 1), description=description)


def _part_figures(target: str, suffix: str, title: str) -> tuple[Figure, ...]:
    return (
        *(
            _part(
                f"agreement_{group}{suffix}",
                f"Agreement{title}, {group}",
                target,
                f"Agreement with the {target} in the {group} alone.",
            )
            for group in GROUPS
        ),
        _part(
            f"agreement_no_eyes{suffix}",
            f"Agreement{title} without eyelids",
            target,
            "Agreement without the eye regions, so that blinks do not count.",
        ),
        _part(
            f"agreement_velocity{suffix}",
            f"Agreement{title} of velocity",
            target,
            f"Agreement of the change over {VELOCITY_LAG} frames: stricter about timing, more sensitive to noise.",
        ),
    )


PART_FIGURES = (*_part_figures("driver", "", ""), *_part_figures("truth", "_truth", " with truth"))
COMPARED = (*DRIVER_FIGURES, *TRUTH_FIGURES, *PART_FIGURES)
OTHER_FIGURES = (
    Figure(
        "head_correlation",
        "Head motion, correlation",
        target="driver",
        ideal=1,
        bounds=(-1, 1),
        description="Pearson correlation over time between the lengths of the output's and the driver's head motion.",
    ),
    Figure(
        "head_peak_ratio",
        "Head motion, peak ratio",
        target="driver",
        ideal=1,
        still=0,
        bounds=(0, None),
        formula="max |head of output| / max |head of driver|",
        description="Largest head motion of the output divided by the driver's.",
    ),
    Figure(
        "low_signal",
        "Low-signal driver",
        target="driver",
        ideal=None,
        bounds=(0, 1),
        description=f"1 if the driver hardly moves (median peak of the inner landmarks under {LOW_SIGNAL:.1%} of the"
        " eye distance), in which case its scores say little. The mean is the share of such cells.",
    ),
)


@dataclass(frozen=True)
class Comparison:
    """Agreement, gain and error of one trajectory relative to another; None if the other trajectory is zero.

    products: <O, D>, |O|^2 and |D|^2, each divided by the number of frames; pooling over cells sums these.
    """

    agreement: float | None
    gain: float | None
    error: float | None
    products: tuple[float, float, float]


def compare(output: Float32s, driver: Float32s) -> Comparison:
    """Return the agreement of trajectories (T, regions, 2), or strains (T, regions, 3).

    Regions missing (NaN) in either of them are left out.

    >>> driver = np.array([[[0, 0]], [[1, 0]], [[2, 0]]])
    >>> half = compare(driver / 2, driver)
    >>> half.agreement, half.gain, half.error
    (1.0, 0.5, 0.5)
    >>> compare(-driver, driver).agreement
    -1.0
    """
    present = ~(np.isnan(output).any((0, 2)) | np.isnan(driver).any((0, 2)))
    o, d = (track[:, present].astype(np.float64).ravel() for track in (output, driver))
    od, oo, dd = float(o @ d), float(o @ o), float(d @ d)
    frames = max(len(output), 1)
    products = (od / frames, oo / frames, dd / frames)
    if dd == 0:
        return Comparison(None, None, None, products)
    agreement = float(np.clip(od / np.sqrt(oo * dd), -1, 1)) if oo > 0 else 0.0
    return Comparison(agreement, od / dd, float(np.linalg.norm(o - d) / np.sqrt(dd)), products)


def pooled_agreement(products: Sequence[Sequence[float]]) -> float:
    """Return the agreement over cells, sum <O,D>/T over sqrt(sum |O|^2/T * sum |D|^2/T); 0 if either sum is zero.

    >>> pooled_agreement([(1, 1, 1), (0, 3, 3)])
    0.25
    """
    return float(pooled(np.sum(np.asarray(products, np.float64), axis=0)))


def velocity(trajectory: Float32s) -> Float32s:
    """Return differences over 3 frames, (T - 3, regions, 2); empty if T <= 3."""
    return trajectory[VELOCITY_LAG:] - trajectory[:-VELOCITY_LAG]


def too_short(seen: Seen) -> Partial | None:
    """Return a result marked "skipped" if the output has too few frames to show when it moves, otherwise None."""
    frames = len(seen.output.frames)
    if frames >= SHORTEST:
        return None
    return Partial("skipped", f"clip too short: it has {frames} of the {SHORTEST} frames needed")


class MotionAgreement:
    """Facial motion of the output, compared with the driver's and, if it is known, the truth's."""

    name = "motion_agreement"
    version = "2"
    figures = (*COMPARED, *OTHER_FIGURES)

    def motion(self, clip: SeenClip) -> FacialMotion:
        """Return the facial motion of a clip as this version measures it. Raise CellFailed if frame 0 shows no face."""
        return clip.motion

    def measure(self, cell: Cell, seen: Seen) -> Partial:
        """Return the figures of one cell. Raise CellFailed if a first frame shows no face or if lengths differ."""
        if short := too_short(seen):
            return short
        output, driver = self.motion(seen.output), self.motion(seen.driver)
        truth = self.motion(seen.truth) if seen.truth else None
        against_driver = _compare_clips(output, driver, "driver")
        values: dict[str, float | None] = {
            "agreement": against_driver.agreement,
            "gain": against_driver.gain,
            "error": against_driver.error,
            **_parts(output.trajectory, driver.trajectory, ""),
            **_head(output.rigid, driver.rigid),
            "low_signal": float(np.median(driver.inner_peak) < LOW_SIGNAL),
        }
        compared = {"driver": against_driver.products}
        if truth is not None:
            against_truth = _compare_clips(output, truth, "truth")
            values |= {
                "agreement_truth": against_truth.agreement,
                "gain_truth": against_truth.gain,
                "error_truth": against_truth.error,
                **_parts(output.trajectory, truth.trajectory, "_truth"),
            }
            compared["truth"] = against_truth.products
        series = {
            **_curves("output", output),
            **_curves("driver", driver),
            **(_curves("truth", truth) if truth else {}),
        }
        # Pooled over this one cell; `combine` pools over several.
        values |= {f"{name}_pooled": values[name] for name in ("agreement", "agreement_truth") if name in values}
        reasons = {figure.name: NO_MOTION.format(figure.target) for figure in COMPARED if figure.name in values}
        reasons |= STILL_REASONS
        if len(output.trajectory) <= VELOCITY_LAG:
            reasons |= {name: TOO_SHORT for name in values if name.startswith("agreement_velocity")}
        # Tables, and tests of the difference between two methods, pool the cells that have sums. The rule that decides
        # which cells have sums is stated only here.
        sums = {role: list(products) for role, products in compared.items() if self.pools(products)}
        return Partial("ok", "" if truth else "no truth in this cell", values, sums, series, reasons)

    @staticmethod
    def pools(products: Sequence[float]) -> bool:
        """Return whether a cell with these products counts towards pooled agreement; its driver or truth must move."""
        return products[2] > 0

    def combine(self, partials: Sequence[Partial]) -> list[Score]:
        """Return the agreement pooled over the cells that have sums."""
        return pooled_scores(self.figures, partials)


def pooled_scores(figures: Sequence[Figure], partials: Sequence[Partial]) -> list[Score]:
    """Return a score for each pooled figure, from the products that the cells' `sums` contain for its target."""
    scores = []
    for figure in (figure for figure in figures if figure.pooling == "pooled"):
        products = [partial.sums[figure.target] for partial in partials if figure.target in partial.sums]
        scores.append(
            Score(figure.name, pooled_agreement(products), "ok", "", len(products), len(partials))
            if products
            else absent_score(figure.name, partials)
        )
    return scores


def _compare_clips(output: FacialMotion, other: FacialMotion, role: str) -> Comparison:
    if len(output.trajectory) != len(other.trajectory):
        raise CellFailed(
            f"output and {role} differ in length: {len(output.trajectory)} and {len(other.trajectory)} frames"
        )
    return compare(output.trajectory, other.trajectory)


def _parts(output: Float32s, other: Float32s, suffix: str) -> dict[str, float | None]:
    """Return agreements by region group, without eyelids and for velocities; `suffix` is appended to figure names."""
    parts: dict[str, float | None] = {
        f"agreement_{group}{suffix}": compare(output[:, regions], other[:, regions]).agreement
        for group, regions in GROUPS.items()
    }
    parts[f"agreement_no_eyes{suffix}"] = compare(output[:, WITHOUT_EYES], other[:, WITHOUT_EYES]).agreement
    long_enough = len(output) > VELOCITY_LAG
    change = compare(velocity(output), velocity(other)).agreement if long_enough else None
    parts[f"agreement_velocity{suffix}"] = change
    return parts


def _head(output: npt.NDArray[np.float32], driver: npt.NDArray[np.float32]) -> dict[str, float | None]:
    """Return the correlation over time and the peak ratio of the lengths of head motion; None if a head does not
    move."""
    moves = driver.std() > 0 and output.std() > 0
    return {
        "head_correlation": float(np.corrcoef(output, driver)[0, 1]) if moves else None,
        "head_peak_ratio": float(output.max() / driver.max()) if driver.max() > 0 else None,
    }


def _curves(role: str, motion: FacialMotion) -> dict[str, list[float]]:
    """Return the mean length of motion in each region group and of the head, per frame, in % of the eye distance."""
    lengths = 100 * np.linalg.norm(motion.trajectory, axis=2)  # (T, 12)
    curves = {f"{group}_{role}": np.nan_to_num(lengths[:, regions]).mean(1) for group, regions in GROUPS.items()}
    curves[f"head_{role}"] = 100 * motion.rigid
    return {name: [round(float(value), 4) for value in curve] for name, curve in curves.items()}
