"""The scores of a run as a data frame: either all of them, or those of its only row with one line per cell."""

from __future__ import annotations

import csv
import math
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from megbench.core.clip import Cell
from megbench.core.contracts import Figure, Metric
from megbench.engine.score_table import COLUMNS, SCORES

# The reason why recordings lack the figures that compare outputs with the truth, with the protocols that have a truth.
NO_TRUTH = "the true result is not known; use the protocol demo, demo_kit or self (megbench.run)"
OVER_ALL = "over_all_cells"
OF_ALL = f"defined only for all cells together: attrs[{OVER_ALL!r}]"
# If a figure exists only over several cells, metrics end the reason for its absence with these words.
OF_SEVERAL = "see the rows over several cells"


def read_scores(run: Path) -> pd.DataFrame:
    """Return the scores of a finished run exactly as written: all digits of the numbers, and NaN for absent ones."""
    with (run / SCORES).open(newline="", encoding="utf-8") as file:
        table = pd.DataFrame(list(csv.DictReader(file)), columns=COLUMNS)  # names such as "022" stay strings
    table["value"] = [float(text) if text else math.nan for text in table["value"]]
    table["is_control"] = table["is_control"] == "True"
    return table.astype({"n_scored": int, "n_cells": int})


def by_cell(scores: pd.DataFrame, cells: Sequence[Cell], metrics: Sequence[Metric]) -> pd.DataFrame:
    """Return the scores of a run that has a single row of outputs, with one line per cell.

    The columns are driver, template, each figure, and reason. The reason explains the absent figures; if all figures of
    a metric are absent for the same reason, it names the metric instead. `attrs["over_all_cells"]` contains each figure
    over all cells, or None if it is absent.
    """
    figures = {figure.name: figure for metric in metrics for figure in metric.figures}
    of_cells = scores[scores["scope"] == "cell"].to_dict("records")
    found = {(row["driver"], row["template"], row["figure"]): row for row in of_cells}
    lines: list[dict[str, Any]] = []
    for cell in cells:
        names = {"driver": cell.driver.name, "template": cell.template.name}
        of_cell = {figure: found[cell.driver.name, cell.template.name, figure] for figure in figures}
        absent = {name: _why(figures[name], row) for name, row in of_cell.items() if pd.isna(row["value"])}
        values = {name: float(row["value"]) for name, row in of_cell.items()}
        lines.append({**names, **values, "reason": _told(absent, metrics)})
    table = pd.DataFrame(lines, columns=["driver", "template", *figures, "reason"])
    whole = scores[scores["scope"] == "all"]
    table.attrs[OVER_ALL] = {
        name: None if pd.isna(value) else float(value) for name, value in zip(whole.figure, whole.value, strict=True)
    }
    return table


def _why(figure: Figure, row: Mapping[Hashable, Any]) -> str:
    """Return why a figure is absent in a cell, with the remedy if there is one."""
    if figure.target == "truth" and row["status"] not in ("failed", "missing"):
        return NO_TRUTH
    return OF_ALL if str(row["reason"]).endswith(OF_SEVERAL) else str(row["reason"])


def _told(absent: Mapping[str, str], metrics: Sequence[Metric]) -> str:
    """Return each reason once, after the figures that it explains.

    A metric's name replaces its figures if the reason explains all of them.
    """
    told: dict[str, list[str]] = {}
    for metric in metrics:
        reasons = {figure.name: absent.get(figure.name, "") for figure in metric.figures}
        for reason in dict.fromkeys(filter(None, reasons.values())):
            concerned = [name for name, why in reasons.items() if why == reason]
            told.setdefault(reason, []).extend([metric.name] if len(concerned) == len(reasons) else concerned)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in told.items())
