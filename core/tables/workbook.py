"""Read untrusted workbooks (XLSX, XLS, ODS) as sheets of text; none of their code runs, and their size is limited."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from megbench.core.errors import BenchError, clause
from megbench.core.tables.sheet import Merged, Sheet, SheetLimits, trimmed

CHILD = Path(__file__).with_name("workbook_child.py")
MOST_SHEETS = 50
SECONDS = 120


def read_workbook(path: Path, data: bytes, limits: SheetLimits) -> list[Sheet]:
    """Return every worksheet; formulas are replaced by the values saved with them.

    Raise BenchError if the file is not a workbook, has a password, or exceeds `limits` when unpacked.
    """
    if data.startswith(b"PK"):
        _check_parts(path, data, limits)
    answer = _asked(path, data, limits)
    problem = answer.get("error")
    if problem == "password":
        raise BenchError(f"{path} has a password. Save it without one.")
    if problem == "sheets":
        raise BenchError(f"{path} has more than {MOST_SHEETS} sheets. Pass {limits.what}.")
    if problem == "size":
        raise BenchError(f"{path} has more than {limits.rows} rows or {limits.columns} columns. Pass {limits.what}.")
    if problem:
        raise _unreadable(path, data, clause(problem))
    return [Sheet(title, trimmed(rows), _merged(ranges)) for title, rows, ranges in answer["sheets"]]


def _merged(ranges: list[Any]) -> tuple[Merged, ...]:
    return tuple(Merged(row, column, last) for (row, column), (last, _) in ranges if last > row)


def _unreadable(path: Path, data: bytes, reason: str) -> BenchError:
    kind = "XLSX workbook" if data.startswith(b"PK") else "XLS workbook, or one with a password"
    return BenchError(f"{path} is not a readable {kind} ({reason}). Save it as XLSX or CSV.")


def _check_parts(path: Path, data: bytes, limits: SheetLimits) -> None:
    """Raise BenchError if an archive is too large when unpacked or has XML that may expand or read other files."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
            if sum(part.file_size for part in parts) > limits.unpacked:
                raise BenchError(f"{path} unpacks to more than {limits.unpacked} bytes. Pass {limits.what}.")
            for content in map(archive.read, parts):
                # No spreadsheet program writes these.
                if any(mark in content.replace(b"\0", b"") for mark in (b"<!DOCTYPE", b"<!ENTITY")):
                    raise BenchError(f"{path} contains XML declarations that no spreadsheet writes. Save it as XLSX.")
    except BenchError:
        raise
    except Exception as error:  # whatever zip files raise on damaged data
        raise _unreadable(path, data, clause(error)) from None
    if not {"xl/workbook.xml", "xl/workbook.bin", "content.xml"} & {part.filename for part in parts}:
        raise _unreadable(path, data, "a ZIP archive without sheets")


def _asked(path: Path, data: bytes, limits: SheetLimits) -> dict[str, Any]:
    """Return the result of the process that reads workbooks. Raise BenchError if it runs out of memory or time."""
    command = [sys.executable, "-I", str(CHILD), str(limits.rows), str(limits.columns), str(MOST_SHEETS)]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=SECONDS, check=True)
        answer: dict[str, Any] = json.loads(done.stdout)
    except (subprocess.SubprocessError, ValueError):
        raise BenchError(
            f"{path}: its cells extend beyond {limits.rows} rows or {limits.columns} columns. Delete stray cells far"
            " below or to the right, or save it as CSV."
        ) from None
    return answer
