"""A grid of text as judgements: long tables and the challenge's wide sheets, with everything that does not add up.

The challenge's sheets have one row per video: team, dataset, emotion, gender (the template), upper, lower, noise, sum.
Team, dataset and emotion stand only in the first of the rows they hold for (merged cells); a total row ends a team;
remarks such as GRAY stand under the team's number. A long table names everything in every row, the expert as well.
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
# The header is looked for in so many rows: titles and instructions may stand above it.
HEADER_WITHIN = 30


@dataclass(frozen=True)
class Problem:
    """Something that does not add up. `fatal`: the scores cannot be trusted until it is mended."""

    where: str
    text: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


@dataclass
class Parsed:
    """What a sheet said: judgements with their rows, problems, remarks, and how many sums and totals were checked.

    lacking: how many rows name something that the run lacks, by its kind and name; they are checked all the same.
    """

    judgements: list[tuple[Judgement, str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    sums: int = 0
    totals: int = 0
    lacking: Counter[str] = field(default_factory=Counter)


def header(grid: Grid) -> tuple[int, dict[str, int]] | None:
    """Index of the first row that has the three scores as headings, and each field's column; None without one."""
    for index, row in enumerate(grid.rows[:HEADER_WITHIN]):
        fields = [FIELDS.get(key(text)) for text in row]
        if all(item in fields for item in ITEMS):
            doubled = sorted({f for f in fields if f and fields.count(f) > 1})
            if doubled:
                raise BenchError(f"{grid.name} row {index + 1}: several columns for {doubled[0]}. Keep one of them.")
            return index, {f: column for column, f in enumerate(fields) if f}
    return None


def parse(grid: Grid, where: str, expert: str, names: Names) -> Parsed:
    """Judgements of one sheet; `expert` where no column says who. BenchError if the columns are not a sheet's.

    where: the file (and worksheet), for messages.
    """
    found = header(grid)
    if found is None:
        raise BenchError(f"{where}: no row with the headings upper, lower and noise. Name the columns {_wanted()}.")
    start, columns = found
    for choices in (("method",), ("template",), ("driver", "database"), ("driver", "emotion")):
        if not any(choice in columns for choice in choices):
            raise BenchError(f"{where}: no column {' or '.join(choices)}. Name the columns {_wanted()}.")
    reader = _Reader(where, columns, names, expert)
    for index, row in enumerate(grid.rows[start + 1 :], start + 2):
        reader.read(index, row)
    return reader.parsed


def _wanted() -> str:
    return "team, dataset, emotion, gender, upper, lower, noise, sum (or method, driver, template, expert and scores)"


class _Reader:
    """Reads row after row and remembers what merged cells hold for the rows below."""

    def __init__(self, where: str, columns: dict[str, int], names: Names, expert: str) -> None:
        self.where, self.columns, self.names, self.expert = where, columns, names, expert
        self.parsed = Parsed()
        self.held: dict[str, str] = {}
        self.so_far: dict[str, int] = dict.fromkeys((*ITEMS, "sum"), 0)
        self.everything = dict(self.so_far)
        self.complete = True  # whether all rows of the team could be read: else its total cannot be checked

    def read(self, number: int, cells: list[str]) -> None:
        """One row: a video, a total, a heading once more, a remark, or nothing."""
        at = f"{self.where} row {number}"
        row = {f: cells[column] if column < len(cells) else "" for f, column in self.columns.items()}
        if not any(row.values()) or FIELDS.get(key(row["upper"])) == "upper":
            return
        if any(key(text) in TOTALS for text in row.values()) or (not row["template"] and not _scored(row)):
            self._close(row, at)
            return
        try:
            if not row["template"]:
                raise BenchError("scores without a template (gender). Write it into the row.")
            self._hold(row, at)
            self._video(row, at)
        except BenchError as error:
            self.complete = False
            self.parsed.problems.append(Problem(at, str(error)))

    def _hold(self, row: dict[str, str], at: str) -> None:
        """Carry team, dataset and emotion over to the rows whose cells are blank. A remark opens no team."""
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
        """Judge one video. BenchError for what cannot be read."""
        driver = ("driver",) if "driver" in self.columns else ("database", "emotion")
        for part in ("method", *driver):
            if not self.held.get(part):
                raise BenchError(f"no {part}, in this row or above it. Write it into the row.")
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
        """A row by the run's names. NotInRun where the run lacks one of them."""
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
        """Check the sum that a row says, if it says one, against its scores."""
        total = sum(scores.values())
        if said:
            self.parsed.sums += 1
            if said != str(total):
                added = " + ".join(str(value) for value in scores.values())
                text = f"the sum says {said}, but {added} = {total}. Correct the score or the sum."
                self.parsed.problems.append(Problem(at, text))

    def _close(self, row: dict[str, str], at: str) -> None:
        """Check a total row against the rows of its team; one after the last team against all rows."""
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
                text = f"the total of {part} says {value}, but {whose} add up to {counted[part]}. Correct either."
                self.parsed.problems.append(Problem(at, text))
        self.held = {}


def score(text: str, item: str) -> int:
    """A score 0 to 3. BenchError for anything else."""
    if not text.isdecimal() or int(text) > BEST:
        raise BenchError(f"{item} is {text!r}; scores are whole numbers from 0 to {BEST}. Correct it.")
    return int(text)


def _scored(row: dict[str, str]) -> bool:
    """Whether a row holds three numbers that could be scores: a total would be larger."""
    return all(row[item].isdecimal() and int(row[item]) <= BEST for item in ITEMS)


def _without_colours(team: str) -> tuple[str, list[str]]:
    """A team's cell as its number and the remarks on colour that were written into the same cell."""
    words = team.replace("(", " ").replace(")", " ").split()
    remarks = [word for word in words if key(word) in COLOURS]
    kept = " ".join(word for word in words if key(word) not in COLOURS)
    return (kept, remarks) if remarks else (team, [])


def doubles(judged: list[tuple[Judgement, str]]) -> Iterator[Problem]:
    """Outputs that one expert judged twice."""
    first: dict[tuple[str, str, str, str], str] = {}
    for j, at in judged:
        video = (j.method, j.driver, j.template, j.expert)
        if video in first:
            text = f"{j.expert} judged {j.method} on {j.cell} already in {first[video]}. Remove one of the rows."
            yield Problem(at, text)
        first.setdefault(video, at)
