"""What `bench.py selfcheck` found about every figure, for the page; it is stored in a file beside this one."""

import functools
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from megbench.core.errors import BenchError, clause
from megbench.core.figures import Figure
from megbench.core.installation import COMMAND
from megbench.reports.run_facts import MetricFacts

KEPT = Path(__file__).with_name("selfcheck.json")


class Finding(BaseModel):
    """One figure: its metric's version, and what the figure responds to, in words."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    metric: str
    version: str
    line: str


class Courses(BaseModel):
    """How well a detector's units follow the demo drivers' true intensities: median correlation, number of drivers."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: str
    units: dict[str, tuple[float, int]]

    @property
    def line(self) -> str:
        """The correlations as text, each with the number of drivers in brackets."""
        return ", ".join(f"{unit} {value:.2f} ({drivers})" for unit, (value, drivers) in self.units.items())


class Kept(BaseModel):
    """The complete file."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    date: str
    cells: int
    figures: dict[str, Finding]
    courses: dict[str, Courses] = {}


@functools.cache
def read_worth(path: Path = KEPT) -> Kept | None:
    """Return the stored outcome, or None if there is none. Raise BenchError if the file is damaged."""
    if not path.is_file():
        return None
    try:
        return Kept.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise BenchError(f"{path}: {clause(error)}. Regenerate it: {COMMAND} selfcheck --keep") from None


def sentence(metric: MetricFacts, figure: Figure, path: Path = KEPT) -> str:
    """Return what selfcheck found about a figure, or "" if it did not check this version of its metric."""
    kept = read_worth(path)
    found = kept.figures.get(figure.name) if kept else None
    if kept is None or found is None or (found.metric, found.version) != (metric.name, metric.version):
        return ""
    return f" Checked on {kept.cells} degraded ground-truth clips, {kept.date}: {found.line}."
