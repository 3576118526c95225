"""Read the judgements in files of expert scores, and list every inconsistency by file and row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from megbench.core.errors import BenchError
from megbench.experts.blinded import find_key, read_sheet, sheet_id
from megbench.experts.grid import Grid, read_grids
from megbench.experts.judgements import Judgement, missing
from megbench.experts.names import Names
from megbench.experts.sheet import Parsed, Problem, doubles, header, parse


@dataclass
class Imported:
    """Judgements from a set of files, problems (fatal or not), remarks, and the number of sums and totals checked.

    lacking: the number of rows left out because they name something that the run lacks, by kind and name.
    """

    judgements: list[Judgement] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    sums: int = 0
    totals: int = 0
    lacking: Counter[str] = field(default_factory=Counter)

    @property
    def errors(self) -> list[Problem]:
        """The problems that must be fixed."""
        return [problem for problem in self.problems if problem.fatal]


@dataclass(frozen=True)
class Blinded:
    """The run whose blinded sheets may be read. `contents`: the hash of its frames by (method, driver, template)."""

    run: Path
    contents: Mapping[tuple[str, str, str], str]


def import_files(paths: Sequence[Path], names: Names, blinded: Blinded | None = None) -> Imported:
    """Read and check all files. Raise BenchError if one is not a sheet, or is a blinded sheet and `blinded` is None.

    If no column names the expert, the expert is named after the sheet if the file has several score sheets with
    different names, and otherwise after the file.
    """
    parts: list[Parsed] = []
    for path in paths:
        identity = sheet_id(path)
        if identity is None:
            parts += [parse(*task, names) for task in _tasks(path)]
        elif blinded is None:
            raise BenchError(f"{path} is a blinded sheet. Only its run can resolve its codes. Add --run RUN.")
        else:
            parts.append(read_sheet(path, find_key(blinded.run, path, identity), blinded.contents))
    return _joined(parts)


def _tasks(path: Path) -> list[tuple[Grid, str, str]]:
    """Return the grid of each sheet with scores, its name in messages, and the expert who gave the scores."""
    grids = read_grids(path)
    scored = [grid for grid in grids if header(grid)] or grids[:1]
    if not scored:
        raise BenchError(f"{path} contains no score sheet. Give one with the headings upper, lower and noise.")
    if len(scored) == 1 or len({grid.name for grid in scored}) < len(scored):
        return [(grid, path.name, path.stem) for grid in scored]
    return [(grid, f"{path.name} [{grid.name}]", grid.name) for grid in scored]


def _joined(parts: Sequence[Parsed]) -> Imported:
    """Merge the parts, and add the problems that appear only when they are combined: duplicates and missing cells."""
    judged = [pair for part in parts for pair in part.judgements]
    judgements = [judgement for judgement, _ in judged]
    problems = [*(problem for part in parts for problem in part.problems), *doubles(judged)]
    for (expert, method), cells in missing(judgements).items():
        text = f"{expert} did not judge {method} on {', '.join(cells)}: figures that need all videos are not computed"
        problems.append(Problem("missing", text, fatal=False))
    return Imported(
        judgements,
        problems,
        [remark for part in parts for remark in part.remarks],
        sum(part.sums for part in parts),
        sum(part.totals for part in parts),
        sum((part.lacking for part in parts), Counter()),
    )
