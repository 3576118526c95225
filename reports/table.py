"""One table object that becomes HTML, CSV, Markdown, LaTeX and terminal text.

An absent value is a dash with its reason in a numbered note, in every form; it is never a zero and never left out.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from megbench.core.errors import check_choice
from megbench.core.tables.spreadsheet_text import inert, printable
from megbench.reports.environment import environment

DASH = "—"
# The number of columns that fit a page of a paper.
WIDEST = 8
# The name of the section in a CSV file that contains the footnotes.
NOTE = "note"


@dataclass(frozen=True)
class Column:
    """A column: `title`, `arrow` ("↑", "↓" or what the reader should aim at), decimals, and an explanation.

    `remark` follows the title in brackets, as an entry's remark follows its value. `key` names the column in CSV files
    and for choosing columns; if it is empty, the title is used. `brief` columns are kept if there is room for only a
    few. `intervals`: whether the remarks beside the column's values are intervals rather than numbers of cells.
    """

    title: str
    arrow: str = ""
    decimals: int = 3
    note: str = ""
    group: str = ""
    better: bool | None = None
    remark: str = ""
    key: str = ""
    brief: bool = False
    intervals: bool = False

    @property
    def heading(self) -> str:
        """The title, remark in brackets and arrow, as shown."""
        return f"{self.named} {self.arrow}".rstrip()

    @property
    def named(self) -> str:
        """The title, with the remark in brackets."""
        return f"{self.title} ({self.remark})" if self.remark else self.title


@dataclass(frozen=True)
class Entry:
    """A value in a table: a number, text, or None with the `reason` why it is absent.

    `remark` follows the value in small print ("17/18" if one cell is missing). `link` is a fragment of the page.
    `shade`, -1 to 1, tints the background in HTML, where `interval` is drawn below the value. A value of at least 0 but
    below `least` is shown as "< least": a small p is not 0.
    """

    value: float | str | None
    reason: str = ""
    remark: str = ""
    link: str = ""
    shade: float | None = None
    interval: tuple[float, float] | None = None
    least: float = 0.0

    def shown(self, decimals: int) -> str:
        """Return the value as a reader sees it, or a dash if it is absent."""
        if self.value is None:
            return DASH
        if isinstance(self.value, str):
            return self.value
        if 0 <= self.value < self.least:
            return f"< {self.least:.{decimals}f}"
        text = f"{self.value:.{decimals}f}"
        # A value rounded to zero has no sign.
        return text.lstrip("-") if not text.strip("-0.") else text


@dataclass(frozen=True)
class Section:
    """Rows that are sorted among themselves, under their own heading."""

    heading: str
    rows: tuple[tuple[Entry, ...], ...]


@dataclass(frozen=True)
class Table:
    """Columns and sections of rows; the first column names the row. footnotes: notes on the whole table."""

    title: str
    columns: tuple[Column, ...]
    sections: tuple[Section, ...]
    footnotes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows():
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.title!r}: a row of {len(row)} entries under {len(self.columns)} columns")

    def rows(self) -> Iterator[tuple[Entry, ...]]:
        """Yield all rows of all sections."""
        for section in self.sections:
            yield from section.rows

    def column_groups(self) -> list[tuple[str, int]]:
        """Return headings over neighbouring columns and how many columns each spans, or [] if no column has one."""
        groups = [(name, len(list(run))) for name, run in itertools.groupby(column.group for column in self.columns)]
        return groups if any(name for name, _ in groups) else []

    def names(self) -> list[str]:
        """Return the columns' names, with the group if two have the same name, because plain text shows no groups."""
        names = [column.named for column in self.columns]
        return [
            name if names.count(name) == 1 else f"{name} ({column.group})"
            for name, column in zip(names, self.columns, strict=True)
        ]

    def keys(self) -> list[str]:
        """Return a unique name for each column: its key, or else its name, numbered if it is already taken."""
        found: list[str] = []
        for name, column in zip(self.names(), self.columns, strict=True):
            plain = column.key or name
            taken = {"section", "remark", *found}
            found.append(next(k for n in itertools.count(1) if (k := plain if n == 1 else f"{plain} {n}") not in taken))
        return found

    def only(self, keys: Sequence[str]) -> Table:
        """Return the table with its first column and those in `keys`. Raise BenchError if one of them is unknown."""
        places = {key: place for place, key in enumerate(self.keys())}
        chosen = [0, *(places[check_choice(f"column of {self.title!r}:", key, list(places))] for key in keys)]
        chosen = list(dict.fromkeys(chosen))
        sections = tuple(
            Section(s.heading, tuple(tuple(row[i] for i in chosen) for row in s.rows)) for s in self.sections
        )
        return dataclasses.replace(self, columns=tuple(self.columns[i] for i in chosen), sections=sections)

    def narrow(self) -> Table:
        """Return the table in a form that fits on paper: at most WIDEST columns, and a footnote that names the others.

        Columns marked `brief` come first; a table without such columns keeps its first ones.
        """
        if len(self.columns) <= WIDEST:
            return self
        keys = self.keys()
        preferred = [key for key, column in zip(keys, self.columns, strict=True) if column.brief] or keys[1:]
        kept = self.only(preferred[: WIDEST - 1])
        left = set(kept.keys())
        lost = [key for key in keys if key not in left]
        note = f"Columns left out: {', '.join(lost)}; the CSV has all of them."
        return dataclasses.replace(kept, footnotes=(*kept.footnotes, note))

    def notes(self) -> list[str]:
        """Return the reasons of all absent values, each once, in reading order; they are numbered from 1 when shown."""
        return list(dict.fromkeys(e.reason for row in self.rows() for e in row if e.value is None and e.reason))

    def cell_text(self, column: int, entry: Entry, notes: list[str]) -> str:
        """Return an entry as Markdown and the terminal show it: value, remark in brackets, and note number."""
        remark = f" ({entry.remark})" if entry.remark else ""
        mark = f" [{notes.index(entry.reason) + 1}]" if entry.value is None and entry.reason else ""
        return entry.shown(self.columns[column].decimals) + remark + mark

    def textual(self, column: int) -> bool:
        """Return whether a column holds text, which is aligned left."""
        values = [row[column].value for row in self.rows() if row[column].value is not None]
        return bool(values) and all(isinstance(value, str) for value in values)

    def best(self, column: int) -> float | None:
        """Return the best number of a column in the first section, or None if none counts as the best.

        Numbers over different counts (which their remarks show) are not compared.
        """
        better = self.columns[column].better
        entries = [row[column] for row in self.sections[0].rows] if self.sections else []
        values = [
            entry.value for entry in entries if isinstance(entry.value, float | int) and math.isfinite(entry.value)
        ]
        counts = {entry.remark for entry in entries if isinstance(entry.value, float | int)}
        comparable = self.columns[column].intervals or len(counts) < 2
        if better is None or len(values) < 2 or not comparable:
            return None
        return max(values) if better else min(values)

    def span(self, column: int) -> tuple[float, float]:
        """Return the range of a column's intervals, 0 included; (0, 0) if it has none."""
        ends = [end for row in self.rows() for end in row[column].interval or ()]
        return min([0.0, *ends]), max([0.0, *ends])

    def html(self) -> Markup:
        """Return the table as HTML, with everything escaped; it is sortable if the page's script runs."""
        template = environment().get_template("table.html.j2")
        return Markup(template.render(table=self, notes=self.notes(), dash=DASH))

    def csv(self) -> str:
        """Return comma-separated text: the section first, numbers in full, an empty field for an absent value.

        A column with intervals is followed by two columns with their ends. Every column has a unique name (`keys`).

        Remarks on a row's name and values, and the reasons for absent values, are in an extra last column; each
        footnote is a row of the section "note". Names stay text if a spreadsheet program opens the file
        (`megbench.core.tables.spreadsheet_text.inert`).
        """
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        remarked = any(map(self._beside, self.rows()))
        last = ["remark"] if remarked else []
        drawn = [any(row[i].interval for row in self.rows()) for i in range(len(self.columns))]
        heads = [
            name
            for key, ends in zip(self.keys(), drawn, strict=True)
            for name in ((key, f"{key} low", f"{key} high") if ends else (key,))
        ]
        writer.writerow(["section", *map(_name, heads), *last])
        for section in self.sections:
            for row in section.rows:
                remark = [_name(self._beside(row))] if remarked else []
                fields = [
                    field
                    for entry, ends in zip(row, drawn, strict=True)
                    for field in (_field(entry), *((entry.interval or ("", "")) if ends else ()))
                ]
                writer.writerow([_name(section.heading), *fields, *remark])
        rest = [""] * (len(heads) - 1 + len(last))
        writer.writerows([NOTE, _name(line), *rest] for line in self.footnotes)
        return out.getvalue()

    def _beside(self, row: Sequence[Entry]) -> str:
        """Return the remarks on a row: on its name, then on values and absent values, with the columns' names."""
        told: dict[str, list[str]] = {}
        for name, entry in zip(self.keys()[1:], row[1:], strict=True):
            if text := entry.reason if entry.value is None else entry.remark:
                told.setdefault(text, []).append(name)
        return "; ".join(filter(None, (row[0].remark, *(f"{', '.join(of)}: {text}" for text, of in told.items()))))

    def markdown(self) -> str:
        """Return a GitHub table per section, with the reasons for absent values below."""
        notes, parts = self.notes(), []
        head = [f"{name} {column.arrow}".rstrip() for name, column in zip(self.names(), self.columns, strict=True)]
        for section in self.sections:
            lines = [] if not section.heading else [f"**{_markdown(section.heading)}**", ""]
            lines.append(markdown_row(map(_markdown, head)))
            lines.append("|---|" + "---:|" * (len(self.columns) - 1))
            for row in section.rows:
                texts = (self._markdown(i, entry, section, notes) for i, entry in enumerate(row))
                lines.append(markdown_row(texts))
            parts.append("\n".join(lines))
        parts += [_markdown(line) for line in self._below(notes)]
        return "\n\n".join(parts) + "\n"

    def _markdown(self, column: int, entry: Entry, section: Section, notes: list[str]) -> str:
        """Return an entry in Markdown, with its interval, in bold if it is the best method's."""
        if entry.interval:
            ends = " to ".join(f"{end:.{self.columns[column].decimals}f}" for end in entry.interval)
            entry = dataclasses.replace(entry, remark="; ".join(filter(None, (ends, entry.remark))))
        text = _markdown(self.cell_text(column, entry, notes))
        return f"**{text}**" if self.is_best(column, entry, section) else text

    def is_best(self, column: int, entry: Entry, section: Section) -> bool:
        """Return whether an entry shows the best number of a column, which is bold; several entries may show it."""
        if self.sections[0] is not section or not isinstance(entry.value, float | int):
            return False
        best, decimals = self.best(column), self.columns[column].decimals
        return best is not None and entry.shown(decimals) == Entry(best).shown(decimals)

    def text(self) -> str:
        """Return aligned columns for a terminal, with notes below. Control characters in names are escaped."""
        notes = self.notes()
        body = [[printable(self.cell_text(i, entry, notes)) for i, entry in enumerate(row)] for row in self.rows()]
        head = [f"{name} {column.arrow}".rstrip() for name, column in zip(self.names(), self.columns, strict=True)]
        widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
        lines, rows = [_aligned(head, widths)], iter(body)
        for section in self.sections:
            lines.append(f"{section.heading} ".lstrip().ljust(sum(widths) + 2 * len(widths) - 2, "-"))
            lines += [_aligned(next(rows), widths) for _ in section.rows]
        lines += [printable(line) for line in self._below(notes)]
        return "\n".join(line.rstrip() for line in lines) + "\n"

    def latex(self) -> str:
        """Return a LaTeX table for booktabs, with every name escaped, and reasons and footnotes in small print below.

        Intervals follow their values in small print, and the best method's value is bold. The label is made from the
        title.
        """
        notes, width = self.notes(), len(self.columns)
        label = re.sub(r"[^a-z0-9]+", "-", self.title.partition(":")[0].lower()).strip("-") or "table"
        lines = [
            "% \\usepackage{booktabs}",
            "\\begin{table}",
            "\\centering",
            "\\small",
            "\\setlength{\\tabcolsep}{3pt}",
        ]
        lines += [f"\\caption{{{_latex(self.title)}}}", f"\\label{{tab:{label}}}"]
        lines += [f"\\begin{{tabular}}{{l{'r' * (width - 1)}}}", "\\toprule"]
        groups = self.column_groups()
        if groups:
            lines.append(" & ".join(f"\\multicolumn{{{n}}}{{c}}{{{_latex(name)}}}" for name, n in groups) + r" \\")
        lines.append(" & ".join(_latex(column.heading) for column in self.columns) + r" \\")
        for section in self.sections:
            lines.append(r"\midrule")
            if section.heading:
                lines.append(f"\\multicolumn{{{width}}}{{l}}{{\\emph{{{_latex(section.heading)}}}}} \\\\")
            for row in section.rows:
                lines.append(" & ".join(self._latex(i, e, section, notes) for i, e in enumerate(row)) + r" \\")
        lines += ["\\bottomrule", "\\end{tabular}"]
        lines += [f"\\par{{\\footnotesize {_latex(line)}}}" for line in self._below(notes)]
        return "\n".join([*lines, "\\end{table}"]) + "\n"

    def _latex(self, column: int, entry: Entry, section: Section, notes: list[str]) -> str:
        """Return an entry in LaTeX, with its interval, in bold if it is the best method's."""
        decimals = self.columns[column].decimals
        text = _latex(self.cell_text(column, entry, notes))
        if isinstance(entry.value, float | int):
            number = _minus(entry.shown(decimals))
            number = f"\\textbf{{{number}}}" if self.is_best(column, entry, section) else number
            ends = ", ".join(_minus(f"{end:.{decimals}f}") for end in entry.interval or ())
            remark = f" ({_latex(entry.remark)})" if entry.remark else ""
            text = number + (f" {{\\scriptsize [{ends}]}}" if ends else "") + remark
        return text

    def _below(self, notes: list[str]) -> list[str]:
        """Return the lines below the table: numbered reasons, then footnotes."""
        return [*(f"[{number}] {note}" for number, note in enumerate(notes, 1)), *self.footnotes]


