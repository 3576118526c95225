"""What a sheet calls things and what the suite calls them: rules first, then the user's own mapping file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from megbench.core.config import read_overlay
from megbench.core.errors import BenchError

# MEGC2021's two templates as its sheets, its kit and later sheets call them.
TEMPLATES = {
    **dict.fromkeys(("asianfemale", "normalizedasianfemale", "femaleasian"), "asianFemale"),
    **dict.fromkeys(
        ("westernmale", "westmale", "normalizedwesternmale", "normalizedwestmale", "malewestern"), "westernMale"
    ),
}
DATABASES = {"casmeii": "casme2"}
EMOTIONS = {"neg": "negative", "pos": "positive", "sur": "surprise"}


def key(text: str) -> str:
    """A name without case, spaces and punctuation; what is left where nothing else would be."""
    return re.sub(r"[\W_]+", "", text).casefold() or text


class MappingFile(BaseModel):
    """A mapping file: what sheets say -> what the suite says. A driver is keyed by "DATABASE EMOTION"."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    methods: dict[str, str] = {}
    drivers: dict[str, str] = {}
    templates: dict[str, str] = {}
    experts: dict[str, str] = {}

    @field_validator("*", mode="before")
    @classmethod
    def _as_text(cls, names: object) -> object:
        """Team numbers need no quotes."""
        if not isinstance(names, dict):
            return names
        return {key(str(name)): str(value) if isinstance(value, int) else value for name, value in names.items()}


@dataclass(frozen=True)
class Known:
    """What may be named, where that is known (a run's rows and cells); () for anything."""

    methods: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()


class NotInRun(Exception):
    """A name of a sheet that the run lacks: `what` is its kind and the name, "method 3282"."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True)
class Names:
    """Translates a sheet's names. NotInRun for one that the run does not have."""

    mapping: MappingFile = field(default_factory=MappingFile)
    known: Known = field(default_factory=Known)

    @classmethod
    def read(cls, path: Path | None, known: Known | None = None) -> Names:
        """Names with the user's mapping file, if there is one. BenchError if it is not one."""
        values = read_overlay(path) if path else {}
        try:
            return cls(MappingFile.model_validate(values), known or Known())
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            choices = ", ".join(MappingFile.model_fields)
            raise BenchError(f"{path}: {place}: {first['msg']}. A mapping file has the parts {choices}.") from None

    def method(self, text: str) -> str:
        """A team as a method."""
        return _translated("method", text, self.mapping.methods, {}, self.known.methods)

    def driver(self, database: str, emotion: str) -> str:
        """Database and emotion as a driver: casme2_negative."""
        left = DATABASES.get(key(database), key(database))
        right = EMOTIONS.get(key(emotion)[:3], key(emotion))
        text = f"{database} {emotion}"
        return _translated("driver", text, self.mapping.drivers, {key(text): f"{left}_{right}"}, self.known.drivers)

    def named_driver(self, text: str) -> str:
        """A driver that the sheet names itself."""
        return _translated("driver", text, self.mapping.drivers, {}, self.known.drivers)

    def template(self, text: str) -> str:
        """A template."""
        return _translated("template", text, self.mapping.templates, TEMPLATES, self.known.templates)

    def expert(self, text: str) -> str:
        """An expert."""
        return self.mapping.experts.get(key(text), text)


def _translated(kind: str, text: str, mapped: Mapping[str, str], rules: Mapping[str, str], known: Iterable[str]) -> str:
    """By the mapping file, by rule, by what is known but for case and punctuation, else as it stands."""
    found = mapped.get(key(text)) or rules.get(key(text)) or text
    by_key = {key(name): name for name in known}
    if by_key and key(found) not in by_key:
        raise NotInRun(f"{kind} {found}")
    return by_key.get(key(found), found)
