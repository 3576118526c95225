"""Configurations: defaults in code as frozen dataclasses, small YAML overlays, and `a.b=value` overrides.

Unknown keys and values of the wrong type are errors.
"""

import dataclasses
import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, to_json

from megbench.core.errors import BenchError, WrongSetting, clause, shown, unknown_name

T = TypeVar("T")

# Types for settings whose range `build` checks: whole numbers from 1, whole numbers from 0, positive numbers, and
# shares from 0 to below 1.
Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]

# An overlay is about a page long; a file larger than this is a mistake or an attack.
LARGEST_OVERLAY_BYTES = 100_000
# Settings nest four levels deep; thousands of levels would exhaust the parser.
DEEPEST_OVERLAY = 20


def read_overlay(path: Path) -> dict[str, Any]:
    """Return the settings in a YAML file, or {} if it is empty.

    Raise BenchError if the file is missing, too large or not a mapping.
    """
    if not path.is_file():
        raise BenchError(f"Config {path} does not exist. Choices: {', '.join(sorted(_neighbours(path))) or 'none'}.")
    if path.stat().st_size > LARGEST_OVERLAY_BYTES:
        raise BenchError(f"Config {path} is larger than {LARGEST_OVERLAY_BYTES} bytes. Pass a settings file.")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"Config {path} cannot be read as UTF-8 text ({clause(error)}). Pass a YAML file.") from None
    values = read_yaml(text, f"Config {path}")
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise BenchError(f"Config {path} must be a mapping of settings, got {type(values).__name__}.")
    return values


def read_yaml(text: str, what: str) -> Any:
    """Return the values in YAML text.

    Raise BenchError, naming `what`, for anchors, tags, deep nesting and invalid YAML.
    """
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if getattr(event, "anchor", None):
                raise BenchError(f"{what} uses YAML anchors (& or *), which are not allowed. Write the values out.")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST_OVERLAY:
                raise BenchError(f"{what} is nested deeper than {DEEPEST_OVERLAY} levels. Pass plain settings.")
        return yaml.load(text, Loader=_Loader)
    except BenchError:
        raise
    # Besides its own errors, PyYAML lets through those that int(), datetime() and others raise for values that merely
    # look like numbers or dates.
    except (yaml.YAMLError, ValueError, ArithmeticError, LookupError, AttributeError, TypeError) as error:
        raise BenchError(
            f"{what} is not valid YAML ({_problem(error)}). Correct it, or put quotes around the value."
        ) from None


def _problem(error: Exception) -> str:
    """Return the problem that the YAML parser reports, with the line number."""
    mark = getattr(error, "problem_mark", None)
    found = clause(getattr(error, "problem", None) or error)
    return f"line {mark.line + 1}: {found}" if mark else found


