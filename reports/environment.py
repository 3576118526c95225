"""Where the pages' templates come from: one Jinja environment, escaping everything."""

import functools
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from megbench.core.installation import COMMAND

TEMPLATES = Path(__file__).parent / "templates"


@functools.cache
def environment() -> Environment:
    """Jinja with autoescape for every file, and an error rather than a blank for a name that is not there."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals["program"] = COMMAND
    return found
