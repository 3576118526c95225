"""The small YAML file that describes an external program: its command, inputs and output."""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from megbench.core.config import merge, parse_set, read_overlay, read_yaml
from megbench.core.errors import BenchError, unknown_name
from megbench.core.files.working_folder import from_start, in_store
from megbench.core.frames import SIZE
from megbench.core.installation import ROOT

OWN = "external"
READY_MADE = ROOT / "configs" / "external"
# The beginning of `found` if a program leaves its output in its own checkout.
IN_CHECKOUT = "{checkout}/"
PANEL = re.compile(r"([1-9])/([2-9])")
# Placeholders that a command and a config may use; the last four are those of methods/external_inputs.py.
NAMES = (
    *("python", "checkout", "template", "driver", "output", "work", "suite", "frames"),
    *("template_points", "driver_points", "template_edges", "driver_edges"),
)
# YAML would read {template} as a mapping if it is not quoted.
QUOTED = re.compile(r"\{(" + "|".join(NAMES) + r")\}")
# Entries that describe a program for readers and do not affect its output.
ABOUT = frozenset({"paper", "weights_licence", "weights_from", "environment", "micro_motion", "arguments"})
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
STANDS_FOR = re.compile(r"<megbench:([a-z_]+)>")


class Description(BaseModel):
    """How a program is run. Unknown entries are errors. docs/external.md has examples.

    command: the words of the command line, which may contain {python}, {checkout}, {template}, {driver}, {output},
        {work}, {suite} and {frames}. {work} is the cell's own folder, which contains its inputs and output; {suite} is
        this repository; {frames} is the number of the driver's frames. methods/external_inputs.py defines further
        inputs.
    config: settings in YAML or JSON, with placeholders, for programs that read the paths of their inputs from a file;
        {config} stands for that file's path.

    python, conda, image: the environment, given as the path of an interpreter, the name of a conda environment, or a
    container image. If none of them is given, python3 on the PATH is used.
    checkout: the program's working folder.
    template, driver: the form of these inputs; the template is a picture or a video of the driver's length.
    driver_fps: the frame rate of the input videos, for programs that resample; None for the driver's own rate.
    output: the form of the output.
    found: a pattern that finds the output if the program chooses its name. It applies within {output} or, if it begins
        with {checkout}/, within the checkout, where the output is the newest match written by this run.
    panel: if pictures are side by side, the one that is the result, such as "3/3" for the last of three.
    skipped: whether a few frames that the program omits are replaced by the preceding ones.
    size: the height and width of the program's pictures.
    weights: files in the checkout whose hashes are recorded.
    arguments: a link to the file, at a specific commit, that defines the command's arguments, or "" if nobody read such
        a file.

    The entries in ABOUT are for readers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: str
    source: str
    licence: str
    paper: str = ""
    weights_licence: str = ""
    weights_from: str = ""
    environment: str = ""
    micro_motion: str = ""
    arguments: str = Field(default="", pattern=r"^(https://\S+/[0-9a-f]{40}/\S+)?$")
    command: tuple[str, ...] = Field(min_length=1, max_length=100)
    config: str = ""
    checkout: str = ""
    python: str = ""
    conda: str = ""
    image: str = ""
    template: Literal["picture", "video"] = "picture"
    driver: Literal["video", "frames"] = "video"
    driver_fps: float | None = Field(default=None, gt=0, le=1000)
    output: Literal["video", "frames"] = "video"
    found: str = ""
    panel: str = ""
    skipped: Literal["refuse", "repeat"] = "refuse"
    size: int = Field(default=SIZE, ge=16, le=4096)
    timeout_s: float = Field(default=1800, gt=0, le=86400)
    gpu: bool = True
    weights: tuple[str, ...] = ()
    variables: dict[str, str] = {}

    @property
    def text(self) -> str:
        """All text that may contain placeholders."""
        return " ".join([*self.command, self.config, self.found])

    @property
    def read_at(self) -> str:
        """The abbreviated commit at which the program's own argument parser was read, or "" if nobody read it."""
        return re.split(r"/([0-9a-f]{40})/", self.arguments)[1][:7] if self.arguments else ""

    @property
    def leaves_in_checkout(self) -> bool:
        """Whether the output is in the program's checkout."""
        return self.found.startswith(IN_CHECKOUT)

    @property
    def panels(self) -> tuple[int, int]:
        """The position of the result among pictures side by side, counted from 1, and the number of these pictures."""
        match = PANEL.fullmatch(self.panel)
        return (int(match[1]), int(match[2])) if match else (1, 1)

    def settings(self) -> dict[str, Any]:
        """Return the settings in `config`, with placeholders written as in STANDS_FOR. Raise BenchError if they are
        invalid."""
        read = read_yaml(self._quoted, "config:")
        if not isinstance(read, dict):
            raise BenchError("config must map names to values. Write the settings in YAML or JSON.")
        return read

    @property
    def config_suffix(self) -> str:
        """The suffix of the file that contains `config`."""
        try:
            json.loads(self._quoted)
        except ValueError:
            return ".yaml"
        return ".json"

    @property
    def _quoted(self) -> str:
        return QUOTED.sub(r"<megbench:\1>", self.config)

    @model_validator(mode="after")
    def _fits(self) -> Description:
        inside = self.found.removeprefix(IN_CHECKOUT)
        if inside.startswith("/") or ".." in inside or "{" in inside:
            raise ValueError("found must be a pattern of paths within the output folder or {checkout}/")
        if self.leaves_in_checkout and self.image:
            raise ValueError(
                "found must not be in {checkout}, which a container can only read."
                " Make the program write to {output} or {work}"
            )
        for word in self.command:
            if (name := PLACEHOLDER.fullmatch(word)) and name[1] not in (*NAMES, "config"):
                raise ValueError(f"command: {unknown_name('placeholder', name[1], (*NAMES, 'config'))}".rstrip("."))
        named = "{config}" in " ".join(self.command)
        if bool(self.config) != named:
            raise ValueError(
                f"config is {'missing, but the command names it' if named else 'set, but the command does not name it'}"
            )
        try:
            if self.config:
                self.settings()
        except BenchError as error:
            raise ValueError(str(error)) from None
        if self.panel and (not PANEL.fullmatch(self.panel) or self.panels[0] > self.panels[1]):
            raise ValueError(
                f"panel is {self.panel!r}, not the position of a picture in a row. Write 3/3 for the last of three"
            )
        if self.driver_fps and "video" not in (self.driver, self.template):
            raise ValueError(
                "driver_fps is given, but the driver is passed as frames, which have no rate. Leave it out"
            )
        return self


def read_description(name: str, sets: Sequence[str] = ()) -> Description:
    """Return the description `name`: the user's own or otherwise a ready-made one.

    Raise BenchError if it is unknown or invalid. sets: entries "key=value" that replace those in the file.
    """
    places = [folder / f"{name}.yaml" for folder in (in_store(OWN), READY_MADE)]
    path = next((path for path in places if path.is_file()), None)
    if path is None:
        known = {other.stem for folder in (in_store(OWN), READY_MADE) for other in folder.glob("*.yaml")}
        raise unknown_name("external program", name, known)
    try:
        entries = functools.reduce(merge, map(parse_set, sets), read_overlay(path))
        # An entry without a value (`panel=`) counts as missing.
        described = Description.model_validate({key: value for key, value in entries.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        where = f"{path} with --set" if sets else path
        if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
            raise BenchError(
                f"{where}: {unknown_name('key', str(first['loc'][0]), Description.model_fields)}"
            ) from None
        place = "".join(f"{part}: " for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        raise BenchError(f"{where} is not valid: {place}{what}. See docs/external.md and configs/external/.") from None
    checkout = described.checkout and os.path.abspath(from_start(Path(described.checkout).expanduser()))
    return described.model_copy(update={"checkout": checkout})
