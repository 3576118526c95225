"""Judgements and inconsistencies in a grid of text: a long table or one of the challenge's wide sheets.

The challenge's sheets have one row per video: team, dataset, emotion, gender (the template), upper, lower, noise, sum.
Team, dataset and emotion are merged cells, whose text appears only in the first row to which it applies. A total row
ends a team. Remarks such as GRAY are written below the team's number. A long table has every name in every row,
including the expert's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from megbench.core.errors import BenchError
from megbench.experts.grid import Grid
from megbench.experts.judgements import BEST, ITEMS, Judgement
from megbench.experts.names import Names, NotInRun, key

HEADINGS = {
    "method": ("team", "teamid", "method", "id", "submission"),
    "expert": ("expert", "coder", "rater"),
    "database": ("dataset", "database"),
    "emotion": ("emotion", "expression"),
    "driver": ("driver", "clip"),
    "template": ("template", "gender", "target", "targetface"),
    "upper": ("upper", "upperface"),
    "lower": ("lower", "lowerface"),
    "noise": ("noise",),
    "sum": ("sum", "total"),
    "code": ("code",),
}
FIELDS = {name: field for field, names in HEADINGS.items() for name in names}
TOTALS = ("total", "sum", "合计", "总分", "总计")
COLOURS = ("gray", "grey", "color", "colour", "rgb")
# The header is expected within this many rows, because titles and instructions may precede it.
HEADER_WITHIN = 30


@dataclass(frozen=True)
class Problem:
    """An inconsistency. `fatal`: the scores cannot be trusted until it is fixed."""

    where: str
    text: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


@dataclass
class Parsed:
    """The contents of a sheet: judgements by row, problems, remarks, and the numbers of sums and totals checked.

    lacking: the number of rows that name something that the run lacks, by kind and name. These rows are checked, too.
    """

    judgements: list[tuple[Judgement, str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    sums: int = 0
    totals: int = 0
    lacking: Counter[str] = field(default_factory=Counter)


def header(grid: Grid) -> tuple[int, dict[str, int]] | None:
    """Return the index of the first row that has the three scores as headings, and the column of each field.

    Return None if there is no such row. Raise BenchError if several columns have the same field.
    """
    for index, row in enumerate(grid.rows[:HEADER_WITHIN]):
        fields = [FIELDS.get(key(text)) for text in row]
        if all(item in fields for item in ITEMS):
            doubled = sorted({f for f in fields if f and fields.count(f) > 1})
            if doubled:
                raise BenchError(f"{grid.name} row {index + 1} has several columns for {doubled[0]}. Keep one of them.")
            return index, {f: column for column, f in enumerate(fields) if f}
    return None


def parse(grid: Grid, where: str, expert: str, names: Names) -> Parsed:
    """Read the judgements of one sheet. Raise BenchError if the necessary columns are missing.

    where: the file (and worksheet), for messages. expert: the expert's name if no column gives it.
    """
    found = header(grid)
    if found is None:
        raise BenchError(f"{where} has no row with the headings upper, lower and noise. Name the columns {_wanted()}.")
    start, columns = found
    for choices in (("method",), ("template",), ("driver", "database"), ("driver", "emotion")):
        if not any(choice in columns for choice in choices):
            raise BenchError(f"{where} has no column {' or '.join(choices)}. Name the columns {_wanted()}.")
    reader = _Reader(where, columns, names, expert)
    for index, row in enumerate(grid.rows[start + 1 :], start + 2):
        reader.read(index, row)
    return reader.parsed


def _wanted() -> str:
    return "team, dataset, emotion, gender, upper, lower, noise, sum (or method, driver, template, expert and scores)"


class _Reader:
    """Read one row after another, and remember the contents of merged cells for the rows below them."""

    def __init__(self, where: str, columns: dict[str, int], names: Names, expert: str) -> None:
        self.where, self.columns, self.names, self.expert = where, columns, names, expert
        self.parsed = Parsed()
        self.held: dict[str, str] = {}
        self.so_far: dict[str, int] = dict.fromkeys((*ITEMS, "sum"), 0)
        self.everything = dict(self.so_far)
        self.complete = True  # whether all rows of the team could be read; otherwise its total cannot be checked

    def read(self, number: int, cells: list[str]) -> None:
        """Read one row, which is a video, a total, a repeated heading, a remark, or empty."""
        at = f"{self.where} row {number}"
        row = {f: cells[column] if column < len(cells) else "" for f, column in self.columns.items()}
        if not any(row.values()) or FIELDS.get(key(row["upper"])) == "upper":
            return
        if any(key(text) in TOTALS for text in row.values()) or (not row["template"] and not _scored(row)):
            self._close(row, at)
            return
        try:
            if not row["template"]:
                raise BenchError("the scores have no template (gender). Enter the template in this row.")
            self._hold(row, at)
            self._video(row, at)
        except BenchError as error:
            self.complete = False
            self.parsed.problems.append(Problem(at, str(error)))

    def _hold(self, row: dict[str, str], at: str) -> None:
        """Remember team, dataset and emotion for the rows whose cells are blank. A remark does not begin a new team."""
        team, remarks = _without_colours(row["method"])
        opens = row.get("driver") or row.get("database")
        if team and team != self.held.get("method") and not opens:
            team, remarks = "", [*remarks, team]
        self.parsed.remarks += [f"{at}: remark {remark!r}" for remark in remarks]
        for part, text in (("method", team), *((p, row.get(p, "")) for p in ("database", "emotion", "driver"))):
            if not text or text == self.held.get(part):
                continue
            if part == "method":
                self.held = {}
                self.so_far, self.complete = dict.fromkeys(self.so_far, 0), True
            elif part == "database":
                self.held.pop("emotion", None)
            self.held[part] = text

    def _video(self, row: dict[str, str], at: str) -> None:
        """Read the judgement of one video. Raise BenchError if it cannot be read."""
        driver = ("driver",) if "driver" in self.columns else ("database", "emotion")
        for part in ("method", *driver):
            if not self.held.get(part):
                raise BenchError(f"neither this row nor one above it names the {part}. Enter the {part} in this row.")
        if not all(row[item] for item in ITEMS):
            blank = ", ".join(item for item in ITEMS if not row[item])
            self.complete = False
            self.parsed.problems.append(Problem(at, f"no score for {blank}: the row is left out", fatal=False))
            return
        scores: dict[str, int] = {item: score(row[item], item) for item in ITEMS}
        for part, value in (*scores.items(), ("sum", sum(scores.values()))):
            self.so_far[part] += value
            self.everything[part] += value
        self._check_sum(row.get("sum"), scores, at)
        try:
            self.parsed.judgements.append((self._judgement(row, scores), at))
        except NotInRun as error:
            self.parsed.lacking[error.what] += 1

    def _judgement(self, row: dict[str, str], scores: dict[str, int]) -> Judgement:
        """Return the judgement in a row, with the run's names. Raise NotInRun if the run lacks one of them."""
        return Judgement(
            self.names.method(self.held["method"]),
            self.names.named_driver(self.held["driver"])
            if "driver" in self.columns
            else self.names.driver(self.held["database"], self.held["emotion"]),
            self.names.template(row["template"]),
            self.names.expert(row.get("expert") or self.expert),
            **scores,
        )

    def _check_sum(self, said: str | None, scores: dict[str, int], at: str) -> None:
        """Check a row's scores against the sum that it states, if any."""
        total = sum(scores.values())
        if said:
            self.parsed.sums += 1
            if said != str(total):
                added = " + ".join(str(value) for value in scores.values())
                text = f"the sum is given as {said}, but {added} = {total}. Correct the score or the sum."
                self.parsed.problems.append(Problem(at, text))

    def _close(self, row: dict[str, str], at: str) -> None:
        """Check a total row against the rows of its team, or against all rows if it follows the last team's total."""
        said = {part: int(row[part]) for part in self.so_far if row.get(part, "").isdecimal()}
        texts = [row[part] for part in ("method", "database", "emotion") if row.get(part)]
        self.parsed.remarks += [f"{at}: remark {text!r}" for text in texts if key(text) not in TOTALS]
        if not said:
            return
        team = self.held.get("method")
        counted, whose = (self.so_far, f"the rows of {team}") if team else (self.everything, "all rows")
        self.parsed.totals += 1
        for part, value in said.items():
            if value != counted[part] and self.complete:
                text = f"the total of {part} is {value}, but {whose} add up to {counted[part]}. Correct one of them."
                self.parsed.problems.append(Problem(at, text))
        self.held = {}


