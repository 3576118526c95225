"""Score sheets of every kind yield the published judgements; inconsistencies are reported with their rows."""

import contextlib
import re
import zipfile
from dataclasses import replace

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import bench
from megbench.core.errors import BenchError
from megbench.core.tables.reading import SUFFIXES
from megbench.experts.grid import LARGEST_BYTES, read_grids
from megbench.experts.importing import import_files
from megbench.experts.judgements import Judgement, read_judgements, write_judgements
from megbench.experts.names import Known, Names
from tests.expert_sheets import HEAD, published, wide, write_csv, write_html, write_xlsx

PUBLISHED = published()
NAMES = Names()


def as_set(judgements):
    return {replace(j, expert=j.expert.upper()) for j in judgements}


def one_team(**changes):
    """Return E1's wide sheet for team 3311 with changed cells {(row, column): value}, rows numbered as in the file."""
    rows = [HEAD, *(row for row in wide([j for j in PUBLISHED if j.method == "3311"], "E1")[1:])]
    for (row, column), value in changes.get("cells", {}).items():
        rows[row - 1][column] = value
    return rows


def test_the_help_names_every_kind_of_sheet_that_is_read():
    shown = CliRunner().invoke(bench.app, ["experts", "import", "--help"]).output
    unread = {".txt", ".et", ".numbers"}  # an unusual name for CSV, and two kinds that are listed only to be refused
    for suffix in {*SUFFIXES, ".html"} - unread:
        assert re.search(rf"\b{suffix[1:].upper()}\b", shown), suffix


def test_the_published_file_holds_what_it_says():
    assert len(PUBLISHED) == 4 * 18 * 3
    assert len({(j.method, j.cell) for j in PUBLISHED}) == 72
    assert {j.driver for j in PUBLISHED} >= {"casme2_negative", "samm_surprise", "smic_positive"}
    assert {j.template for j in PUBLISHED} == {"asianFemale", "westernMale"}


def test_wide_sheets_of_three_formats_give_the_published_judgements(tmp_path):
    files = [
        write_xlsx(tmp_path / "e1.xlsx", ("Sheet1", wide(PUBLISHED, "E1"))),
        write_html(tmp_path / "e2.xls", wide(PUBLISHED, "E2")),
        write_csv(tmp_path / "e3.csv", wide(PUBLISHED, "E3"), ";"),
    ]
    found = import_files(files, NAMES)
    assert found.problems == []
    assert as_set(found.judgements) == set(PUBLISHED)
    assert (found.sums, found.totals) == (216, 12)
    assert [r for r in found.remarks if "GRAY" in r] == [
        "e1.xlsx row 3: remark 'GRAY'",
        "e2.xls row 4: remark 'GRAY'",
        "e3.csv row 3: remark 'GRAY'",
    ]


@pytest.mark.parametrize(("mark", "delimiter"), [(".", ","), (",", ";"), (",", ",")])
def test_whole_numbers_may_be_written_with_a_zero_fraction(tmp_path, mark, delimiter):
    rows = [[f"{cell}{mark}0" if isinstance(cell, int) else cell for cell in row] for row in wide(PUBLISHED, "E1")]
    found = import_files([write_csv(tmp_path / "e1.csv", rows, delimiter)], NAMES)
    assert found.problems == []
    assert (len(found.judgements), found.sums, found.totals) == (72, 72, 4)


def test_a_workbook_with_a_sheet_for_each_expert_and_repeated_labels(tmp_path):
    sheets = [(expert, wide(PUBLISHED, expert, blank=False)) for expert in ("E1", "E2", "E3")]
    path = write_xlsx(tmp_path / "all.xlsx", *sheets)
    assert set(import_files([path], NAMES).judgements) == set(PUBLISHED)


def test_a_wrong_sum_and_a_wrong_total_are_named_with_their_rows(tmp_path):
    path = write_csv(tmp_path / "e1.csv", one_team(cells={(5, 7): 9, (20, 7): 84}))
    found = import_files([path], NAMES)
    assert [problem.where for problem in found.errors] == ["e1.csv row 5", "e1.csv row 20"]
    assert "the sum is given as 9, but" in found.errors[0].text
    assert "the total of sum is 84, but the rows of 3311 add up to 85" in found.errors[1].text


