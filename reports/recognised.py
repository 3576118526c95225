"""A recogniser's labels for a run's outputs: `recognition.json` in its folder, which `bench.py recognition` writes."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import ValidationError, field_validator, model_validator

from megbench.core.errors import BenchError, clause, plural
from megbench.core.files.cache import write_text
from megbench.core.installation import COMMAND
from megbench.engine.run_folder import RECOGNITION
from megbench.reports.run_facts import CellFacts, Facts
from megbench.reports.run_files import FinishedRun

LARGEST_BYTES = 50_000_000


class Answered(Facts):
    """One output's labels as class indices, one per seed, or () with the `reason`.

    content: the hash of the output's frames, or "" for a driver.
    apex: the frame that was used as the apex.
    fewer: whether the recogniser learned from fewer than all classes, because the others occur only in clips of the
        person held out.
    """

    answers: tuple[int, ...] = ()
    reason: str = ""
    content: str = ""
    apex: int | None = None
    fewer: bool = False


NOT_LABELLED = Answered(reason=f"not labelled: run `{COMMAND} recognition` again")


class LearntFrom(Facts):
    """The clips of one database from which the recogniser learned, including those of people held out later."""

    database: str
    clips: int
    people: int


class Recognised(Facts):
    """The complete file.

    seeds: the number of seeds, 1 for a recogniser without seeds.
    of_classes: for each class, the number of clips from which the recogniser learned.
    emotions: the class of each driver, or None if it has none.
    rows: labels by row and cell.
    drivers: the labels of the drivers themselves.
    """

    recogniser: str
    seeds: int
    scheme: str
    classes: tuple[str, ...]
    learnt_from: tuple[LearntFrom, ...]
    of_classes: tuple[int, ...]
    rendered: bool
    emotions: dict[str, str | None]
    rows: dict[str, dict[str, Answered]]
    drivers: dict[str, Answered]
    notes: tuple[str, ...] = ()

    @field_validator("classes")
    @classmethod
    def _several(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(names) < 2:
            raise ValueError("at least two classes are needed")
        if len(set(names)) < len(names):
            raise ValueError("a class occurs twice")
        return names

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """Check that the parts of the file agree."""
        if self.seeds < 1:
            raise ValueError(f"seeds: {self.seeds} is less than 1")
        if len(self.of_classes) != len(self.classes) or min(self.of_classes) < 0:
            raise ValueError(
                f"of_classes: {self.of_classes} does not have a count for each of the {len(self.classes)} classes"
            )
        for driver, emotion in self.emotions.items():
            if emotion is not None and emotion not in self.classes:
                raise ValueError(f"emotions.{driver}: {emotion!r} is not one of the classes {', '.join(self.classes)}")
        for row, cells in {
            "drivers": self.drivers,
            **{f"rows.{row}": cells for row, cells in self.rows.items()},
        }.items():
            for cell, one in cells.items():
                if why := self._fault(one):
                    raise ValueError(f"{row}.{cell} {why}")
        return self

    def _fault(self, one: Answered) -> str:
        if not one.answers:
            return "" if one.reason else "has neither answers nor a reason"
        if len(one.answers) != self.seeds:
            return f"has {plural(len(one.answers), 'answer')} for {plural(self.seeds, 'seed')}"
        wrong = [answer for answer in one.answers if not -1 <= answer < len(self.classes)]
        return (
            f"has answer {wrong[0]}, which is not between -1 (no answer) and {len(self.classes) - 1}" if wrong else ""
        )

    def true(self, cell: CellFacts) -> int | None:
        """Return the class of a cell's driver, or None if it has none."""
        return self._place(cell.driver)

    def _place(self, driver: str) -> int | None:
        name = self.emotions.get(driver)
        return self.classes.index(name) if name in self.classes else None

    def of_foil(self, cell: CellFacts) -> int | None:
        """Return the class of a cell's foil, or None if there is no foil or its class is unknown."""
        return self._place(cell.foil)

    def given(self, label: str, cell: CellFacts) -> Answered:
        """Return the labels of a row in a cell."""
        return self.rows.get(label, {}).get(cell.name) or NOT_LABELLED

    def of_driver(self, cell: CellFacts) -> Answered:
        """Return the labels of a cell's driver."""
        return self.drivers.get(cell.driver) or NOT_LABELLED


def write_recognised(run: Path, found: Recognised) -> Path:
    """Write the file to a run's folder, completely or not at all; return its path."""
    write_text(run / RECOGNITION, found.model_dump_json(indent=1))
    return run / RECOGNITION


def read_recognised(run: FinishedRun) -> Recognised | None:
    """Return the labels in a run's folder, or None if there are none. Outputs that have changed since have no labels.

    Raise BenchError if the file is invalid.
    """
    path = run.folder / RECOGNITION
    if not path.exists():
        return None
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise BenchError(f"{path} is larger than {LARGEST_BYTES} bytes. Run `{COMMAND} recognition` again.")
        found = Recognised.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BenchError(f"{path} cannot be read ({error.strerror}). Run `{COMMAND} recognition` again.") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        what = clause(first["msg"].removeprefix("Value error, "))
        raise BenchError(f"{path} is not valid ({place}: {what}). Run `{COMMAND} recognition` again.") from None
    known = {
        label: {
            cell.name: answered
            for cell in run.facts.cells
            if (answered := cells.get(cell.name)) and answered.content == run.content(label, cell)
        }
        for label, cells in found.rows.items()
    }
    return found.model_copy(update={"rows": known})
