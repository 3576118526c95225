"""Strain agreement: is the skin of each region stretched and squeezed as the driver's is?

Optical strain is the third channel of most micro-expression recognisers, sqrt(ux^2 + vy^2 + (uy + vx)^2 / 2). Regions
are compared by the signed strain vector that has this length. The length alone cannot tell stretching from squeezing,
and its agreement with any other expression is about one half.
"""

from __future__ import annotations

from collections.abc import Sequence

from megbench.core.clip import Cell
from megbench.core.contracts import Figure, Partial, Score
from megbench.core.errors import CellFailed
from megbench.core.figures import MOTION
from megbench.faces.features import Seen
from megbench.faces.regions import GROUPS
from megbench.metrics.motion_agreement import NO_MOTION, Comparison, compare, pooled_scores, too_short

FORMULA = "<o, d> / (|o| |d|), strains xx, yy, xy of all regions and frames"


def _figure(suffix: str, title: str, target: str, text: str, short: str = "") -> Figure:
    return Figure(
        f"strain_agreement{suffix}",
        f"Strain agreement{title}",
        target=target,
        ideal=1,
        still=0,
        bounds=(-1, 1),
        pooling="pooled" if suffix == "_pooled" else "mean",
        short=short,
        group=MOTION if short else "",
        formula="" if suffix.removeprefix("_") in GROUPS else FORMULA,
        description=text,
    )


class StrainAgreement:
    """Optical strain of the face's regions, compared with the driver's and, if it is known, the truth's."""

    name = "strain_agreement"
    version = "1"
    figures = (
        _figure(
            "",
            "",
            "driver",
            "Cosine between the optical strain of output and driver: where each region is stretched, squeezed and"
            " sheared, and when. A region that merely shifts has no strain. 1 is the same strain at any strength, 0 no"
            " strain in common (as for a still face), -1 the opposite strain.",
            "strain agr.",
        ),
        _figure(
            "_pooled",
            ", pooled",
            "driver",
            "Strain agreement pooled over all cells, so that strong motion weighs more.",
        ),
        _figure("_truth", " with truth", "truth", "Strain agreement with the truth, whose face is the template's own."),
        *(
            _figure(f"_{group}", f", {group}", "driver", f"Strain agreement with the driver in the {group} alone.")
            for group in GROUPS
        ),
    )

    def measure(self, cell: Cell, seen: Seen) -> Partial:
        """Return the figures of one cell. Raise CellFailed if a first frame shows no face or if lengths differ."""
        if short := too_short(seen):
            return short
        output, clips = seen.output.motion.strain, {"driver": seen.driver, "truth": seen.truth}
        strains = {role: clip.motion.strain for role, clip in clips.items() if clip}
        for role, strain in strains.items():
            if len(strain) != len(output):
                raise CellFailed(f"output and {role} differ in length: {len(output)} and {len(strain)} frames")
        found: dict[str, Comparison] = {role: compare(output, strain) for role, strain in strains.items()}
        driver = strains["driver"]
        values = {
            "strain_agreement": found["driver"].agreement,
            "strain_agreement_pooled": found["driver"].agreement,  # over this one cell; `combine` pools over several
            **{
                f"strain_agreement_{group}": compare(output[:, regions], driver[:, regions]).agreement
                for group, regions in GROUPS.items()
            },
        }
        if "truth" in found:
            values["strain_agreement_truth"] = found["truth"].agreement
        reasons = {figure.name: NO_MOTION.format(figure.target) for figure in self.figures if figure.name in values}
        sums = {role: list(each.products) for role, each in found.items() if each.agreement is not None}
        return Partial("ok", "" if "truth" in found else "no truth in this cell", values, sums, reasons=reasons)

    def combine(self, partials: Sequence[Partial]) -> list[Score]:
        """Return the strain agreement pooled over the cells whose driver moves."""
        return pooled_scores(self.figures, partials)
