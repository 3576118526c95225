"""Run an external program to its end, and find its error message if it failed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from megbench.core.errors import CellFailed, clause
from megbench.methods import containers
from megbench.methods.external_description import Description

# The number of bytes at the end of a program's output that are searched for its last message.
LOG_BYTES = 1_000_000
# Lines of the box that tyro and Rich draw around a message: its top, a rule in it, and the side of the other lines.
TOP, RULE, SIDE = "╭", re.compile(r"[─━]+"), "│"


def run(command: Sequence[str], environment: Mapping[str, str], described: Description, work: Path) -> None:
    """Run a program to its end. Raise CellFailed, with its last message, if it fails, cannot start or is too slow."""
    log = work / "log.txt"
    with log.open("wb") as out:
        try:
            # The program gets its own process group, so that it can be ended together with all its children.
            process = subprocess.Popen(
                command,
                cwd=described.checkout or work,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise CellFailed(f"{described.system} cannot be started: {command[0]}: {error.strerror}") from None
        try:
            code = process.wait(described.timeout_s)
        except subprocess.TimeoutExpired:
            raise CellFailed(
                f"{described.system} took longer than {described.timeout_s:g} s. Increase timeout_s"
            ) from None
        finally:
            ended = process.poll() is not None
            _end(process)
            if described.image and not ended:
                containers.remove(work)
    if code != 0:
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        raise CellFailed(f"{described.system} {how}: {said_last(log)}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and all its child processes; on Windows, only the program itself is ended."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def said_last(log: Path) -> str:
    """Return the last line that a program printed or, if its message is in a box, the text above the first rule in
    it."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LOG_BYTES))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    if not lines:
        return "it printed nothing"
    tops = [place for place, line in enumerate(lines) if line.startswith(TOP)]
    if not (tops and lines[-1].startswith("╰")):
        return clause(lines[-1])
    told = [line.strip(f" {SIDE}") for line in lines[tops[-1] + 1 : -1]]
    rules = [place for place, line in enumerate(told) if RULE.fullmatch(line)]
    return clause(" ".join(told[: rules[0]] if rules else told))