def score(text: str, item: str) -> int:
    """Return a score from 0 to 3. Raise BenchError for anything else."""
    if not text.isdecimal() or int(text) > BEST:
        raise BenchError(f"{item} is {text!r}; scores are whole numbers from 0 to {BEST}. Correct this score.")
    return int(text)


def _scored(row: dict[str, str]) -> bool:
    """Return whether a row holds three numbers that could be scores; totals are larger."""
    return all(row[item].isdecimal() and int(row[item]) <= BEST for item in ITEMS)


def _without_colours(team: str) -> tuple[str, list[str]]:
    """Split a team's cell into the team's number and the remarks on colour written in the same cell."""
    words = team.replace("(", " ").replace(")", " ").split()
    remarks = [word for word in words if key(word) in COLOURS]
    kept = " ".join(word for word in words if key(word) not in COLOURS)
    return (kept, remarks) if remarks else (team, [])


def doubles(judged: list[tuple[Judgement, str]]) -> Iterator[Problem]:
    """Yield a problem for each output that one expert judged twice."""
    first: dict[tuple[str, str, str, str], str] = {}
    for j, at in judged:
        video = (j.method, j.driver, j.template, j.expert)
        if video in first:
            text = f"{j.expert} has already judged {j.method} on {j.cell} in {first[video]}. Remove one of the rows."
            yield Problem(at, text)
        first.setdefault(video, at)
