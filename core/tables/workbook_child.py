"""Read a workbook (XLSX, XLS, ODS) from stdin and write it to stdout as JSON, with limited memory and time.

A single cell at the far end of an otherwise empty sheet makes the library allocate hundreds of gigabytes, which kills
the process that reads the sheet. megbench.core.tables.workbook therefore runs this file as a separate script, which
imports nothing from the suite. Its arguments, ROWS COLUMNS SHEETS, are limits.
"""

import contextlib
import io
import json
import sys

from python_calamine import CalamineWorkbook, PasswordError, SheetTypeEnum

MEMORY_BYTES, SECONDS = 1_500_000_000, 60


def text(value: object) -> str:
    """Return a cell as text. A whole number, which spreadsheets store as 12.0, becomes "12"."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def sheets(data: bytes, rows: int, columns: int, most: int) -> dict[str, object]:
    """Return {"sheets": [[title, rows, merged ranges], ...]} or {"error": reason}."""
    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(data))
        names = [sheet.name for sheet in book.sheets_metadata if sheet.typ == SheetTypeEnum.WorkSheet]
        if len(names) > most:
            return {"error": "sheets"}
        found = []
        for name in names:
            sheet = book.get_sheet_by_name(name)
            if sheet.total_height > rows or sheet.total_width > columns:
                return {"error": "size"}
            cells = [[text(cell) for cell in row] for row in sheet.to_python(skip_empty_area=False)]
            found.append([name, cells, sheet.merged_cell_ranges or []])
    except PasswordError:
        return {"error": "password"}
    except Exception as error:  # whatever the library raises on damaged data
        return {"error": " ".join(f"{type(error).__name__}: {error}".split())}
    return {"sheets": found}


if __name__ == "__main__":
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    json.dump(sheets(sys.stdin.buffer.read(), *map(int, sys.argv[1:4])), sys.stdout)