@pytest.mark.parametrize("value", ["4", "-1", "2.5", "good", "=2+1", "3 3"])
def test_scores_outside_the_scale_are_errors(tmp_path, value):
    found = import_files([write_csv(tmp_path / "e.csv", one_team(cells={(4, 5): value}))], NAMES)
    assert found.errors[0].where == "e.csv row 4"
    assert "whole numbers from 0 to 3" in found.errors[0].text


def test_blank_scores_are_a_warning_and_the_video_is_missing(tmp_path):
    files = [
        write_csv(tmp_path / "E1.csv", one_team(cells={(4, 6): "", (20, 7): ""})),
        write_csv(tmp_path / "E2.csv", wide([j for j in PUBLISHED if j.method == "3311"], "E2")),
    ]
    found = import_files(files, NAMES)
    assert found.errors == []
    texts = [str(problem) for problem in found.problems]
    assert texts[0] == "E1.csv row 4: no score for noise: the row is left out"
    assert "E1 did not judge 3311 on casme2_positive__asianFemale" in texts[1]


def test_a_video_judged_twice_is_an_error_that_names_both_rows(tmp_path):
    rows = [["method", "driver", "template", "expert", "upper", "lower", "noise"]]
    rows += [["a", "d1", "t1", "x", 1, 2, 3], ["a", "d1", "t1", "y", 1, 2, 3], ["a", "d1", "t1", "x", 3, 2, 1]]
    (problem,) = import_files([write_csv(tmp_path / "long.csv", rows)], NAMES).errors
    assert problem.where == "long.csv row 4"
    assert "long.csv row 2" in problem.text


def test_scores_without_a_template_are_not_taken_for_a_total(tmp_path):
    found = import_files([write_csv(tmp_path / "e.csv", one_team(cells={(3, 3): ""}))], NAMES)
    assert found.errors[0].where == "e.csv row 3"
    assert "template" in found.errors[0].text


def test_missing_columns_are_named(tmp_path):
    for rows, wanted in (([["a", "b"]], "headings upper, lower and noise"), ([HEAD[3:]], "has no column method")):
        with pytest.raises(BenchError, match=wanted):
            import_files([write_csv(tmp_path / "e.csv", rows)], NAMES)
    with pytest.raises(BenchError, match="has several columns for noise"):
        import_files([write_csv(tmp_path / "e.csv", [[*HEAD, "noise"]])], NAMES)


def test_a_mapping_file_renames_and_a_run_says_what_it_knows(tmp_path):
    mapping = tmp_path / "names.yaml"
    mapping.write_text("methods: {3311: fomm}\ndrivers: {CASME2 Negative: d1}\nexperts: {e: Anna}\n")
    path = write_csv(tmp_path / "e.csv", one_team())
    found = import_files([path], Names.read(mapping))
    assert {(j.method, j.expert) for j in found.judgements} == {("fomm", "Anna")}
    assert "d1" in {j.driver for j in found.judgements}
    known = Known(("fomm",), ("d1", "casme2_positive"), ("asianFemale", "westernMale"))
    partial = import_files([path], Names.read(mapping, known))
    assert partial.problems == []
    assert {j.driver for j in partial.judgements} == {"d1", "casme2_positive"}
    assert len(partial.judgements) == 4
    assert sum(partial.lacking.values()) == 14
    assert partial.lacking["driver samm_positive"] == 2
    assert (partial.sums, partial.totals) == (18, 1)  # including those of the rows left out
    mapping.write_text("method: {3311: fomm}\n")
    with pytest.raises(BenchError, match="methods, drivers, templates, experts"):
        Names.read(mapping)


