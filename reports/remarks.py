"""A cell's scores in plain words: what a method got right or wrong, for a reader who is new to the figures.

Every sentence comes from a rule on figures that are shown beside it: a figure's own thresholds (megbench.core.figures),
or a rule here on several figures or curves. An absent figure yields no sentence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from megbench.core.errors import plural
from megbench.core.figures import Figure, Grade

# An output with less than this share of the driver's motion is called still.
STILL = 0.15
# A gain between these is neither too weak nor too strong. The same bounds apply to a region's peak as a share of the
# driver's peak there.
WEAK, STRONG = 0.6, 1.6
# Below this share of the driver's motion, a region that the driver moves counts as missing from the output.
MISSING = 0.35
# The driver moves a region if its motion there reaches this share of its motion in its strongest region.
MOVED = 0.3
# A moving region whose own agreement is below this does not move like the driver's.
UNLIKE = 0.4
SOFT, OVERSHARP = 0.7, 1.5
# How early or late a peak may be without a remark, as a share of the clip's frames.
LATE_SHARE = 0.15
# An output that has reached this share of its own peak when the driver peaks is on time.
HELD = 0.8

Curves = Mapping[str, Sequence[float]]
Values = Mapping[str, float | None]
AGREEMENT = "agreement"


@dataclass(frozen=True)
class Remark:
    """One sentence; `grade`, which is "good", "fair" or "bad", determines its colour."""

    text: str
    grade: Grade


def read_cell(values: Values, figures: Mapping[str, Figure], driver: Curves, output: Curves) -> list[Remark]:
    """Return the remarks on one output: on its motion, on where and when it moves, and on its picture.

    values: its scores by figure. figures: the figures' facts. driver, output: motion by region group over frames.
    """
    others = [figure for name, figure in figures.items() if name != AGREEMENT]
    own = [remark for figure in others for remark in _own(figure, values)]
    return [*_motion(values, figures), *_places(driver, output, values), *own, *_sharpness(values)]


def _own(figure: Figure, values: Values) -> list[Remark]:
    """Return the remark that a figure's own thresholds give, or []."""
    value = values.get(figure.name)
    found = None if value is None else figure.remark(value)
    return [Remark(*found)] if found else []


def motion_share(values: Values) -> float | None:
    """Return |O| / |D|, the output's facial motion as a share of the driver's, from error^2 = share^2 - 2 gain + 1."""
    gain, error = values.get("gain"), values.get("error")
    if gain is None or error is None:
        return None
    return float(max(error**2 + 2 * gain - 1, 0.0) ** 0.5)


def _motion(values: Values, figures: Mapping[str, Figure]) -> list[Remark]:
    """Return remarks on whether the output moves at all, what its motion resembles, and how strong it is."""
    agreement, gain, share = values.get(AGREEMENT), values.get("gain"), motion_share(values)
    if agreement is None:
        return []
    if gain is not None and share is not None and share < STILL:
        return [Remark(f"Hardly moves: gain {gain:.2f}.", "bad")]
    likeness = _own(figures[AGREEMENT], values) if AGREEMENT in figures else []
    if gain is None or WEAK <= gain <= STRONG:
        return likeness
    if gain <= 0:
        return [*likeness, Remark(f"Shows none of the driver's motion: gain {gain:.2f}.", "bad")]
    return [*likeness, Remark(f"Too {'weak' if gain < WEAK else 'strong'}: gain {gain:.2f}.", "fair")]


def _places(driver: Curves, output: Curves, values: Values) -> list[Remark]:
    """Return remarks on when and where an output moves.

    Regions may be missing, too weak, too strong, unlike the driver's, or moved needlessly.
    """
    groups = [group for group in driver if group in output and group != "head"]
    share = motion_share(values)
    if not groups or share is None or share < STILL:
        return []
    wanted = {group: max(driver[group]) for group in groups}
    shown = {group: max(output[group]) for group in groups}
    strongest = max(wanted.values())
    if strongest <= 0:
        return []
    moved = {g: shown[g] / wanted[g] for g in groups if wanted[g] >= MOVED * strongest}
    # A region moves needlessly if it is quiet in the driver, but moves in the output more than a region must to count
    # as moved, and more than twice as much as in the driver.
    added = [g for g in groups if g not in moved and shown[g] > max(MOVED * strongest, 2 * wanted[g])]
    missing = [g for g, share in moved.items() if share < MISSING]
    alike = {g: values.get(f"agreement_{g}") for g in moved if g not in missing}
    kinds: tuple[tuple[str, list[str], Grade], ...] = (
        ("Missing", missing, "bad"),
        ("Weak", [g for g, share in moved.items() if MISSING <= share < WEAK], "fair"),
        ("Too strong in", [g for g, share in moved.items() if share > STRONG], "fair"),
        ("Unlike the driver", [g for g, value in alike.items() if value is not None and value < UNLIKE], "bad"),
        ("Moves needlessly", added, "bad"),
    )
    remarks = [Remark(f"{what}: {', '.join(regions)}.", grade) for what, regions, grade in kinds if regions]
    return [*remarks, *_timing(driver, output, max(wanted, key=lambda group: wanted[group]), missing)]


def _timing(driver: Curves, output: Curves, group: str, missing: Sequence[str]) -> list[Remark]:
    """Return a remark if a region peaks too early or too late. A plateau that includes the driver's peak is on time."""
    late = _peak(output[group]) - _peak(driver[group])
    held = output[group][_peak(driver[group])] >= HELD * max(output[group])
    if group in missing or held or abs(late) <= LATE_SHARE * len(driver[group]):
        return []
    verb = "peaks" if group in ("nose", "mouth") else "peak"
    return [Remark(f"The {group} {verb} {plural(abs(late), 'frame')} too {'late' if late > 0 else 'early'}.", "fair")]


def _peak(curve: Sequence[float]) -> int:
    return max(range(len(curve)), key=lambda frame: curve[frame])


def _sharpness(values: Values) -> list[Remark]:
    """Return a remark on a picture that is softer or grainier than the truth or, without one, than template and driver.

    The template may have been enlarged, and the driver may be full of sensor noise. An output therefore counts as soft
    only if it is softer than both, and as grainy only if it is grainier than the sharper one.
    """
    truth, template, driver = (values.get(f"sharpness_{of}") for of in ("truth", "template", "driver"))
    if truth is not None:
        least = most = shown = truth
        beside = "of the truth's sharpness"
    elif template and driver is not None:
        (least, most), shown = sorted((template, driver)), driver
        beside = f"of the driver's sharpness, of which the template itself has {driver / template:.0%}"
    elif template is not None:
        least = most = shown = template
        beside = "of the template's sharpness"
    else:
        return []
    if most < SOFT:
        return [Remark(f"Soft: {shown:.0%} {beside}.", "fair")]
    return [Remark(f"Grainy or over-sharp: {shown:.0%} {beside}.", "fair")] if least > OVERSHARP else []
