"""Read tables: CSV in any dialect, workbooks and web pages, recognised by their contents and not by their names.

Files are untrusted and come from spreadsheet programs in any locale: columns are separated by commas, semicolons or
tabs, and text is in UTF-8, UTF-16, GB18030 (which includes gb2312 and GBK), Shift-JIS or Windows-1252. Cells remain
text, so "006" is never read as 6.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from megbench.core.errors import BenchError
from megbench.core.files.bounded import read_bounded
from megbench.core.files.kinds import kind_of
from megbench.core.progress import note
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


@dataclass(frozen=True)
class OldEncoding:
    """An encoding that nothing in a file declares. common: the first bytes of its frequent characters in `codec`.

    The characters of the wrong encoding are rare ones: Japanese kana read as GB18030 become Chinese characters that no
    text contains.
    """

    name: str
    codec: str
    common: frozenset[int]


# The least share of frequent characters in a text that is read correctly.
LEAST_COMMON = 0.5
OLD_ENCODINGS = {
    "cp1252": OldEncoding("Windows-1252", "cp1252", frozenset([0x85, *range(0x91, 0x98), *range(0xA0, 0x100)])),
    "gb18030": OldEncoding("GB18030", "gb2312", frozenset([*range(0xA1, 0xAA), *range(0xB0, 0xD8)])),
    "cp932": OldEncoding("Shift-JIS", "cp932", frozenset([*range(0x81, 0x85), *range(0x88, 0x99)])),
}


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
    """Return data as text. The encoding is determined from a byte-order mark, the NULs of UTF-16, a page's declaration,
    or the bytes themselves; a note says so in the last case, unless it is UTF-8."""
    encodings = [encoding for mark, encoding in BYTE_ORDER_MARKS.items() if data.startswith(mark)]
    for encoding in encodings or _utf_16(data) or [*_declared(data), "utf-8"]:
        with contextlib.suppress(UnicodeError, LookupError):
            return data.decode(encoding).removeprefix("\ufeff")
    for group in _possible(data):
        found = {encoding: text for encoding in group if (text := _text_in(data, encoding))}
        shares = {encoding: _common(text, OLD_ENCODINGS[encoding]) for encoding, text in found.items()}
        likeliest = max(shares, key=lambda encoding: shares[encoding], default="")
        if shares.get(likeliest, 0) >= LEAST_COMMON:
            sample = "".join(re.findall(r"[^\x00-\x7f]+", found[likeliest])[:1])[:20]
            _tell(path, OLD_ENCODINGS[likeliest].name, sample)
            return found[likeliest]
    names = ", ".join(encoding.name for encoding in OLD_ENCODINGS.values())
    raise BenchError(
        f"{path} cannot be read as CSV: it is in none of UTF-8, UTF-16, {names}. Save it as CSV in UTF-8, or as XLSX."
    )


@functools.cache
def _tell(path: Path, name: str, sample: str) -> None:
    note(f"{path} is not in UTF-8; it is read as {name} ({sample!r}). If this is wrong, save it as CSV in UTF-8.")


def _text_in(data: bytes, encoding: str) -> str:
    """Return data as text, or "" if it is not text in this encoding."""
    try:
        return "" if b"\0" in data else data.decode(encoding)
    except UnicodeError:
        return ""


def _common(text: str, encoding: OldEncoding) -> float:
    """Return the share of frequent characters among those beyond ASCII, 0 to 1."""
    characters = re.findall(r"[^\x00-\x7f]", text[:SNIFFED_CHARACTERS])
    starts = [character.encode(encoding.codec, "ignore")[:1] for character in characters]
    return sum(bool(start) and start[0] in encoding.common for start in starts) / max(len(starts), 1)


def _possible(data: bytes) -> list[list[str]]:
    """Return the OLD_ENCODINGS that are possible, in groups, the likeliest group first.

    Accented letters stand alone or, rarely, in pairs, as in "größe". "cp1252" is therefore as likely as the others if
    most bytes beyond ASCII stand alone. It comes last if most do not, and is impossible if more than two are together.
    """
    runs = [len(run) for run in re.findall(rb"[\x80-\xff]+", data[:SNIFFED_BYTES])]
    if max(runs, default=0) > 2:
        return [[encoding for encoding in OLD_ENCODINGS if encoding != "cp1252"]]
    if 2 * runs.count(1) > len(runs):
        return [list(OLD_ENCODINGS)]
    return [[encoding for encoding in OLD_ENCODINGS if encoding != "cp1252"], ["cp1252"]]


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