class _Loader(yaml.SafeLoader):
    """A safe loader that rejects repeated keys, because one of the two values would otherwise be lost silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping. Raise ValueError if a key is repeated."""
        keys = [(key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := next((value for place, (tag, value) in enumerate(keys) if (tag, value) in keys[:place]), None):
            raise ValueError(f"the key {twice!r} is repeated")
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


# YAML 1.1 reads 1e-4 and 1.5e3 as text, but users mean numbers.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def _neighbours(path: Path) -> list[str]:
    return [str(other) for other in path.parent.glob("*.yaml")] if path.parent.is_dir() else []


# Plain words for phrases in pydantic's messages that are long or not widely understood.
PLAINLY = {
    "valid array": "list",
    "an object": "a mapping",
    "greater than or equal to": "at least",
    "greater than": "more than",
}


def resolve(kind: type[T], overlays: Iterable[Mapping[str, Any]] = (), sets: Iterable[str] = (), where: str = "") -> T:
    """Return a `kind` built from its defaults, the overlays in order, and overrides such as ``optimiser.lr=1e-4``.

    where: the path of this part within a larger config, for error messages. Raise BenchError for an unknown key (with
    the nearest known one), a wrong type, a value out of range, or a malformed override.
    """
    merged: dict[str, Any] = {}
    for overlay in overlays:
        merged = merge(merged, overlay)
    for item in sets:
        merged = merge(merged, parse_set(item))
    return build(kind, merged, where)


def parse_set(item: str) -> dict[str, Any]:
    """Return ``a.b=1`` as {"a": {"b": 1}}; the value is read as YAML. Raise BenchError if the text is malformed."""
    keys, equals, text = item.partition("=")
    if not equals or not all(keys.split(".")):
        raise BenchError(f"--set {shown(item)} must be KEY=VALUE, such as loss.perceptual=pyramid.")
    value = read_yaml(text, f"--set {shown(item)}: the value")
    for key in reversed(keys.split(".")):
        value = {key: value}
    return dict(value)


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return `below` updated with `above`: nested mappings are merged, and everything else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def as_dict(config: Any) -> dict[str, Any]:
    """Return the resolved config as JSON values."""
    return dataclasses.asdict(config)


def build(kind: type[T], settings: Any, where: str) -> T:
    """Return the dataclass `kind` with the given settings in place of its defaults; `where` names them in errors.

    Settings are JSON values: a list becomes a tuple and 1 becomes a float; nothing else is converted. Raise BenchError
    for an unknown setting, naming the nearest known one, and for a value of the wrong type or out of range.
    """
    if not isinstance(settings, Mapping):
        raise _wrong(where, settings, "a mapping")
    values = merge(dataclasses.asdict(kind()), settings)  # type: ignore[call-overload]
    try:
        given = to_json([values], inf_nan_mode="constants", fallback=str)
        made: list[T] = _adapter(kind).validate_json(given)  # type: ignore[arg-type]
    except ValidationError as error:
        raise _explained(kind, error.errors()[0], where) from None
    return made[0]


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    # Pydantic accepts no config for a dataclass alone, but applies the config of a list to the dataclasses in it.
    return TypeAdapter(list[kind], config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))


def _explained(kind: Any, error: ErrorDetails, where: str) -> BenchError:
    """Return an error that names the setting that pydantic rejected. Pydantic was given a list with a single `kind`."""
    path = error["loc"][1:]
    place, name = (".".join(map(str, [where, *keys] if where else keys)) for keys in (path[:-1], path))
    if error["type"] == "unexpected_keyword_argument":
        choices = get_type_hints(_inside(kind, path[:-1]))
        unknown = unknown_name(f"setting in {place or 'the config'}:", str(path[-1]), choices)
        return WrongSetting(str(unknown), name.split("."))
    if error["type"] == "literal_error":
        unknown = unknown_name(f"choice for {name}:", str(error["input"]), map(str, get_args(_inside(kind, path))))
        return WrongSetting(str(unknown), name.split("."))
    wanted = error["msg"].removeprefix("Input should be ")
    for theirs, ours in PLAINLY.items():
        wanted = wanted.replace(theirs, ours)
    return _wrong(name, error["input"], wanted)


def _inside(kind: Any, path: Iterable[str | int]) -> Any:
    """Return the type of a setting within a dataclass."""
    for key in path:
        if dataclasses.is_dataclass(kind):
            kind = get_type_hints(kind)[str(key)]
        else:  # tuple[of, ...] or dict[str, of]
            kind = get_args(kind)[get_origin(kind) is dict]
        if get_origin(kind) in (Union, UnionType):
            kind = next(option for option in get_args(kind) if option is not NoneType)
    return kind


def _wrong(where: str, value: Any, wanted: str) -> WrongSetting:
    path = where.split(".") if where else ()
    return WrongSetting(f"Setting {where or 'config'} must be {wanted}, got {shown(value)}.", path)


def holds(settings: Any, path: Sequence[str]) -> bool:
    """Return whether nested mappings contain a value at `path`, or a value that is not a mapping on the way there."""
    for key in path:
        if not isinstance(settings, Mapping):
            return True
        if key not in settings:
            return False
        settings = settings[key]
    return True
