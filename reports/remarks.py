"""A cell's scores in plain words: what a method got right or wrong, for a reader who is new to the figures.

Every sentence is a rule on figures that stand beside it; a figure that is absent gives no sentence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# An output with less than this share of the driver's motion is called still.
STILL = 0.15
# Gain outside these is too weak or too strong; so is a region's peak as a share of the driver's there.
WEAK, STRONG = 0.6, 1.6
# Under this share of the driver's motion a region that the driver moves is missing from the output.
MISSING = 0.35
# The driver moves a region if it reaches this share of its strongest one.
MOVED = 0.3
# Under this agreement of its own a region that moves does not move as the driver's does.
UNLIKE = 0.4
# dlib's own rule: from 0.6 on two pictures show different people.
ANOTHER_PERSON, DRIFTING = 0.6, 0.4
SOFT, OVERSHARP = 0.7, 1.5
# Frames by which a peak may be early or late without a remark, as a share of the clip.
LATE_SHARE = 0.15
# An output that is this near its own peak when the driver peaks is on time.
HELD = 0.8

Curves = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Remark:
    """One sentence; `grade` is "good", "fair" or "bad" and colours it."""

    text: str
    grade: str


# Agreement from which on a sentence holds; below the last the motion is the opposite one.
LIKENESS = (
    (0.9, Remark("Moves as the driver does.", "good")),
    (0.7, Remark("Moves mostly as the driver does.", "fair")),
    (0.4, Remark("Moves only partly as the driver does.", "fair")),
    (0.2, Remark("Moves little like the driver.", "bad")),
    (-0.2, Remark("Moves unlike the driver.", "bad")),
)
AGAINST = Remark("Moves against the driver.", "bad")


def read_cell(figures: Mapping[str, float | None], driver: Curves, output: Curves) -> list[Remark]:
    """Sentences on one output. `figures` are its scores by name; the curves are motion by region group over frames."""
    return [*_motion(figures), *_places(driver, output, figures), *_picture(figures)]


def motion_share(figures: Mapping[str, float | None]) -> float | None:
    """|O| / |D|, the output's facial motion as a share of the driver's; from error^2 = share^2 - 2 gain + 1."""
    gain, error = figures.get("gain"), figures.get("error")
    if gain is None or error is None:
        return None
    return float(max(error**2 + 2 * gain - 1, 0.0) ** 0.5)


def _motion(figures: Mapping[str, float | None]) -> list[Remark]:
    """Whether it moves at all, as what, and how strongly."""
    agreement, gain, share = figures.get("agreement"), figures.get("gain"), motion_share(figures)
    if agreement is None:
        return []
    if gain is not None and share is not None and share < STILL:
        return [Remark(f"Stands nearly still: gain {gain:.2f}.", "bad")]
    likeness = next((remark for least, remark in LIKENESS if agreement >= least), AGAINST)
    if gain is None or WEAK <= gain <= STRONG:
        return [likeness]
    if gain <= 0:
        return [likeness, Remark(f"Shows none of the driver's motion: gain {gain:.2f}.", "bad")]
    return [likeness, Remark(f"Too {'weak' if gain < WEAK else 'strong'}: gain {gain:.2f}.", "fair")]


def _places(driver: Curves, output: Curves, figures: Mapping[str, float | None]) -> list[Remark]:
    """Every region that is missing, weak, too strong, unlike the driver's or moved for nothing; a peak out of time."""
    groups = [group for group in driver if group in output and group != "head"]
    share = motion_share(figures)
    if not groups or share is None or share < STILL:
        return []
    wanted = {group: max(driver[group]) for group in groups}
    shown = {group: max(output[group]) for group in groups}
    strongest = max(wanted.values())
    if strongest <= 0:
        return []
    moved = {g: shown[g] / wanted[g] for g in groups if wanted[g] >= MOVED * strongest}
    # Moved for nothing: as much as the driver's regions that count as moved, where the driver is quiet.
    added = [g for g in groups if g not in moved and shown[g] > max(MOVED * strongest, 2 * wanted[g])]
    missing = [g for g, share in moved.items() if share < MISSING]
    alike = {g: figures.get(f"agreement_{g}") for g in moved if g not in missing}
    kinds = (
        ("Missing", missing, "bad"),
        ("Weak", [g for g, share in moved.items() if MISSING <= share < WEAK], "fair"),
        ("Too strong in", [g for g, share in moved.items() if share > STRONG], "fair"),
        ("Unlike the driver", [g for g, value in alike.items() if value is not None and value < UNLIKE], "bad"),
        ("Moves for nothing", added, "bad"),
    )
    remarks = [Remark(f"{what}: {', '.join(regions)}.", grade) for what, regions, grade in kinds if regions]
    return [*remarks, *_timing(driver, output, max(wanted, key=lambda group: wanted[group]), missing)]


def _timing(driver: Curves, output: Curves, group: str, missing: Sequence[str]) -> list[Remark]:
    """Whether a region peaks at another time; a plateau that holds the driver's peak as well is no other time."""
    late = _peak(output[group]) - _peak(driver[group])
    held = output[group][_peak(driver[group])] >= HELD * max(output[group])
    if group in missing or held or abs(late) <= LATE_SHARE * len(driver[group]):
        return []
    verb = "peaks" if group in ("nose", "mouth") else "peak"
    return [Remark(f"The {group} {verb} {abs(late)} frames too {'late' if late > 0 else 'early'}.", "fair")]


def _peak(curve: Sequence[float]) -> int:
    return max(range(len(curve)), key=lambda frame: curve[frame])


def _picture(figures: Mapping[str, float | None]) -> list[Remark]:
    distance = figures.get("identity_distance")
    remarks: list[Remark] = []
    if distance is not None and distance > ANOTHER_PERSON:
        remarks.append(Remark(f"Another person by dlib's rule (distance {distance:.2f}).", "bad"))
    elif distance is not None and distance > DRIFTING:
        remarks.append(Remark(f"The identity drifts (distance {distance:.2f}).", "fair"))
    return [*remarks, *_sharpness(figures)]


def _sharpness(figures: Mapping[str, float | None]) -> list[Remark]:
    """Whether a picture is soft or grainy: beside the truth; without one, beside template and driver at once.

    The template may have been enlarged and the driver be full of sensor noise, so an output is soft only if it is
    softer than both, and grainy only beside the sharper one.
    """
    truth, template, driver = (figures.get(f"sharpness_{of}") for of in ("truth", "template", "driver"))
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