def test_sheets_of_strangers_are_limited_and_nothing_in_them_is_run(tmp_path):
    large = tmp_path / "large.csv"
    large.write_bytes(b"x" * (LARGEST_BYTES + 1))
    bomb = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"0" * 60_000_000)
    entity = tmp_path / "entity.xlsx"
    with zipfile.ZipFile(entity, "w") as archive:
        archive.writestr("xl/workbook.xml", '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>')
    old = tmp_path / "old.xls"
    old.write_bytes(b"\xd0\xcf\x11\xe0" + b"\0" * 600)
    frame = tmp_path / "book.htm"
    frame.write_text("<html><frameset><frame src='book.files/sheet001.htm'></frameset></html>")
    broken = tmp_path / "broken.xlsx"
    broken.write_bytes(b"PK\3\4 nothing")
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"upper \x80\xff\xff")
    reasons = ["larger than", "unpacks to", "XML declarations", "Save it as XLSX", "book.files", "not a readable XLSX"]
    reasons += ["it is in none of UTF-8, UTF-16, "]
    for path, reason in zip((large, bomb, entity, old, frame, broken, binary), reasons, strict=True):
        with pytest.raises(BenchError, match=reason) as stop:
            read_grids(path)
        assert "\n" not in str(stop.value)
    with pytest.raises(BenchError, match="cannot be read"):
        read_grids(tmp_path / "none.csv")


def test_formulas_count_by_their_saved_value_only(tmp_path):
    path = write_xlsx(tmp_path / "e.xlsx", ("s", one_team()))
    book = openpyxl.load_workbook(path)
    book["s"]["H2"] = "=SUM(E2:G2)"
    book.save(path)  # openpyxl saves formulas without their values
    found = import_files([path], NAMES)
    assert found.errors == []
    assert found.sums == 17


@given(st.binary(max_size=400))
def test_any_bytes_are_a_grid_or_one_line(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz", numbered=True) / "x"
    path.write_bytes(data)
    with contextlib.suppress(BenchError):
        assert all(isinstance(cell, str) for grid in read_grids(path) for row in grid.rows for cell in row)
        import_files([path], NAMES)


names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=10)


@settings(max_examples=40)
@given(st.lists(st.tuples(names, names, names, names, *[st.integers(0, 3)] * 3), max_size=5, unique_by=lambda t: t[:4]))
def test_judgements_are_read_as_written_and_no_field_is_a_formula(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("j", numbered=True) / "experts.csv"
    judgements = [Judgement(*row) for row in rows]
    write_judgements(path, judgements)
    assert read_judgements(path) == judgements


def test_hostile_names_are_written_inert(tmp_path):
    write_judgements(tmp_path / "e.csv", [Judgement("=cmd()", "@d", "+t", "-x", 0, 1, 2)])
    assert (tmp_path / "e.csv").read_text().splitlines()[1] == "'=cmd(),'@d,'+t,'-x,0,1,2"


COLUMNS = "method,driver,template,expert,upper,lower,noise\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"a,b\n1,2\n", "its columns are not method, driver, template, expert, upper, lower, noise"),
        (b"", "its columns are not"),
        (f"{COLUMNS}a,b,c,d,1,2,4\n".encode(), "line 2: noise is '4', not one of 0, 1, 2, 3"),
        (f"{COLUMNS}a,b,c,d,1,,3\n".encode(), "line 2: lower is '', not one of 0, 1, 2, 3"),
        (f"{COLUMNS}a,b,c,d,1,2,3\na,b,c,e,1,2\n".encode(), "line 3 does not have 7 cells"),
        (f"{COLUMNS}a,b,c,d,1,2,3,4\n".encode(), "line 2 does not have 7 cells"),
        (f"{COLUMNS}a,b,c,d,1,2,3\na,b,c,d,1,2,3\n".encode(), "line 3 repeats an output"),
        (f'{COLUMNS}a,"b,c,d,1,2,3\n'.encode(), "unexpected end of data"),
        (COLUMNS.encode() + b"\xff\n", "can't decode byte 0xff"),
    ],
)
def test_a_damaged_table_of_judgements_is_one_line(tmp_path, text, problem):
    (tmp_path / "experts.csv").write_bytes(text)
    with pytest.raises(BenchError, match="not a table of judgements") as stop:
        read_judgements(tmp_path / "experts.csv")
    assert problem in str(stop.value)
    assert "\n" not in str(stop.value)


def test_a_table_of_judgements_may_have_been_saved_by_a_spreadsheet(tmp_path):
    text = "\ufeffexpert,method,driver,template,upper,lower,noise\r\nd,a,b,c,1,2,3\r\n"
    (tmp_path / "experts.csv").write_bytes(text.encode())
    assert read_judgements(tmp_path / "experts.csv") == [Judgement("a", "b", "c", "d", 1, 2, 3)]
