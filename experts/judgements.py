"""Experts' judgements of outputs: a judgement is one expert's three scores for one method's output in one cell.

The scale is MEGC2021's: upper face, lower face and noise, each 0 (completely incorrect), 1 (poor), 2 (good) or
3 (excellent). A run keeps its judgements in `experts.csv`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from megbench.core.errors import BenchError, clause, shown
from megbench.core.files.cache import write_text
from megbench.core.statistics import Float64s
from megbench.core.tables.spreadsheet_text import inert, restored

FILE = "experts.csv"
LABELS = ("method", "driver", "template", "expert")
Item = Literal["sum", "motion", "upper", "lower", "noise"]
ITEMS: tuple[Item, ...] = ("upper", "lower", "noise")
BEST = 3
PERFECT = BEST * len(ITEMS)
# The possible scores, as written in a table.
SCORES = tuple(map(str, range(BEST + 1)))
LARGEST_BYTES = 20_000_000


@dataclass(frozen=True)
class Judgement:
    """One expert's scores for one output, each from 0 to 3."""

    method: str
    driver: str
    template: str
    expert: str
    upper: int
    lower: int
    noise: int

    @property
    def cell(self) -> str:
        """The cell's name, as in a run."""
        return f"{self.driver}__{self.template}"

    def score(self, item: Item = "sum") -> int:
        """Return one of the three scores, their sum (0 to 9), or "motion", which is upper plus lower (0 to 6)."""
        match item:
            case "sum":
                return self.upper + self.lower + self.noise
            case "motion":
                return self.upper + self.lower
            case "upper" | "lower" | "noise":
                return int(getattr(self, item))


def write_judgements(path: Path, judgements: Iterable[Judgement]) -> None:
    """Write judgements as CSV, completely or not at all; names stay text in spreadsheets."""
    rows = [(*map(inert, astuple(j)[:4]), *astuple(j)[4:]) for j in judgements]
    write_text(path, pd.DataFrame(rows, columns=[*LABELS, *ITEMS]).to_csv(index=False, lineterminator="\n"))


def read_judgements(path: Path) -> list[Judgement]:
    """Read what `write_judgements` wrote. Raise BenchError if it is missing, malformed, or has a score outside 0..3."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
        if len(data) > LARGEST_BYTES:
            raise BenchError(f"{path} is larger than {LARGEST_BYTES} bytes. Pass a table of judgements.")
        return _judgements(data.decode("utf-8-sig"))
    except OSError as error:
        raise BenchError(f"{path} cannot be read ({error.strerror}). Import expert sheets first.") from None
    except (ValueError, csv.Error) as error:
        raise BenchError(
            f"{path} is not a table of judgements ({clause(error)}). Import the expert sheets again."
        ) from None


def _judgements(text: str) -> list[Judgement]:
    """Return the judgements in CSV text. Raise ValueError or csv.Error if it is not a table of judgements."""
    table = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    columns = (*LABELS, *ITEMS)
    if sorted(table.fieldnames or ()) != sorted(columns):
        raise ValueError(f"its columns are not {', '.join(columns)}")
    found: dict[tuple[str, ...], Judgement] = {}
    for row in table:
        line = table.line_num
        if None in row or None in row.values():
            raise ValueError(f"line {line} does not have {len(columns)} cells")
        labels, scores = ([row[name] for name in names] for names in (LABELS, ITEMS))
        for item, score in zip(ITEMS, scores, strict=True):
            if score not in SCORES:
                raise ValueError(f"line {line}: {item} is {shown(score)}, not one of {', '.join(SCORES)}")
        if tuple(labels) in found:
            raise ValueError(f"line {line} repeats an output that the same expert judged on an earlier line")
        found[tuple(labels)] = Judgement(*map(restored, labels), *map(int, scores))  # type: ignore[arg-type]
    return list(found.values())


def in_order(names: Iterable[str]) -> list[str]:
    """Return each name once, in the order of first appearance."""
    return list(dict.fromkeys(names))


def ratings(judgements: Sequence[Judgement], item: Item = "sum") -> tuple[list[tuple[str, str]], Float64s]:
    """Return the outputs (method, cell) and their scores (outputs, experts), NaN where missing."""
    experts = {name: i for i, name in enumerate(in_order(j.expert for j in judgements))}
    outputs = {output: i for i, output in enumerate(dict.fromkeys((j.method, j.cell) for j in judgements))}
    scores = np.full((len(outputs), len(experts)), np.nan)
    for j in judgements:
        scores[outputs[j.method, j.cell], experts[j.expert]] = j.score(item)
    return list(outputs), scores


def means(judgements: Sequence[Judgement], item: Item = "sum") -> dict[str, dict[str, float]]:
    """Return the mean score over experts, by method and cell, of each output that every expert judged."""
    found: dict[str, dict[str, float]] = {method: {} for method in in_order(j.method for j in judgements)}
    for (method, cell), scores in zip(*ratings(judgements, item), strict=True):
        if not np.isnan(scores).any():
            found[method][cell] = float(scores.mean())
    return found


def drivers(judgements: Iterable[Judgement]) -> Mapping[str, str]:
    """Return the driver of each cell, by the cell's name."""
    return {j.cell: j.driver for j in judgements}


def missing(judgements: Sequence[Judgement]) -> dict[tuple[str, str], list[str]]:
    """Return the cells that an expert did not judge for a method, by (expert, method), out of all cells judged."""
    cells = in_order(j.cell for j in judgements)
    seen = {(j.expert, j.method, j.cell) for j in judgements}
    pairs = [(e, m) for e in in_order(j.expert for j in judgements) for m in in_order(j.method for j in judgements)]
    lacking = {(e, m): [cell for cell in cells if (e, m, cell) not in seen] for e, m in pairs}
    return {pair: absent for pair, absent in lacking.items() if absent}
