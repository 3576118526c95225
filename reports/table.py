"""One table object that becomes HTML, CSV, Markdown and terminal text.

An absent value is a dash with its reason in a numbered note, in every form; it is never a zero and never left out.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from reports.environment import environment

DASH = "—"


@dataclass(frozen=True)
class Column:
    """A column: `title`, `arrow` ("↑", "↓" or what the reader should aim at), decimals, and an explanation."""

    title: str
    arrow: str = ""
    decimals: int = 3
    note: str = ""
    group: str = ""
    better: bool | None = None

    @property
    def heading(self) -> str:
        """Title and arrow, as shown."""
        return f"{self.title} {self.arrow}".rstrip()


@dataclass(frozen=True)
class Entry:
    """A value in a table: a number, a text, or None with the `reason` why it is absent.

    `remark` stands small behind the value ("17/18" where one cell is missing). `link` is a fragment of the page.
    `shade`, 0 to 1, tints the background in HTML.
    """

    value: float | str | None
    reason: str = ""
    remark: str = ""
    link: str = ""
    shade: float | None = None

    def shown(self, decimals: int) -> str:
        """The value as a reader sees it, a dash where it is absent."""
        if self.value is None:
            return DASH
        if isinstance(self.value, str):
            return self.value
        text = f"{self.value:.{decimals}f}"
        # A rounded nothing has no sign.
        return text.lstrip("-") if not text.strip("-0.") else text


@dataclass(frozen=True)
class Section:
    """Rows that are sorted among themselves, under a heading of their own."""

    heading: str
    rows: tuple[tuple[Entry, ...], ...]


@dataclass(frozen=True)
class Table:
    """Columns and sections of rows; the first column names the row."""

    title: str
    columns: tuple[Column, ...]
    sections: tuple[Section, ...]

    def __post_init__(self) -> None:
        for row in self.rows():
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.title!r}: a row of {len(row)} entries under {len(self.columns)} columns")

    def rows(self) -> Iterator[tuple[Entry, ...]]:
        """All rows of all sections."""
        for section in self.sections:
            yield from section.rows

    def column_groups(self) -> list[tuple[str, int]]:
        """Headings over neighbouring columns with how many they span; [] where no column has one."""
        groups = [(name, len(list(run))) for name, run in itertools.groupby(column.group for column in self.columns)]
        return groups if any(name for name, _ in groups) else []

    def notes(self) -> list[str]:
        """The reasons of all absent values, each once, in reading order; numbered from 1 in what is shown."""
        return list(dict.fromkeys(e.reason for row in self.rows() for e in row if e.value is None and e.reason))

    def cell_text(self, column: int, entry: Entry, notes: list[str]) -> str:
        """An entry as Markdown and the terminal show it: value, remark in brackets, note number."""
        remark = f" ({entry.remark})" if entry.remark else ""
        mark = f" [{notes.index(entry.reason) + 1}]" if entry.value is None and entry.reason else ""
        return entry.shown(self.columns[column].decimals) + remark + mark

    def best(self, column: int) -> float | None:
        """The best number of the first section in a column with a better side; None where there is no contest.

        Numbers taken over different counts (which their remarks show) are not compared.
        """
        better = self.columns[column].better
        entries = [row[column] for row in self.sections[0].rows] if self.sections else []
        values = [entry.value for entry in entries if isinstance(entry.value, float | int)]
        counts = {entry.remark for entry in entries if isinstance(entry.value, float | int)}
        if better is None or len(values) < 2 or len(counts) > 1:
            return None
        return max(values) if better else min(values)

    def html(self) -> Markup:
        """The table as HTML, everything escaped; sortable where the page's script runs."""
        template = environment().get_template("table.html.j2")
        return Markup(template.render(table=self, notes=self.notes(), dash=DASH))

    def csv(self) -> str:
        """Comma-separated: the section first, numbers in full, an empty field where a value is absent."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["section", *(column.title for column in self.columns)])
        for section in self.sections:
            for row in section.rows:
                writer.writerow([_plain(section.heading), *map(_field, row)])
        return out.getvalue()

    def markdown(self) -> str:
        """A GitHub table per section, reasons below."""
        notes, parts = self.notes(), []
        for section in self.sections:
            lines = [] if not section.heading else [f"**{_markdown(section.heading)}**", ""]
            lines.append("| " + " | ".join(_markdown(column.heading) for column in self.columns) + " |")
            lines.append("|---|" + "---:|" * (len(self.columns) - 1))
            for row in section.rows:
                texts = (_markdown(self.cell_text(i, entry, notes)) for i, entry in enumerate(row))
                lines.append("| " + " | ".join(texts) + " |")
            parts.append("\n".join(lines))
        parts += [_markdown(f"[{number}] {note}") for number, note in enumerate(notes, 1)]
        return "\n\n".join(parts) + "\n"

    def text(self) -> str:
        """Aligned columns for a terminal, reasons below. Control characters in names are shown escaped."""
        notes = self.notes()
        body = [[_plain(self.cell_text(i, entry, notes)) for i, entry in enumerate(row)] for row in self.rows()]
        head = [column.heading for column in self.columns]
        widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
        lines, rows = [_aligned(head, widths)], iter(body)
        for section in self.sections:
            lines.append(f"{section.heading} ".ljust(sum(widths) + 2 * len(widths) - 2, "-"))
            lines += [_aligned(next(rows), widths) for _ in section.rows]
        lines += [f"[{number}] {_plain(note)}" for number, note in enumerate(notes, 1)]
        return "\n".join(line.rstrip() for line in lines) + "\n"


def _aligned(texts: list[str], widths: list[int]) -> str:
    first, *rest = (
        text.ljust(width) if not i else text.rjust(width)
        for i, (text, width) in enumerate(zip(texts, widths, strict=True))
    )
    return "  ".join([first, *rest])


def _field(entry: Entry) -> str | float:
    return "" if entry.value is None else _plain(entry.value) if isinstance(entry.value, str) else entry.value


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _markdown(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no cell end."""
    escaped = "".join("\\" + c if c in "\\`*_[]|#" else c for c in _plain(text))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
