"""The generation task of MEGC2022: the nine micro-expressions of MEGC2021 on four templates, in colour.

The kit is licensed for the challenge only and must be deleted afterwards; other research needs a separate agreement.
Users supply the kit themselves; no part of it is shipped or downloaded. A report made from the kit shows its faces.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import yaml
from pydantic import BaseModel, ConfigDict

from megbench.protocols.megc2021 import Megc2021, Names


class Faces(BaseModel):
    """The contents of megc2022.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str
    templates: dict[str, Names]


SHEET = Faces.model_validate(yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")))


class Megc2022(Megc2021):
    """Nine clips from CASME II, SAMM and SMIC on four templates: 36 cells in colour. A note lists what is missing.

    `--templates NAME` gives the grid of the MEGC2022 repository: nine drivers on one template.
    """

    name = "megc2022"
    version = SHEET.version
    faces: ClassVar[dict[str, Names]] = SHEET.templates
