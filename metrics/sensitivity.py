"""Judge a figure by its values on degraded truths: what it detects and misses, its noise floor and its saturation.

A figure's values are keyed by (series, level). The undegraded truth is scale 1 and also serves as the first level of
every other series.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

Values = Mapping[tuple[str, float], float]

# A figure is blind to a change that does not exceed the change caused by noise. It sees any other change that exceeds
# the first of these shares of its whole range, and weakly sees one that exceeds only the second share.
SEEN_SHARE, WEAK_SHARE = 0.05, 0.02
# Amplitude is judged from this scale upwards. Less motion than this is practically none, and `still` covers that case.
LEAST_SCALE = 0.25
# The rank correlation from which a figure counts as following a series.
FOLLOWS = 0.8
# The level of the noise series that corresponds to a camera's noise.
CAMERA = ("noise", 2)
UNHARMED = ("scale", 1.0)
MEANING = {
    "scale": "amplitude",
    "over": "excessive amplitude",
    "delay": "delay",
    "jitter": "unsteady timing",
    "blur": "blur",
    "noise": "camera noise",
    "leak": "motion elsewhere",
    "still": "stillness",
    "reversed": "reversal",
    "wrong_driver": "another expression",
    "wrong_identity": "another person",
}


@dataclass(frozen=True)
class Worth:
    """The judgement of one figure.

    correlations: Spearman's rho with the level of each series, or None if the figure is constant.
    changes: the largest difference from the undegraded truth in each series or single variant. For amplitude, it is
        taken from scale 0.25 upwards.
    floor: the difference caused by camera noise (sigma 2).
    saturation: the scale above which the figure hardly changes; None if it keeps changing up to 1.5 or never changes.
    """

    figure: str
    values: dict[str, float]
    correlations: dict[str, float | None]
    changes: dict[str, float]
    sensitive: tuple[str, ...]
    weak: tuple[str, ...]
    blind: tuple[str, ...]
    floor: float | None
    saturation: float | None

    def line(self) -> str:
        """Return the judgement as one line of text."""
        saturation = "no saturation seen" if self.saturation is None else f"saturates from scale {self.saturation:g}"
        floor = "not measured" if self.floor is None else f"{self.floor:.3g}"
        weak = f"; responds weakly to {', '.join(self.weak)}" if self.weak else ""
        sees, blind = (", ".join(names) or "none of these" for names in (self.sensitive, self.blind))
        return f"responds to {sees}{weak}; blind to {blind}; noise floor {floor}; {saturation}"


def worth(figure: str, values: Values) -> Worth | None:
    """Return the judgement of a figure from its values, or None if the undegraded truth has no value."""
    if UNHARMED not in values:
        return None
    perfect = values[UNHARMED]
    floor = abs(values[CAMERA] - perfect) if CAMERA in values else None
    span = max(values.values()) - min(values.values())
    visible = max(floor or 0.0, SEEN_SHARE * span)
    correlations: dict[str, float | None] = {}
    changes: dict[str, float] = {}
    for name in MEANING:
        levels = series_of(values, name)
        if len(levels) > 1:
            correlations[name] = rank_correlation(levels)
            judged = (value for level, value in levels.items() if name != "scale" or level >= LEAST_SCALE)
            changes[name] = max(abs(value - perfect) for value in judged)
        elif (name, 0.0) in values:
            changes[name] = abs(values[name, 0.0] - perfect)
    # Noise is judged by its stronger level against the span alone, because its weaker level defines the floor.
    least = {name: SEEN_SHARE * span if name == "noise" else visible for name in changes}
    follows = [name for name in changes if span > 0 and (name not in correlations or _follows(correlations[name]))]
    seen = [name for name in follows if changes[name] > least[name]]
    weak = [
        name
        for name in follows
        if name not in seen and changes[name] > max(WEAK_SHARE * span, 0.0 if name == "noise" else floor or 0.0)
    ]
    return Worth(
        figure,
        {f"{name} {level:g}": round(value, 6) for (name, level), value in values.items()},
        correlations,
        changes,
        tuple(MEANING[name] for name in seen),
        tuple(MEANING[name] for name in weak),
        tuple(
            MEANING[name]
            for name in changes
            if name not in (*seen, *weak) and changes[name] <= max(WEAK_SHARE * span, floor or 0.0)
        ),
        floor,
        _saturation(series_of(values, "scale") | series_of(values, "over"), visible),
    )


def series_of(values: Values, name: str) -> dict[float, float]:
    """Return the values of a series by level, or {} if there are none; "scale" ends at level 1, where "over" begins."""
    if name in ("scale", "over"):
        return dict(
            sorted(
                (level, value)
                for (series, level), value in values.items()
                if series == "scale" and (level >= 1 if name == "over" else level <= 1)
            )
        )
    levels = {level: value for (series, level), value in values.items() if series == name and level > 0}
    return {0.0: values[UNHARMED], **dict(sorted(levels.items()))} if levels else {}


def rank_correlation(levels: Mapping[float, float]) -> float | None:
    """Return Spearman's rho between value and level, or None for a constant figure."""
    if len(set(levels.values())) < 2:
        return None
    return float(spearmanr(list(levels), list(levels.values())).statistic)


def _follows(rho: float | None) -> bool:
    return rho is not None and abs(rho) >= FOLLOWS


def _saturation(scale: Mapping[float, float], visible: float) -> float | None:
    """Return the smallest scale from which values vary by at most `visible`.

    Return None if this is the largest scale, or if the values at all scales vary by no more than that.
    """
    levels = sorted(scale)
    values = np.array([scale[level] for level in levels])
    if not len(values) or np.ptp(values) <= visible:
        return None
    start = next(k for k in range(len(values)) if np.ptp(values[k:]) <= visible)
    return levels[start] if start < len(levels) - 1 else None
