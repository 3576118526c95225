"""Look-alikes of the challenge's score sheets, made from the published judgements: one wide sheet per expert."""

import csv
from pathlib import Path

from openpyxl import Workbook

from megbench.experts.importing import import_files
from megbench.experts.names import Names
from megbench.reports.published import MEGC2021_EXPERTS

HEAD = ["Team id", "dataset", "Emotion", "gender", "Upper", "lower", "noise", "sum"]
DATABASES = {"casme2": "CASME2", "samm": "SAMM", "smic": "SMIC"}
GENDERS = {"asianFemale": "asian female", "westernMale": "western male"}


def published():
    """Return the 216 published judgements."""
    return import_files([MEGC2021_EXPERTS], Names()).judgements


def wide(judgements, expert, blank=True):
    """Return the rows of one expert's sheet, with the remark GRAY below the first team's name and a total per team.

    blank: whether a label is written only where it changes; otherwise every row has all labels.
    """
    rows, held, total = [HEAD], (None, None, None), 0
    mine = [j for j in judgements if j.expert == expert]
    for index, j in enumerate(mine):
        database, _, emotion = j.driver.partition("_")
        labels = (j.method, DATABASES[database], emotion.capitalize())
        shown = [text if not blank or labels[: i + 1] != held[: i + 1] else "" for i, text in enumerate(labels)]
        if blank and index == 1:
            shown[0] = "GRAY"
        total += j.score()
        rows.append([*shown, GENDERS[j.template], j.upper, j.lower, j.noise, j.score()])
        held = labels
        if index + 1 == len(mine) or mine[index + 1].method != j.method:
            rows.append(["", "", "", "Total", "", "", "", total])
            total = 0
    return rows


def write_csv(path: Path, rows, delimiter=",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def write_xlsx(path: Path, *sheets) -> Path:
    """Write a workbook with a sheet per (title, rows), whose first dataset cell is merged as in the originals."""
    book = Workbook()
    book.remove(book.active)
    for title, rows in sheets:
        page = book.create_sheet(title)
        for row in rows:
            page.append([cell if cell != "" else None for cell in row])
        page.merge_cells(start_row=2, end_row=7, start_column=2, end_column=2)
    book.save(path)
    return path


def write_html(path: Path, rows) -> Path:
    """Write a page as a spreadsheet program does: gb2312, rowspans for datasets, a style and a Chinese title."""
    lines = [
        '<html xmlns:o="urn:schemas-microsoft-com:office:office"><head>',
        '<meta http-equiv=Content-Type content="text/html; charset=gb2312">',
        "<style>td {mso-number-format:General}</style></head><body><table border=0>",
        "<tr><td colspan=8>微表情生成 专家评分<script>var x = '<td>9</td>'</script></td></tr>",
    ]
    spans = dict.fromkeys(range(len(rows)), 0)
    for number, row in enumerate(rows):
        if row[1] and row[1] != "dataset":
            spans[number] = next((i for i, r in enumerate(rows[number + 1 :], 1) if r[1] or r[3] == "Total"), 1)
    covered = 0
    for number, row in enumerate(rows):
        cells = []
        for column, text in enumerate(row):
            if column == 1 and covered:
                continue
            span = f" rowspan={spans[number]}" if column == 1 and spans[number] > 1 else ""
            cells.append(f"<td class=xl65{span}>&nbsp;{text}\n</td>")
        covered = spans[number] - 1 if spans[number] else max(covered - 1, 0)
        lines.append(f"<tr height=18>{''.join(cells)}</tr>")
    path.write_bytes("\r\n".join([*lines, "</table></body></html>"]).encode("gb2312"))
    return path
