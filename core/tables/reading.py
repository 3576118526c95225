"""Read tables: CSV in any dialect, workbooks and web pages, recognised by their contents and not by their names.

Files are untrusted and come from spreadsheet programs in any locale. Columns may be separated by commas, semicolons or
tabs, and text may be in UTF-8, UTF-16, GB18030 (which includes gb2312 and GBK) or Windows-1252. Cells remain text:
"006" is never read as 6.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from pathlib import Path

from megbench.core.errors import BenchError
from megbench.core.files.bounded import read_bounded
from megbench.core.files.kinds import kind_of
from megbench.core.tables.html_tables import read_page
from megbench.core.tables.sheet import Sheet, SheetLimits, trimmed
from megbench.core.tables.workbook import read_workbook

# Suffixes of files that may be tables; their contents decide. Excel saves "Unicode text" as .txt. The last two belong
# to WPS and Numbers and are listed so that such files can be rejected by name.
SUFFIXES = (".csv", ".tsv", ".txt", ".xlsx", ".xlsm", ".xls", ".ods", ".et", ".numbers")
BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be", b"\xef\xbb\xbf": "utf-8"}
PAGE = re.compile(r"<(html|table|frameset)\b", re.IGNORECASE)
# If several delimiters split the lines equally well, the first is used: commas may be decimal marks.
DELIMITERS = "\t;,"
SNIFFED_LINES, SNIFFED_CHARACTERS = 200, 1_000_000
# A complete quoted cell, whatever it contains, without the delimiter before it.
QUOTED = re.compile(r"(?:(?<=[\t;,\r\n ])|^)\"(?:[^\"]|\"\")*\"(?=[\t;,\r\n]|$)")
# How much of a file is examined to find its encoding.
SNIFFED_BYTES = 1_000_000


def read_sheets(path: Path, limits: SheetLimits) -> list[Sheet]:
    """Return all tables of a file: the table of a CSV, the worksheets of a workbook, or the tables of a page.

    Raise BenchError if the file cannot be read, is too large or is not a table. In the last case, the message states
    what the file is.
    """
    data = read_bounded(path, limits.bytes, f"Pass {limits.what}.")
    if data.startswith((b"PK", b"\xd0\xcf\x11\xe0")):
        return read_workbook(path, data, limits)
    kind = kind_of(data)
    if kind and not (limits.pages and kind == "a web page"):
        raise BenchError(f"{path} is {kind}, not {limits.what}. Pass a CSV (in UTF-8) or XLSX file.")
    text = decoded(path, data)
    if PAGE.search(text[:10_000]) and text.lstrip().startswith("<"):
        if not limits.pages:
            raise BenchError(f"{path} is a web page, not {limits.what}. Pass a CSV or XLSX file.")
        return read_page(path, text, limits)
    return [_read_csv(path, text, limits)]


def read_sheet(path: Path, limits: SheetLimits) -> Sheet:
    """Return the first table of a file that has any cells, or an empty one. Raise BenchError if `read_sheets` does."""
    return next((sheet for sheet in read_sheets(path, limits) if sheet.rows), Sheet("", []))


def table_called(path: Path) -> Path | None:
    """Return the file whose name is that of `path` plus one of SUFFIXES, in upper or lower case; None if there is none.

    If there are several, return the first in the order of SUFFIXES.
    """
    beside = sorted(path.parent.iterdir()) if path.parent.is_dir() else []
    files = (file for file in beside if file.name.startswith(path.name) and file.is_file())
    endings = {file.name.removeprefix(path.name).lower(): file for file in files}
    return next((endings[suffix] for suffix in SUFFIXES if suffix in endings), None)


def local_path(text: str) -> str:
    """Return a path from a table with forward slashes; tables made on Windows have backslashes."""
    return text.strip().replace("\\", "/")


def decoded(path: Path, data: bytes) -> str:
    """Return data as text.

    The encoding is determined from a byte-order mark, the NULs of UTF-16, a page's declaration or the bytes themselves.
    """
    encodings = [encoding for mark, encoding in BYTE_ORDER_MARKS.items() if data.startswith(mark)]
    encodings = encodings or _utf_16(data) or [*_declared(data), "utf-8", _old_encoding(data)]
    for encoding in encodings:
        try:
            return data.decode(encoding).removeprefix("\ufeff")
        except (UnicodeError, LookupError):
            continue
    raise BenchError(
        f"{path} cannot be read as CSV: it is not in UTF-8, gb2312 or UTF-16. Save it as CSV in UTF-8, or as XLSX."
    )


def _utf_16(data: bytes) -> list[str]:
    """Return the encoding of UTF-16 without a byte-order mark, or [] for other data.

    In UTF-16, every other byte of digits and delimiters is NUL.
    """
    head = data[: SNIFFED_BYTES // 2 * 2]
    first, second = head[::2].count(0), head[1::2].count(0)
    if max(first, second) * 10 < len(head) // 2 or min(first, second) * 4 > max(first, second):
        return []
    return ["utf-16-be" if first > second else "utf-16-le"] if max(first, second) else []


def _declared(data: bytes) -> list[str]:
    said = re.search(rb"charset\s*=\s*[\"']?\s*([A-Za-z0-9_-]+)", data[:4096])
    name = said.group(1).decode("ascii").lower() if said else ""
    return [{"gb2312": "gb18030", "gbk": "gb18030"}.get(name, name)] if name else []


def _old_encoding(data: bytes) -> str:
    """Return "cp1252" if bytes above 127 mostly stand alone, as its accented letters do; otherwise "gb18030"."""
    runs = [len(run) for run in re.findall(rb"[\x80-\xff]+", data[:SNIFFED_BYTES])]
    return "cp1252" if 2 * runs.count(1) > len(runs) and max(runs) <= 2 else "gb18030"


def _read_csv(path: Path, text: str, limits: SheetLimits) -> Sheet:
    """Return the rows of a CSV. Raise BenchError beyond `limits`, because commas alone could exhaust the memory."""
    delimiter, text = _dialect(text)
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True):
            if len(rows) == limits.rows or len(row) > limits.columns:
                raise BenchError(
                    f"{path} has more than {limits.rows} rows or {limits.columns} columns. Pass {limits.what}."
                )
            rows.append(row)
    except csv.Error as error:
        raise BenchError(f"{path} is not a readable CSV file ({error}). Save it as CSV in UTF-8, or as XLSX.") from None
    return Sheet("", trimmed(rows), decimal_comma=delimiter != ",")


def _dialect(text: str) -> tuple[str, str]:
    """Return the delimiter and the text without a "sep=" line, which names the delimiter if there is one.

    Without such a line, the delimiter is the one that splits the most lines into the same number of cells.
    """
    if said := re.match(r"\"?sep=([\t;,])\"?[ ;,\t]*(\r\n?|\n)", text, re.IGNORECASE):
        return said.group(1), text[said.start(2) :]  # a blank line remains, so that the other lines keep their numbers
    outline = re.split(r"\r\n?|\n", QUOTED.sub("", text[:SNIFFED_CHARACTERS]))[:SNIFFED_LINES]
    widths = {delimiter: [line.count(delimiter) + 1 for line in outline] for delimiter in DELIMITERS}
    start = _table_start(widths)

    def agreement(delimiter: str) -> tuple[int, bool, int]:
        lines = widths[delimiter]
        return _alike(lines[start:]), lines[start] > 1, _alike(lines)

    return max(DELIMITERS, key=agreement), text


def _table_start(widths: dict[str, list[int]]) -> int:
    """Return the number of the line, counted from 0, with which the largest block of lines of equal width begins.

    Prose above a header also contains delimiters, so the table need not begin with the first line.
    """
    blocks = [
        (count * (width - 1), -lines.index(width))
        for lines in widths.values()
        for width, count in Counter(lines).items()
    ]
    return -max(blocks)[1]


def _alike(widths: list[int]) -> int:
    """Return how many lines have the most common width, not counting lines with a single cell."""
    return max(Counter(width for width in widths if width > 1).values(), default=0)
