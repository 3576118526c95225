"""How the command line reports an invalid value of an argument or option."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup

from megbench.core.errors import BenchError
from megbench.core.installation import COMMAND


class Commands(TyperGroup):
    """A group of commands that reports an invalid argument or option in one line, like other errors."""

    def make_context(self, *given: Any, **more: Any) -> Any:
        """Read the options before the command. Raise BenchError for an invalid value."""
        with _in_a_line():
            return super().make_context(*given, **more)

    def invoke(self, ctx: Any) -> Any:
        """Read a command's own arguments and run it. Raise BenchError for an invalid value."""
        with _in_a_line():
            return super().invoke(ctx)


@contextlib.contextmanager
def _in_a_line() -> Iterator[None]:
    try:
        yield
    except typer.BadParameter as error:
        # Typer reads values with pydantic, which prepends these words to typer's own message.
        told = " ".join(error.format_message().replace("Value error, ", "", 1).split())
        raise BenchError(f"{told.removesuffix('.')}.{_wanted(error)}") from None


def _wanted(error: typer.BadParameter) -> str:
    """Return what a missing argument or option stands for and where to read more; "" for other errors."""
    if not error.format_message().startswith("Missing ") or error.ctx is None:
        return ""
    means = getattr(error.param, "help", None)
    command = error.ctx.command_path.removeprefix(error.ctx.find_root().command_path)
    return f"{f' {means}' if means else ''} See `{COMMAND}{command} --help`."
