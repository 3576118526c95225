"""Blinded sheets for a user's own experts: a folder to hand over, and a key that stays with the run.

The folder holds `sheet.xlsx` and the videos, which are named by codes in random order. Nothing in it reveals which
method made which video; only the key says so. The key also records the hash of the frames behind each code, so that
scores given to other frames are refused.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from megbench.core.errors import BenchError
from megbench.core.files.cache import digest, read_json, write_json
from megbench.core.files.names import check_name
from megbench.core.files.whole_files import whole_file
from megbench.core.tables.spreadsheet_text import printable
from megbench.experts.grid import Grid, read_grids
from megbench.experts.judgements import BEST, ITEMS, Judgement
from megbench.experts.sheet import Parsed, Problem, header, score

FOLDER = "experts"
MARK = "MEG-Bench expert sheet"
COLUMNS = ("code", "video", "driver", "template", "emotion", "AUs of the driver", *ITEMS, "remarks")
GUIDE = (
    "Compare every video with its driver and score it: 0 completely incorrect, 1 poor, 2 good, 3 excellent.",
    "upper, lower: does this half of the face show the driver's expression (its action units) as well as the driver"
    " does? noise: is the entire picture free of artefacts?",
)


class BlindedOutput(BaseModel):
    """One output as recorded in the key. `content` is the hash of its frames."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str
    driver: str
    template: str
    content: str


class Key(BaseModel):
    """The outputs behind the codes of one expert's sheet, in the sheet's order. `id` is also written on the sheet."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    expert: str
    codes: dict[str, BlindedOutput]


@dataclass(frozen=True)
class Shown:
    """The facts about a cell that an expert may see."""

    emotion: str
    action_units: str


def make_key(run: str, expert: str, outputs: Sequence[BlindedOutput]) -> Key:
    """Shuffle the outputs and give each a code; the same run, expert and outputs give the same key."""
    check_name("expert", expert)
    identity = digest([run, expert, [output.model_dump() for output in outputs]])
    shuffled = list(outputs)
    rng = random.Random(identity)
    rng.shuffle(shuffled)
    letters = "abcdefghjkmnpqrstuvwxyz"
    codes: list[str] = []
    while len(codes) < len(shuffled):
        code = "".join(rng.choices(letters, k=5))
        codes += [code] if code not in codes else []
    return Key(id=identity[:16], expert=expert, codes=dict(zip(codes, shuffled, strict=True)))


def key_path(run: Path, expert: str) -> Path:
    """Return the path of an expert's key in the run, beside the folder that is handed to the expert."""
    return run / FOLDER / f"{expert}.key.json"


def write_sheet(path: Path, key: Key, shown: Mapping[tuple[str, str], Shown]) -> None:
    """Write the XLSX sheet of a key, with all names as text. `shown`: the facts to display, by (driver, template)."""
    from openpyxl import Workbook
    from openpyxl.styles import Font
    from openpyxl.worksheet.datavalidation import DataValidation

    book = Workbook()
    book.properties.creator = "MEG-Bench"
    page = book.active
    page.title = "scores"
    for row, text in enumerate((f"{MARK} {key.id}", *GUIDE), 1):
        _put(page, row, 1, text)
    top = len(GUIDE) + 3
    for column, title in enumerate(COLUMNS, 1):
        _put(page, top, column, title).font = Font(bold=True)
    for line, (code, output) in enumerate(key.codes.items(), top + 1):
        facts = shown[output.driver, output.template]
        texts = (code, f"{code}.mp4", output.driver, output.template, facts.emotion, facts.action_units)
        for column, text in enumerate(texts, 1):
            _put(page, line, column, text)
    rule = DataValidation(type="whole", operator="between", formula1="0", formula2=str(BEST), allow_blank=True)
    rule.error, rule.errorTitle = f"Whole numbers from 0 to {BEST}.", "Score"
    page.add_data_validation(rule)
    first = COLUMNS.index(ITEMS[0])
    letters = [chr(ord("A") + first + i) for i in range(len(ITEMS))]
    rule.add(f"{letters[0]}{top + 1}:{letters[-1]}{top + len(key.codes)}")
    page.freeze_panes = f"B{top + 1}"
    for letter in "BCDEF":
        page.column_dimensions[letter].width = 18
    with whole_file(path) as file:
        book.save(file)


