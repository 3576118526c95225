"""How the command line tells that a word cannot be the value of an argument or option."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup

from megbench.core.errors import BenchError


class Commands(TyperGroup):
    """The commands. What cannot be the value of an argument or option is an error like any other: a line."""

    def make_context(self, *given: Any, **more: Any) -> Any:
        """Read the options before the command. BenchError for a value that cannot be."""
        with _in_a_line():
            return super().make_context(*given, **more)

    def invoke(self, ctx: Any) -> Any:
        """Read a command's own arguments and run it. BenchError for a value that cannot be."""
        with _in_a_line():
            return super().invoke(ctx)


@contextlib.contextmanager
def _in_a_line() -> Iterator[None]:
    try:
        yield
    except typer.BadParameter as error:
        # Pydantic, by which typer reads values, puts these words before what typer itself has to say.
        raise BenchError(error.format_message().replace("Value error, ", "", 1)) from None
