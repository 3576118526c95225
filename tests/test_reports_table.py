"""One table in four formats: the same values in each, absent ones as dashes with reasons, all text escaped."""

import csv
import html.parser
import io
import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megbench.core.errors import BenchError
from megbench.reports.paper import for_paper
from megbench.reports.table import DASH, Column, Entry, Section, Table
from tests.report_fixture import HOSTILE

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(str.strip)
values = st.one_of(st.none(), st.floats(-1e6, 1e6, allow_nan=False))


@st.composite
def tables(draw):
    width = draw(st.integers(1, 4))
    columns = [Column("name"), *(Column(f"c{i}", "↑", better=True) for i in range(width))]

    def row():
        entries = [draw(values) for _ in range(width)]
        return (Entry(draw(names)), *(Entry(v, "" if v is not None else draw(names)) for v in entries))

    sections = tuple(Section(h, tuple(row() for _ in range(draw(st.integers(1, 3))))) for h in ("Methods", "Controls"))
    return Table("t", tuple(columns), sections)


class Cells(html.parser.HTMLParser):
    """A parser that collects the text of each cell, row by row, without footnote marks."""

    def __init__(self):
        super().__init__()
        self.rows, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        inside = [tag for tag in self.tags if tag in ("sup", "ol")]
        if self.rows and self.rows[-1] and not inside:
            self.rows[-1][-1] += data

    def handle_endtag(self, tag):
        while self.tags and self.tags.pop() != tag:
            pass


@given(tables())
def test_all_forms_hold_the_same_values(table):
    rows = list(table.rows())
    read = list(csv.reader(io.StringIO(table.csv())))[1:]
    assert [[None if t == "" else float(t) for t in line[2 : len(table.columns) + 1]] for line in read] == [
        [entry.value for entry in row[1:]] for row in rows
    ]
    shown = [[entry.shown(3) for entry in row[1:]] for row in rows]
    parser = Cells()
    parser.feed(table.html())
    body = [row for row in parser.rows[1:] if len(row) == len(table.columns)]
    assert [[text.strip() for text in row[1:]] for row in body] == shown
    for form in (table.markdown(), table.text()):
        for row in shown:
            assert all(text in form for text in row)


@given(tables())
def test_every_absent_value_has_a_dash_and_its_reason(table):
    absent = [entry for row in table.rows() for entry in row if entry.value is None]
    reasons = list(dict.fromkeys(entry.reason for entry in absent))
    assert table.notes() == reasons
    for form in (table.html(), table.markdown(), table.text()):
        assert form.count(DASH) >= len(absent)
    below = table.text().splitlines()[-len(reasons) :] if reasons else []
    assert [re.match(r"\[(\d+)\]", line)[1] for line in below] == [str(n) for n in range(1, len(reasons) + 1)]


def test_absent_is_never_zero():
    table = Table("t", (Column("m"), Column("a")), (Section("", ((Entry("x"), Entry(None, "no face")),)),))
    assert table.csv().splitlines()[1] == ",x,,a: no face"
    assert "0" not in table.markdown().replace("\\[1\\]", "")
    assert "— [1]" in table.text()
    assert "[1] no face" in table.text()
    assert 'title="no face">—<sup>1</sup>' in table.html()


def test_a_csv_tells_how_many_cells_a_mean_is_of_and_why_values_are_absent():
    """A mean over the easy half of the cells must not look like a mean over all of them."""
    columns = (Column("method"), Column("gain"), Column("error"), Column("FID"), Column("SSIM"))
    row = (Entry("x", remark="GIF"), Entry(1.0, remark="5/9"), Entry(0.5, remark="5/9"), Entry(None, "no weights"))
    table = Table("t", columns, (Section("", ((*row, Entry(0.5)), (Entry("y"), *[Entry(0.0)] * 4))),))
    header, first, second = csv.reader(io.StringIO(table.csv()))
    assert header[-1] == "remark"
    assert first == ["", "x", "1.0", "0.5", "", "0.5", "GIF; gain, error: 5/9; FID: no weights"]
    assert second[-1] == ""


def test_columns_of_one_title_are_told_apart_without_their_groups_headings():
    columns = (Column("method"), Column("gain", "→ 1", group="driver"), Column("gain", group="truth"), Column("SSIM"))
    table = Table("t", columns, (Section("", ((Entry("x"), *[Entry(0.5)] * 3),)),))
    assert table.csv().splitlines()[0] == "section,method,gain (driver),gain (truth),SSIM"
    alike = Table("t", (Column("section"), *[Column("gain", key="gain")] * 2), ())
    assert alike.csv().splitlines()[0] == "section,section 2,gain,gain 2"
    assert table.markdown().splitlines()[0] == "| method | gain (driver) → 1 | gain (truth) | SSIM |"
    assert re.split(r" {2,}", table.text().splitlines()[0]) == ["method", "gain (driver) → 1", "gain (truth)", "SSIM"]


def test_markup_in_names_is_shown_not_run():
    row = (Entry(HOSTILE, link="#a"), Entry(None, HOSTILE), Entry(1.0, remark=HOSTILE))
    table = Table(
        HOSTILE, (Column(HOSTILE, note=HOSTILE), Column("a", group=HOSTILE), Column("b")), (Section(HOSTILE, (row,)),)
    )
    assert "<script" not in table.html()
    assert "<img" not in table.html()
    assert "<script" not in table.markdown()