def notes_once(tables: Iterable[Table]) -> list[Table]:
    """Return tables to be printed one after another; a footnote of several of them is kept only under the last one."""
    found = list(tables)
    later = [{line for table in found[place + 1 :] for line in table.footnotes} for place in range(len(found))]
    return [
        dataclasses.replace(table, footnotes=tuple(line for line in table.footnotes if line not in seen))
        for table, seen in zip(found, later, strict=True)
    ]


def _aligned(texts: list[str], widths: list[int]) -> str:
    first, *rest = (
        text.ljust(width) if not i else text.rjust(width)
        for i, (text, width) in enumerate(zip(texts, widths, strict=True))
    )
    return "  ".join([first, *rest])


def _field(entry: Entry) -> str | float:
    return "" if entry.value is None else _name(entry.value) if isinstance(entry.value, str) else entry.value


def _name(text: str) -> str:
    return inert(printable(text))


LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "`": r"\textasciigrave{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "{''}"},
    # At the start of a row, LaTeX would read these as part of the line break before it.
    **{"[": "{[}", "]": "{]}", "*": "{*}"},
    **{"↑": r"$\uparrow$", "↓": r"$\downarrow$", "→": r"$\rightarrow$", "∞": r"$\infty$", DASH: r"\textemdash{}"},
}


def _latex(text: str) -> str:
    """Return text that LaTeX prints literally, without commands, ligatures or cell ends."""
    return "".join(LATEX.get(c, c) for c in printable(text)).replace("--", "-{}-")


def _minus(number: str) -> str:
    """Return a number for LaTeX, with a minus sign instead of a hyphen."""
    return _latex(number).replace("-", "$-$")


def markdown_row(cells: Iterable[str]) -> str:
    """Return a row of a Markdown table. Its cells must already be Markdown."""
    return f"| {' | '.join(cells)} |"


def _markdown(text: str) -> str:
    """Return text that Markdown shows literally, without markup, HTML or cell ends."""
    escaped = "".join("\\" + c if c in "\\`*_[]|#" else c for c in printable(text))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
