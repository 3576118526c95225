"""Answers in pairwise comparisons: which of two outputs in one cell moves more like the driver?

A run keeps all answers, with the methods' names, in `pairs.csv`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from megbench.core.errors import BenchError, clause, shown
from megbench.core.files.bounded import read_bounded
from megbench.core.files.cache import write_text
from megbench.core.tables.spreadsheet_text import inert, restored
from megbench.experts.pairs_design import Pair

FILE = "pairs.csv"
Answer = Literal["left", "right", "same"]
ANSWERS: dict[str, Answer] = {"left": "left", "right": "right", "same": "same"}
LABELS = ("rater", "driver", "template", "left", "right")
COLUMNS = (*LABELS, "answer", "number")
LARGEST_TABLE = 50_000_000
REMEDY = "Check the path and its permissions."


@dataclass(frozen=True)
class PairJudgement:
    """One rater's answer about the outputs of two methods in one cell. `number`: the question's index, from 0."""

    rater: str
    driver: str
    template: str
    left: str
    right: str
    answer: Answer
    number: int

    @property
    def pair(self) -> Pair:
        """The pair in question, independent of the side on which each method was shown."""
        return Pair(f"{self.driver}__{self.template}", self.left, self.right).in_alphabet

    @property
    def preferred(self) -> str | None:
        """The method that the rater preferred, or None if neither."""
        return {"left": self.left, "right": self.right, "same": None}[self.answer]


def first_answers(judgements: Iterable[PairJudgement]) -> list[PairJudgement]:
    """Return each rater's first answer about each pair; repeats only serve to check consistency."""
    found: dict[tuple[str, Pair], PairJudgement] = {}
    for judgement in sorted(judgements, key=lambda judgement: judgement.number):
        found.setdefault((judgement.rater, judgement.pair), judgement)
    return list(found.values())


def repeated(judgements: Sequence[PairJudgement]) -> list[tuple[PairJudgement, PairJudgement]]:
    """Return the first and the second answer about every pair that a rater was asked about twice."""
    first = {(judgement.rater, judgement.pair): judgement for judgement in first_answers(judgements)}
    return [
        (first[judgement.rater, judgement.pair], judgement)
        for judgement in judgements
        if first[judgement.rater, judgement.pair] != judgement
    ]


def write_pairs(path: Path, judgements: Iterable[PairJudgement]) -> None:
    """Write judgements as CSV, completely or not at all; names stay text in spreadsheets."""
    rows = [(*map(inert, astuple(each)[:5]), each.answer, each.number) for each in judgements]
    write_text(path, pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(index=False, lineterminator="\n"))


def read_pairs(path: Path) -> list[PairJudgement]:
    """Read what `write_pairs` wrote. Raise BenchError if it is missing or is not a table of pairs."""
    try:
        return _pairs(read_bounded(path, LARGEST_TABLE, REMEDY).decode("utf-8-sig"))
    except (ValueError, csv.Error) as error:
        raise BenchError(f"{path} is not a table of pairs ({clause(error)}). Import the answers again.") from None


def _pairs(text: str) -> list[PairJudgement]:
    """Return the judgements in CSV text. Raise ValueError or csv.Error if it is not a table of pairs."""
    table = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    if tuple(table.fieldnames or ()) != COLUMNS:
        raise ValueError(f"its columns are not {', '.join(COLUMNS)}")
    found: dict[tuple[str, int], PairJudgement] = {}
    for row in table:
        line = table.line_num
        if None in row or None in row.values():
            raise ValueError(f"line {line} does not have {len(COLUMNS)} cells")
        answer, number = row["answer"], row["number"]
        if answer not in ANSWERS:
            raise ValueError(f"line {line}: answer is {shown(answer)}, not one of {', '.join(ANSWERS)}")
        if not (number.isascii() and number.isdigit() and len(number) <= 4):
            raise ValueError(f"line {line}: number is {shown(number)}, which is not a question number")
        rater, driver, template, left, right = (restored(row[label]) for label in LABELS)
        if left == right or (rater, int(number)) in found:
            raise ValueError(f"line {line} compares a method with itself, or answers a question twice")
        found[rater, int(number)] = PairJudgement(rater, driver, template, left, right, ANSWERS[answer], int(number))
    return list(found.values())