def test_a_pipe_or_line_end_in_a_name_does_not_break_the_table():
    table = Table("t", (Column("m"), Column("a")), (Section("", ((Entry("a|b\nc"), Entry(1.0)),)),))
    assert len(table.markdown().strip().splitlines()) == 3
    assert len(table.text().strip().splitlines()) == 2 + 1


def test_rounded_nothing_has_no_sign():
    assert Entry(-0.0004).shown(2) == "0.00"
    assert Entry(-0.04).shown(2) == "-0.04"


@pytest.mark.parametrize(("better", "best"), [(True, 0.9), (False, 0.1), (None, None)])
def test_best_looks_at_methods_only(better, best):
    def section(name, *numbers):
        return Section(name, tuple((Entry("x"), Entry(number)) for number in numbers))

    sections = (section("Methods", 0.1, None, 0.9), section("Controls", 1.0, 0.0))
    assert Table("t", (Column("m"), Column("a", better=better)), sections).best(1) == best


def test_numbers_that_look_equal_are_bold_together():
    rows = tuple((Entry(name), Entry(number)) for name, number in (("a", 0.914), ("b", 0.906), ("c", 0.9), ("d", None)))
    table = Table("t", (Column("m"), Column("x", decimals=2, better=True)), (Section("", rows), Section("", rows)))
    assert [table.is_best(1, row[1], table.sections[0]) for row in rows] == [True, True, False, False]
    assert table.html().count('class="best"') == table.latex().count("textbf") == 2


def test_a_row_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="2 columns"):
        Table("t", (Column("m"), Column("a")), (Section("", ((Entry("x"),),)),))


PAPER = Table(
    "Leaderboard: means over cells",
    (Column("method"), Column("agreement", "↑", 2, better=True, key="agreement"), Column("gain", decimals=2)),
    (
        Section(
            "Methods & more",
            (
                (Entry("a_b", remark="GIF"), Entry(0.9, interval=(-0.1, 0.95)), Entry(-1.5)),
                (Entry("x"), Entry(0.1, interval=(0.0, 0.2)), Entry(None, "no [face]")),
            ),
        ),
        Section("Controls", ((Entry("c"), Entry(0.9, remark="5/9"), Entry(0.0004, least=0.001)),)),
    ),
    ("50 % of $x$",),
)


def test_exports_have_the_intervals_and_bold_of_the_page_and_a_label():
    latex = PAPER.latex()
    assert r"\label{tab:leaderboard}" in latex
    assert r"\textbf{0.90} {\scriptsize [$-$0.10, 0.95]}" in latex
    assert latex.count(r"\textbf") == 1  # the control with the same value is not a method
    assert "$-$1.50" in latex
    assert "**0.90 (-0.10 to 0.95)**" in PAPER.markdown()
    assert PAPER.csv().splitlines()[:2] == [
        "section,method,agreement,agreement low,agreement high,gain,remark",
        "Methods & more,a_b,0.9,-0.1,0.95,-1.5,GIF",
    ]


def test_papers_get_eight_columns_or_those_that_are_asked_for():
    columns = (Column("method"), *(Column(f"c{i}", brief=i > 3) for i in range(11)))
    table = Table("t", columns, (Section("", ((Entry("x"), *(Entry(float(i)) for i in range(11))),)),))
    narrow = table.narrow()
    assert narrow.keys() == ["method", *(f"c{i}" for i in range(4, 11))]
    assert [entry.value for entry in next(iter(narrow.rows()))] == ["x", 4, 5, 6, 7, 8, 9, 10]
    assert narrow.footnotes == ("Columns left out: c0, c1, c2, c3; the CSV has all of them.",)
    assert table.only(["c2", "c1"]).keys() == ["method", "c2", "c1"]
    assert PAPER.narrow() is PAPER
    with pytest.raises(BenchError, match="Did you mean 'c10'"):
        table.only(["c100"])


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no TeX here")
def test_latex_compiles(tmp_path):
    body = "\n".join(table.latex() for table in (PAPER, Table(HOSTILE, PAPER.columns, PAPER.sections, (HOSTILE,))))
    text = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n" + body + "\n\\end{document}\n"
    (tmp_path / "t.tex").write_text(text)
    command = ["pdflatex", "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]


def test_a_wide_table_becomes_several_for_paper_and_groups_stay_whole():
    groups = [*["A"] * 3, *["B"] * 6, *["C"] * 11, *["D"] * 2]
    columns = (Column("row"), *(Column(f"c{k}", group=group) for k, group in enumerate(groups)))
    row = tuple(Entry(float(k)) for k in range(len(columns)))
    wide = Table("Wide", columns, (Section("", (row,)),), ("A note.",))
    parts = for_paper(wide)
    assert [[column.group for column in part.columns[1:]] for part in parts] == [
        ["A"] * 3,
        ["B"] * 6,
        ["C"] * 8,
        [*["C"] * 3, *["D"] * 2],
    ]
    assert [entry.value for part in parts for entry in next(part.rows())[1:]] == [entry.value for entry in row[1:]]
    assert all(part.columns[0] == columns[0] for part in parts)
    assert [part.footnotes for part in parts] == [(), (), (), ("A note.",)]
    assert parts[1].title == "Wide (2 of 4)"
    assert for_paper(wide.only(["c0"])) == [wide.only(["c0"])]
