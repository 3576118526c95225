"""Agreement of action units over time, for any detector. Figures of different detectors are never pooled.

Intensities are taken relative to the onset. Cosine, PCC and mean absolute error compare the vectors of apex minus onset
over all units. Track PCCs compare the values over time of each unit that the driver moves. ICC compares all units in
all frames. Leakage measures the motion of units that the driver does not move. The PCC of a constant track is
undefined; such a unit lowers `coverage` but does not count as 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from megbench.core.clip import Cell
from megbench.core.contracts import Figure, Partial
from megbench.core.errors import CellFailed
from megbench.faces.coded_units import parse
from megbench.faces.features import Seen, SeenClip

Tracks = npt.NDArray[np.float64]

SHORTEST = 3
# The experts' sheet scores the halves of the face separately (MEGC 2021). AU43 and AU45 (eyes closed, blink) are added
# by this suite.
UPPER = frozenset(("AU01", "AU02", "AU04", "AU05", "AU06", "AU07", "AU43", "AU45"))
# Number of frames averaged on each side of the apex.
APEX_REACH = 2
# A coded unit is a hit if it is among this many of the output's strongest units, or, if more units are
# coded, among that many.
TOP = 3
# Number of decimals of the curves shown on the page.
DIGITS = 4
LEAKLESS = "leakage does not exist: the {} moves no unit, or all of them"


@dataclass(frozen=True)
class Detector:
    """The properties of a detector.

    units: the names of its columns: "AU12" or, if several units are estimated as one, "AU14+20".
    apart: the units that are scored only in separate figures.
    moves: the change above which a unit counts as moving.
    onset_frames: the number of leading frames that form the onset.
    one_scale: whether the values of two clips may be compared in size (ICC, error) and not only in their time course.
    course_only: whether only the time course is scored, because even in one clip, the sizes of different units are not
        comparable.
    share: the smallest change at which a unit still counts as moving, as a share of the strongest unit's change.
    word: the detector's name, in brackets after the titles of columns.
    """

    title: str
    recipe: str
    units: tuple[str, ...]
    moves: float
    onset_frames: int
    one_scale: bool
    apart: tuple[str, ...] = ()
    caveat: str = ""
    course_only: bool = False
    share: float = 0.0
    word: str = ""

    @property
    def together(self) -> npt.NDArray[np.bool_]:
        """The mask (K,) of the units that the overall figures include."""
        return np.array([unit not in self.apart for unit in self.units])

    def half(self, upper: bool) -> npt.NDArray[np.bool_]:
        """Return the mask (K,) of those units of `together` that are in the upper or lower half of the face."""
        return self.together & np.array([bool(members(unit) & UPPER) is upper for unit in self.units])


@dataclass(frozen=True)
class Agreement:
    """Agreement of an output's tracks with another clip's; an undefined figure is None.

    tracks: PCC over time of every unit (K,), NaN if it is undefined. moving: units that the other clip moves.
    """

    cosine: float | None
    pcc: float | None
    mae: float
    track: float | None
    icc: float | None
    leakage: float | None
    upper: float | None
    lower: float | None
    coverage: float | None
    tracks: Tracks = field(repr=False)
    moving: npt.NDArray[np.bool_] = field(repr=False)


def members(unit: str) -> frozenset[str]:
    """Return the units that a column combines: AU14 and AU20 for "AU14+20"."""
    return frozenset(f"AU{number}" for number in unit.removeprefix("AU").split("+"))


def agreement(output: Tracks, other: Tracks, apex: int | None, detector: Detector) -> Agreement:
    """Return the agreement of tracks (T, K); frames missing (NaN) in either of them are left out.

    Raise CellFailed if fewer than 3 frames are left.
    """
    seen = np.asarray(~(np.isnan(output).any(1) | np.isnan(other).any(1)))
    if seen.sum() < SHORTEST:
        raise CellFailed(f"{detector.title} needs at least {SHORTEST} frames with a face, but found {seen.sum()}")
    o, d = (_from_onset(track, seen, detector.onset_frames) for track in (output, other))
    peak = np.abs(d).max(0)
    moving, together = (peak > detector.moves) & (peak >= detector.share * peak.max()), detector.together
    at = int(np.abs(d[:, together]).sum(1).argmax()) if apex is None else int(seen[: apex + 1].sum()) - 1
    window = slice(max(at - APEX_REACH, 0), max(at, 0) + APEX_REACH + 1)
    end_o, end_d = o[window].mean(0), d[window].mean(0)
    tracks = np.array([_or_nan(pcc(o[:, k], d[:, k])) if moving[k] else np.nan for k in range(len(moving))])
    counted = moving & together
    found = tracks[counted & ~np.isnan(tracks)]
    quiet = together & ~moving
    strength = float(np.abs(d[:, counted]).mean(0).sum())
    excess = np.clip(np.abs(o[:, quiet]) - np.abs(d[:, quiet]), 0, None)
    return Agreement(
        cosine=cosine(end_o[together], end_d[together]) if end_d[together].any() else None,
        pcc=pcc(end_o[together], end_d[together]),
        mae=float(np.abs(end_o - end_d)[together].mean()),
        track=float(found.mean()) if len(found) else None,
        icc=icc31(o[:, together].ravel(), d[:, together].ravel()),
        leakage=float(excess.mean(0).sum()) / strength if strength > 0 and quiet.any() else None,
        upper=_half(end_o, end_d, detector.half(True) & moving, detector.half(True)),
        lower=_half(end_o, end_d, detector.half(False) & moving, detector.half(False)),
        coverage=len(found) / int(counted.sum()) if counted.any() else None,
        tracks=tracks,
        moving=moving,
    )


def coded_hits(output: Tracks, coded: str | None, detector: Detector) -> float | None:
    """Return the share of units that move in the output and are among its strongest, out of those coded with certainty.

    Return None if the detector has none of these units, or if no frame shows a face.
    """
    certain = parse(coded).certain() if coded else frozenset()
    wanted = [k for k, unit in enumerate(detector.units) if members(unit) & certain]
    if not wanted:
        return None
    seen = np.asarray(~np.isnan(output).any(1))
    if not seen.any():
        return None
    peak = np.abs(_from_onset(output, seen, detector.onset_frames)).max(0)
    strongest = set(np.argsort(-peak)[: max(TOP, len(wanted))].tolist())
    return float(np.mean([k in strongest and peak[k] > detector.moves for k in wanted]))


def curves(
    found: Mapping[str, Tracks], coded: str | None, frames: Sequence[int], detector: Detector
) -> dict[str, list[float]]:
    """Return curves relative to the onset, keyed like "AU12_output", for units that are coded or that move in any clip.

    found: tracks (T, K) by role. frames: the frames to keep, () for all. Frames in which no face was found are NaN.
    """
    since = {}
    for role, tracks in found.items():
        kept = tracks[list(frames)] if frames else tracks
        seen = ~np.isnan(kept).any(1)
        since[role] = kept - kept[seen][: detector.onset_frames].mean(0)
    certain = parse(coded).certain() if coded else frozenset()
    return {
        f"{unit}_{role}": values[:, k].round(DIGITS).tolist()
        for k, unit in enumerate(detector.units)
        if members(unit) & certain or any(np.nanmax(np.abs(of[:, k])) > detector.moves for of in since.values())
        for role, values in since.items()
    }


def cosine(a: Tracks, b: Tracks) -> float:
    """Return the cosine of two vectors; 0 if either is zero.

    >>> cosine(np.array([3.0, 4.0]), np.array([6.0, 8.0])), cosine(np.array([3.0, 4.0]), np.zeros(2))
    (1.0, 0.0)
    """
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.clip(a @ b / lengths, -1, 1)) if lengths > 0 else 0.0


def pcc(a: Tracks, b: Tracks) -> float | None:
    """Return the Pearson correlation of two vectors, or None if either is constant.

    >>> round(pcc(np.array([0.0, 1.0, 2.0]), np.array([5.0, 4.0, 3.0])), 6)
    -1.0
    >>> pcc(np.array([0.0, 1.0, 2.0]), np.ones(3)) is None
    True
    """
    a, b = a - a.mean(), b - b.mean()
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.clip(a @ b / lengths, -1, 1)) if lengths > 1e-12 else None


def icc31(a: Tracks, b: Tracks) -> float | None:
    """Return ICC(3,1), the consistency of two raters on n targets (Shrout and Fleiss 1979), or None if both are
    constant.

    >>> a = np.array([0.0, 1.0, 2.0])
    >>> round(icc31(a, a + 5), 6), round(icc31(a, np.zeros(3)), 6)
    (1.0, 0.0)
    """
    table = np.column_stack([a, b]).astype(np.float64)
    n, raters = table.shape
    centred = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    between = raters * np.square(table.mean(1) - table.mean()).sum() / (n - 1)
    residual = np.square(centred).sum() / ((n - 1) * (raters - 1))
    total = between + (raters - 1) * residual
    return float((between - residual) / total) if total > 1e-12 else None


class AuAgreement:
    """Base class of the detectors' metrics; each defines its `name`, its `detector` and how to obtain `tracks`."""

    name: ClassVar[str]
    version: ClassVar[str]
    detector: ClassVar[Detector]
    figures: ClassVar[tuple[Figure, ...]]

    def tracks(self, cell: Cell, clip: SeenClip) -> Tracks:
        """Return values (T, K) of the detector's units in every frame, NaN in frames not analysed or without a face."""
        raise NotImplementedError

    def frames(self, cell: Cell, n_frames: int) -> Sequence[int]:
        """Return the numbers of the frames that the detector analyses, () for all."""
        return ()

    def measure(self, cell: Cell, seen: Seen) -> Partial:
        """Return the figures of one cell.

        Raise CellFailed if there is no face, or if the output's length differs from the driver's or the truth's.
        """
        if len(seen.output.frames) < SHORTEST:
            return Partial(
                "skipped", f"clip too short: it has {len(seen.output.frames)} of the {SHORTEST} frames needed"
            )
        found = {"output": self.tracks(cell, seen.output), "driver": self.driver_tracks(cell, seen)}
        if seen.truth is not None:
            found["truth"] = self.tracks(cell, seen.truth)
        output = found["output"]
        driver = self._against(output, cell, "driver", found["driver"])
        values = {**self._named(driver, ""), **self._halves(driver)}
        values[f"{self.name}_coded_hits"] = coded_hits(output, cell.driver.action_units, self.detector)
        if seen.truth is not None:
            values |= self._named(self._against(output, cell, "truth", found["truth"]), "_truth")
        known = {figure.name for figure in self.figures}
        return Partial(
            "ok",
            "" if seen.truth else "no truth in this cell",
            {name: value for name, value in values.items() if name in known},
            series=curves(found, cell.driver.action_units, self.frames(cell, len(output)), self.detector),
            reasons=self._reasons(cell, seen.truth is not None),
            frames=self.frames(cell, len(output)),
        )

    def driver_tracks(self, cell: Cell, seen: Seen) -> Tracks:
        """Return the units' values in the driver's clip, with which the output is compared."""
        return self.tracks(cell, seen.driver)

    def _against(self, output: Tracks, cell: Cell, role: str, tracks: Tracks) -> Agreement:
        if len(tracks) != len(output):
            raise CellFailed(f"output and {role} differ in length: {len(output)} and {len(tracks)} frames")
        return agreement(output, tracks, cell.driver.apex_frame, self.detector)

    def _named(self, found: Agreement, suffix: str) -> dict[str, float | None]:
        names = ("cosine", "pcc", "mae", "track", "icc", "leakage", "coverage")
        return {f"{self.name}_{name}{suffix}": getattr(found, name) for name in names}

    def _halves(self, found: Agreement) -> dict[str, float | None]:
        """Return the figures that exist only for the comparison with the driver.

        They are the face halves, the separate units, the number of moving units, and each unit's track.
        """
        apart = [k for k, unit in enumerate(self.detector.units) if unit in self.detector.apart]
        lids = found.tracks[apart]
        return {
            f"{self.name}_upper": found.upper,
            f"{self.name}_lower": found.lower,
            f"{self.name}_lids": float(np.nanmean(lids)) if np.isfinite(lids).any() else None,
            f"{self.name}_moving": float(found.moving.sum()),
            **{
                f"{self.name}_track_{unit}": None if np.isnan(value) else float(value)
                for unit, value in zip(self.detector.units, found.tracks, strict=True)
            },
        }

    def _reasons(self, cell: Cell, with_truth: bool) -> dict[str, str]:
        still = "the driver moves no such unit, or the output holds it constant"
        reasons = {figure.name: still for figure in self.figures if not figure.name.endswith("_truth")}
        coded = "the detector has none of the coded units" if cell.driver.action_units else "no units are coded"
        leakage = {f"{self.name}_leakage": LEAKLESS.format("driver")}
        if with_truth:
            leakage[f"{self.name}_leakage_truth"] = LEAKLESS.format("truth")
        return {**reasons, **leakage, f"{self.name}_coded_hits": coded}


def _from_onset(tracks: Tracks, seen: npt.NDArray[np.bool_], onset_frames: int) -> Tracks:
    kept = tracks[seen]
    return np.asarray(kept - kept[:onset_frames].mean(0))


def _half(o: Tracks, d: Tracks, moving: npt.NDArray[np.bool_], half: npt.NDArray[np.bool_]) -> float | None:
    return cosine(o[half], d[half]) if moving.any() else None


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value