def _put(page: Any, row: int, column: int, text: str) -> Any:
    """Write text into a cell and return the cell. The value stays text even if it looks like a formula."""
    cell = page.cell(row, column)
    cell.value = printable(text)
    cell.data_type = "s"
    return cell


def write_key(run: Path, key: Key) -> None:
    """Write a key into its run."""
    write_json(key_path(run, key.expert), key.model_dump())


def replaceable(run: Path, key: Key) -> bool:
    """Return whether a key may be written: if the expert has no key yet, or already has this one after an interrupted
    export."""
    kept = read_json(key_path(run, key.expert))
    return not key_path(run, key.expert).exists() or (isinstance(kept, dict) and kept.get("id") == key.id)


def sheet_id(path: Path) -> str | None:
    """Return the id above the table of a blinded sheet, or None for any other file."""
    for grid in read_grids(path):
        for row in grid.rows[:3]:
            found = next((text for text in row if text.startswith(MARK)), None)
            if found:
                return found.removeprefix(MARK).strip()
    return None


def find_key(run: Path, path: Path, identity: str) -> Key:
    """Return the run's key for a sheet. Raise BenchError if there is none, or if a key cannot be read."""
    for candidate in sorted((run / FOLDER).glob("*.key.json")):
        try:
            key = Key.model_validate_json(candidate.read_bytes())
        except (OSError, ValidationError):
            raise BenchError(f"{candidate} is not a readable key. Create the expert's sheet again.") from None
        if key.id == identity:
            return key
    raise BenchError(
        f"{path} is sheet {identity}, for which {run / FOLDER} has no key. Pass the sheet's own run with --run."
    )


def read_sheet(path: Path, key: Key, contents: Mapping[tuple[str, str, str], str]) -> Parsed:
    """Read the judgements in a completed sheet, using its key.

    contents: the hash of the frames that the run holds now, by (method, driver, template). An output that has changed
    since the sheet was made is a fatal problem; a code without scores is a warning. Raise BenchError if the file is not
    a blinded sheet.
    """
    grid = next((grid for grid in read_grids(path) if header(grid)), Grid("", []))
    found = header(grid)
    if found is None or "code" not in found[1]:
        raise BenchError(
            f"{path}: the headings code, upper, lower and noise are missing. Restore the sheet's headings."
        )
    start, columns = found
    where = f"{path.parent.name}/{path.name}"  # every expert's sheet has the same name
    parsed = Parsed()
    seen: set[str] = set()
    for number, row in enumerate(grid.rows[start + 1 :], start + 2):
        texts = {field: row[column] if column < len(row) else "" for field, column in columns.items()}
        code, at = texts["code"], f"{where} row {number}"
        if not any(texts.values()):
            continue
        problem = _problem(code, key, contents, seen)
        seen.add(code)
        if problem:
            parsed.problems.append(Problem(at, problem))
        elif blank := [item for item in ITEMS if not texts[item]]:
            parsed.problems.append(Problem(at, f"no score for {', '.join(blank)}: {code} is left out", fatal=False))
        else:
            try:
                scores = {str(item): score(texts[item], item) for item in ITEMS}
            except BenchError as error:
                parsed.problems.append(Problem(at, str(error)))
                continue
            output = key.codes[code]
            judgement = Judgement(output.method, output.driver, output.template, key.expert, **scores)
            parsed.judgements.append((judgement, at))
    lacking = [code for code in key.codes if code not in seen]
    if lacking:
        parsed.problems.append(
            Problem(
                where, f"left out, because the sheet has no rows with these codes: {', '.join(lacking)}", fatal=False
            )
        )
    return parsed


def _problem(code: str, key: Key, contents: Mapping[tuple[str, str, str], str], seen: set[str]) -> str:
    """Return why a row cannot be used, or "" if it can."""
    if code not in key.codes:
        return f"the code {code!r} does not belong to this sheet. Restore the original code."
    if code in seen:
        return f"the code {code} appears twice. Remove one of the rows."
    output = key.codes[code]
    if contents.get((output.method, output.driver, output.template)) != output.content:
        return f"the output behind {code} has changed since it was judged. Create a new sheet for this run."
    return ""
