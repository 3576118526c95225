"""Translate a sheet's names into the suite's names, first with the user's mapping file, then by rules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from megbench.core.config import read_overlay
from megbench.core.errors import BenchError, clause

# The names of MEGC2021's two templates in its sheets, its kit and later sheets.
TEMPLATES = {
    **dict.fromkeys(("asianfemale", "normalizedasianfemale", "femaleasian"), "asianFemale"),
    **dict.fromkeys(
        ("westernmale", "westmale", "normalizedwesternmale", "normalizedwestmale", "malewestern"), "westernMale"
    ),
}
DATABASES = {"casmeii": "casme2"}
EMOTIONS = {"neg": "negative", "pos": "positive", "sur": "surprise"}


def key(text: str) -> str:
    """Return a name in lower case without spaces and punctuation, or the name itself if nothing would be left."""
    return re.sub(r"[\W_]+", "", text).casefold() or text


class MappingFile(BaseModel):
    """A mapping file, which maps sheets' names to the suite's. A driver's name in a sheet is "DATABASE EMOTION"."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    methods: dict[str, str] = {}
    drivers: dict[str, str] = {}
    templates: dict[str, str] = {}
    experts: dict[str, str] = {}

    @field_validator("*", mode="before")
    @classmethod
    def _as_text(cls, names: object) -> object:
        """Normalise the sheets' names, and convert whole numbers to text, so that team numbers need no quotes."""
        if not isinstance(names, dict):
            return names
        return {key(str(name)): str(value) if isinstance(value, int) else value for name, value in names.items()}


@dataclass(frozen=True)
class Known:
    """The allowed names, if they are known (from a run's rows and cells); () allows any name."""

    methods: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()


class NotInRun(Exception):
    """A name in a sheet that does not occur in the run. `what` gives its kind and the name, such as "method 3282"."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True)
class Names:
    """Translate a sheet's names; raise NotInRun for a name that the run does not have."""

    mapping: MappingFile = field(default_factory=MappingFile)
    known: Known = field(default_factory=Known)

    @classmethod
    def read(cls, path: Path | None, known: Known | None = None) -> Names:
        """Create a translator from the user's mapping file, if any. Raise BenchError if the file is not valid."""
        values = read_overlay(path) if path else {}
        try:
            return cls(MappingFile.model_validate(values), known or Known())
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            choices = ", ".join(MappingFile.model_fields)
            raise BenchError(
                f"{path} is not valid ({place}: {clause(first['msg'])}). Use only the parts {choices}."
            ) from None

    def method(self, text: str) -> str:
        """Return the method for a team's name."""
        return _translated("method", text, self.mapping.methods, {}, self.known.methods)

    def driver(self, database: str, emotion: str) -> str:
        """Return the driver for a database and an emotion, such as casme2_negative."""
        left = DATABASES.get(key(database), key(database))
        right = EMOTIONS.get(key(emotion)[:3], key(emotion))
        text = f"{database} {emotion}"
        return _translated("driver", text, self.mapping.drivers, {key(text): f"{left}_{right}"}, self.known.drivers)

    def named_driver(self, text: str) -> str:
        """Return the driver for a name in a driver column."""
        return _translated("driver", text, self.mapping.drivers, {}, self.known.drivers)

    def template(self, text: str) -> str:
        """Return the template for a sheet's name."""
        return _translated("template", text, self.mapping.templates, TEMPLATES, self.known.templates)

    def expert(self, text: str) -> str:
        """Return the expert for a sheet's name."""
        return self.mapping.experts.get(key(text), text)


def _translated(kind: str, text: str, mapped: Mapping[str, str], rules: Mapping[str, str], known: Iterable[str]) -> str:
    """Translate a name, using the mapping file first and then the rules; return the known name with the same key.

    Raise NotInRun if names are known and this is not one of them.
    """
    found = mapped.get(key(text)) or rules.get(key(text)) or text
    by_key = {key(name): name for name in known}
    if by_key and key(found) not in by_key:
        raise NotInRun(f"{kind} {found}")
    return by_key.get(key(found), found)
